"""What this host has of a volume, as the kernel tells it: read only, without a process, without privileges.

Who logs in is one of three: this host (then there are sessions and a device here), QEMU (then the session belongs to
the guest's process and only the target can tell of it), or nobody (the twin).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nova_lite.virt import errors
from nova_lite.volume import connection_info as connection_information
from nova_lite.volume.sysfs import Sysfs

HOST, QEMU, NOBODY = "host", "qemu", "nobody"
# A target serves one volume and ends with its name, whatever prefix the storage service was given.
_VOLUME = re.compile(r"volume-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session of this host; `state` as the kernel writes it (LOGGED_IN when it works)."""

    portal: str
    iqn: str
    state: str


@dataclass(frozen=True, slots=True)
class HostView:
    """`initiator` is who logs in. `device` is the link under which the guest has the disk, `leads_to` the device it
    leads to now (None: nothing is there)."""

    initiator: str
    device: str | None = None
    leads_to: str | None = None
    sessions: tuple[SessionView, ...] = ()


def of(info: Mapping[str, Any], sysfs: Sysfs, *, logs_in: bool) -> HostView:
    """What this host has of the volume with that connection information; `logs_in`: it is the one that logs in.

    A volume that was connected in the other way, before this host was changed, is told as it was connected.
    """
    path = connection_information.device_path(info)
    if path is None and not logs_in:
        return HostView(QEMU)
    real = sysfs.real(path) if path is not None else None
    found: list[SessionView] = []
    try:
        paths = connection_information.iscsi(info, secrets=False).paths
    except errors.UnsupportedVolume:
        paths = ()
    for iqn in dict.fromkeys(one.iqn for one in paths):
        found += [SessionView(one.portal, one.iqn, one.state) for one in sysfs.sessions(iqn)]
    there = real is not None and os.path.exists(real)
    return HostView(HOST, path, real if there else None, tuple(found))


def sessions(sysfs: Sysfs) -> dict[str, list[SessionView]]:
    """The sessions with targets of volumes, by volume id."""
    found: dict[str, list[SessionView]] = {}
    for one in sysfs.sessions():
        named = _VOLUME.search(one.iqn)
        if named:
            found.setdefault(named[1], []).append(SessionView(one.portal, one.iqn, one.state))
    return found
