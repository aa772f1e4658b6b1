"""A volume as libvirt describes it: a block device of this host, or a network disk that QEMU itself reaches.

Which of the two it is stands in the connection information (a device path or none), not in an option, so that a host
may change its mode while older guests run.

A disk of ours is known by its alias, `ua-` and the volume's id, in the live and in the stored description
alike. The target name (`vdb`) is only libvirt's ordering hint and is never used to find a disk: the guest may
call it otherwise, and the name may be taken by another disk by now.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from nova_lite.virt.driver import VolumeDisk
from nova_lite.volume import connection_info as connection_information
from nova_lite.volume.connection_info import IscsiVolume

_ALIAS_PREFIX = "ua-"


def alias(volume_id: str) -> str:
    """The device alias of a volume's disk; libvirt keeps aliases that begin with `ua-` as they are."""
    return _ALIAS_PREFIX + volume_id


def secret_usage(volume_id: str) -> str:
    """The name under which libvirt finds the CHAP password of a volume."""
    return f"nova-lite-{volume_id}"


def build(disk: VolumeDisk, initiator: str) -> ET.Element:
    """The disk element for attaching or defining; the initiator's name matters to network disks. Raises
    UnsupportedVolume."""
    info = disk.connection_info
    path = connection_information.device_path(info)
    element = ET.Element("disk", type="network" if path is None else "block", device="disk")
    driver = ET.SubElement(element, "driver", name="qemu", type="raw", cache="none")
    if connection_information.may_discard(info):
        driver.set("discard", "unmap")
    if path is not None:
        driver.set("io", "native")
    ET.SubElement(element, "alias", name=alias(disk.volume_id))
    if path is None:
        element.append(_source(disk.volume_id, connection_information.iscsi(info), initiator))
    else:
        ET.SubElement(element, "source", dev=path)
    ET.SubElement(element, "target", dev=disk.device_name.removeprefix("/dev/"), bus="virtio")
    ET.SubElement(element, "serial").text = disk.volume_id
    if connection_information.is_read_only(info):
        ET.SubElement(element, "readonly")
    return element


def _source(volume_id: str, volume: IscsiVolume, initiator: str) -> ET.Element:
    source = ET.Element("source", protocol="iscsi", name=f"{volume.iqn}/{volume.lun}")
    ET.SubElement(source, "host", name=volume.host, port=str(volume.port))
    if volume.user is not None:
        auth = ET.SubElement(source, "auth", username=volume.user)
        ET.SubElement(auth, "secret", type="iscsi", usage=secret_usage(volume_id))
    ET.SubElement(ET.SubElement(source, "initiator"), "iqn", name=initiator)
    return source


def volumes(domain_description: str) -> dict[str, ET.Element]:
    """The disks of ours in a domain's description, by volume id."""
    found: dict[str, ET.Element] = {}
    root = ET.fromstring(domain_description)  # noqa: S314 - written by the local libvirt, which is trusted
    for element in root.findall("./devices/disk"):
        name = element.find("alias")
        text = name.get("name", "") if name is not None else ""
        if text.startswith(_ALIAS_PREFIX):
            found[text.removeprefix(_ALIAS_PREFIX)] = element
    return found


def source_of(element: ET.Element) -> str:
    """Where the disk's bytes come from: a path of this host, or the address that QEMU connects to."""
    source = element.find("source")
    if source is None:
        return "(none)"
    place = source.get("dev") or source.get("file")
    if place:
        return place
    host = source.find("host")
    where = f"{host.get('name')}:{host.get('port')}" if host is not None else ""
    return f"{source.get('protocol')}://{where}/{source.get('name')}"


def block_devices(domain_description: str) -> set[str]:
    """Paths of all block devices in a domain's description, ours or not."""
    root = ET.fromstring(domain_description)  # noqa: S314 - written by the local libvirt, which is trusted
    sources = root.findall("./devices/disk[@type='block']//source")
    return {path for element in sources if (path := element.get("dev"))}


def text(element: ET.Element) -> str:
    """The element as libvirt takes it."""
    return ET.tostring(element, encoding="unicode")
