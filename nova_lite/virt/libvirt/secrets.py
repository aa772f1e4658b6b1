"""CHAP passwords, lent to libvirt for as long as it needs them.

libvirt reads a disk's secret when it opens the disk: at an attach and at a start. It hands it to QEMU
encrypted, and neither asks again. So a secret is set before each such call and removed after it: nothing is
left over when a server or a volume goes, none is missed after the daemon lost its memory in a restart, and
the password is never on a disk, in a command line or readable through libvirt (`ephemeral`, `private`).
"""

from __future__ import annotations

import contextlib
import logging
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

import libvirt

from nova_lite.virt.driver import VolumeDisk
from nova_lite.virt.libvirt import disk_xml
from nova_lite.volume import connection_info as connection_information

LOG = logging.getLogger(__name__)
_NAMESPACE = uuid.UUID("3a3e3a44-52a1-4d3f-8b62-6f0f1b8d4a51")


@contextlib.contextmanager
def lent(connection: libvirt.virConnect, disks: Iterable[VolumeDisk]) -> Iterator[None]:
    """Inside the block libvirt knows the passwords of these volumes. Raises libvirtError, UnsupportedVolume."""
    with contextlib.ExitStack() as stack:
        for disk in disks:
            if connection_information.device_path(disk.connection_info) is not None:
                continue  # the host has logged in
            volume = connection_information.iscsi(disk.connection_info)
            if volume.password is not None:
                secret = connection.secretDefineXML(_description(disk.volume_id))
                stack.callback(_remove, secret, disk.volume_id)
                secret.setValue(volume.password.encode())
        yield


def _description(volume_id: str) -> str:
    root = ET.Element("secret", ephemeral="yes", private="yes")
    # Derived, so that a secret left by a killed service is redefined and not refused as a second one for this use.
    ET.SubElement(root, "uuid").text = str(uuid.uuid5(_NAMESPACE, volume_id))
    usage = ET.SubElement(root, "usage", type="iscsi")
    ET.SubElement(usage, "target").text = disk_xml.secret_usage(volume_id)
    return ET.tostring(root, encoding="unicode")


def _remove(secret: libvirt.virSecret, volume_id: str) -> None:
    try:
        secret.undefine()
    except libvirt.libvirtError as exc:
        if exc.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
            LOG.warning("The CHAP secret of volume %s stays in libvirt until it restarts: %s", volume_id, exc)
