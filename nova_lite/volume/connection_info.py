"""The one place that reads connection information: what the storage service said about reaching a volume.

The connector asks the portal with it, the hypervisor's disk is built from it; both refuse the same things.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from typing import Any

from nova_lite.virt import errors

DEFAULT_PORT = 3260
# From here on udev writes a LUN in its long form (systemd's path_id).
_LONG_LUN = 256


@dataclasses.dataclass(frozen=True, slots=True)
class IscsiPath:
    """One way to an iSCSI volume: an address of the target, and the volume's number there."""

    host: str
    port: int
    iqn: str
    lun: int

    @property
    def portal(self) -> str:
        """Host and port as people and iscsiadm write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def by_path(self) -> str:
        """The link that udev makes to the volume's device when this host is logged in over this path."""
        lun = str(self.lun) if self.lun < _LONG_LUN else f"0x{self.lun & 0xFFFF:04x}{self.lun >> 16:04x}00000000"
        return f"/dev/disk/by-path/ip-{self.host}:{self.port}-iscsi-{self.iqn}-lun-{lun}"


@dataclasses.dataclass(frozen=True, slots=True)
class IscsiVolume:
    """An iSCSI volume; `user` is None for a target without CHAP. `paths` has at least one, the preferred one first."""

    volume_id: str
    paths: tuple[IscsiPath, ...]
    user: str | None
    password: str | None = dataclasses.field(repr=False)
    read_only: bool = False
    discard: bool = False

    @property
    def host(self) -> str:
        """Address of the preferred path."""
        return self.paths[0].host

    @property
    def port(self) -> int:
        """Port of the preferred path."""
        return self.paths[0].port

    @property
    def iqn(self) -> str:
        """Target of the preferred path."""
        return self.paths[0].iqn

    @property
    def lun(self) -> int:
        """LUN of the preferred path."""
        return self.paths[0].lun

    @property
    def portal(self) -> str:
        """Portal of the preferred path."""
        return self.paths[0].portal

    def over(self, path: IscsiPath) -> IscsiVolume:
        """The volume with this path alone."""
        return dataclasses.replace(self, paths=(path,))


def volume_id(connection_info: Mapping[str, Any]) -> str:
    """The volume that the connection information is for, for messages: its serial, as Nova sets it."""
    return str(connection_info.get("serial") or connection_info.get("data", {}).get("volume_id", "(unnamed)"))


def device_path(connection_info: Mapping[str, Any]) -> str | None:
    """The block device of a volume that this host itself is connected to; None where QEMU connects."""
    path = connection_info.get("data", {}).get("device_path")
    return str(path) if path else None


def with_device(connection_info: Mapping[str, Any], path: str, multipath_id: str | None = None) -> dict[str, Any]:
    """The connection information with the block device in it, under the keys that Nova uses."""
    data = {key: value for key, value in connection_info.get("data", {}).items() if key != "multipath_id"}
    data["device_path"] = path
    if multipath_id is not None:
        data["multipath_id"] = multipath_id
    return {**connection_info, "data": data}


def same_connection(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True if both reach the volume in the same way: over the same paths, and by a device of this host or not."""
    if bool(device_path(one)) != bool(device_path(other)):
        return False
    return where(one) == where(other)


def where(connection_info: Mapping[str, Any]) -> tuple[Any, ...]:
    """What names the volume's place on the network, to compare."""
    data = connection_info.get("data", {})
    return tuple(data.get(f"target_{what}") for what in ("portal", "iqn", "lun", "portals", "iqns", "luns"))


def is_read_only(connection_info: Mapping[str, Any]) -> bool:
    """True if the guest may only read."""
    return bool(connection_info.get("data", {}).get("access_mode") == "ro")


def may_discard(connection_info: Mapping[str, Any]) -> bool:
    """True if the storage wants to hear which blocks the guest no longer needs."""
    return connection_info.get("data", {}).get("discard") is True


def iscsi(connection_info: Mapping[str, Any], *, secrets: bool = True) -> IscsiVolume:
    """Read and check; raises UnsupportedVolume for another protocol or when something needed is missing.

    Without `secrets` the password may be missing, as in what is stored.
    """
    volume = volume_id(connection_info)
    kind = connection_info.get("driver_volume_type")
    if kind != "iscsi":
        raise errors.UnsupportedVolume(volume=volume, reason=f"it is served by {kind!r}, this host speaks only iscsi.")
    data = connection_info.get("data", {})
    needed = ["target_portal", "target_iqn", "target_lun"]
    chap = secrets and data.get("auth_method") == "CHAP"
    if chap:
        needed += ["auth_username", "auth_password"]
    missing = [key for key in needed if data.get(key) is None]
    if missing:
        raise errors.UnsupportedVolume(
            volume=volume, reason=f"the storage service did not give its {', '.join(missing)}."
        )
    return IscsiVolume(
        volume_id=volume,
        paths=_paths(volume, data),
        user=data["auth_username"] if chap else None,
        password=data["auth_password"] if chap else None,
        read_only=is_read_only(connection_info),
        discard=may_discard(connection_info),
    )


def _paths(volume: str, data: Mapping[str, Any]) -> tuple[IscsiPath, ...]:
    """All paths, the one that was named alone first; the lists are there when there are several."""
    named = [(data["target_portal"], data["target_iqn"], data["target_lun"])]
    portals = data.get("target_portals") or ()
    iqns = data.get("target_iqns") or [data["target_iqn"]] * len(portals)
    luns = data.get("target_luns") or [data["target_lun"]] * len(portals)
    if not len(portals) == len(iqns) == len(luns):
        reason = f"it has {len(portals)} portals, {len(iqns)} targets and {len(luns)} LUNs, which do not match."
        raise errors.UnsupportedVolume(volume=volume, reason=reason)
    paths = []
    for portal, iqn, lun in [*named, *zip(portals, iqns, luns, strict=True)]:
        try:
            host, port = split_portal(portal)
        except ValueError as exc:
            reason = f"its portal {portal!r} is not an address and a port."
            raise errors.UnsupportedVolume(volume=volume, reason=reason) from exc
        paths.append(IscsiPath(host, port, iqn, int(lun)))
    return tuple(dict.fromkeys(paths))


def split_portal(portal: str) -> tuple[str, int]:
    """Host and port of `10.0.0.4:3260` or `[fd00::4]:3260`; the port may be left out. Raises ValueError."""
    if portal.startswith("["):
        host, bracket, rest = portal[1:].partition("]")
        port = rest.removeprefix(":") or str(DEFAULT_PORT)
        if not bracket or not host:
            raise ValueError(portal)
        return str(ipaddress.ip_address(host)), int(port)
    host, _, rest = portal.partition(":")
    if not host or ":" in rest:
        raise ValueError(portal)
    return host, int(rest or DEFAULT_PORT)
