"""The one place that reads connection information: what the storage service said about reaching a volume.

The connector asks the portal with it, the hypervisor's disk is built from it; both refuse the same things.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nova_lite.virt import errors

DEFAULT_PORT = 3260


@dataclasses.dataclass(frozen=True, slots=True)
class IscsiVolume:
    """An iSCSI volume; `user` is None for a target without CHAP."""

    volume_id: str
    host: str
    port: int
    iqn: str
    lun: int
    user: str | None
    password: str | None = dataclasses.field(repr=False)
    read_only: bool = False
    discard: bool = False

    @property
    def portal(self) -> str:
        """Host and port as people write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def volume_id(connection_info: Mapping[str, Any]) -> str:
    """The volume that the connection information is for, for messages: its serial, as Nova sets it."""
    return str(connection_info.get("serial") or connection_info.get("data", {}).get("volume_id", "(unnamed)"))


def iscsi(connection_info: Mapping[str, Any]) -> IscsiVolume:
    """Read and check; raises UnsupportedVolume for another protocol or when something needed is missing."""
    volume = volume_id(connection_info)
    kind = connection_info.get("driver_volume_type")
    if kind != "iscsi":
        raise errors.UnsupportedVolume(volume=volume, reason=f"it is served by {kind!r}, this host speaks only iscsi.")
    data = connection_info.get("data", {})
    needed = ["target_portal", "target_iqn", "target_lun"]
    chap = data.get("auth_method") == "CHAP"
    if chap:
        needed += ["auth_username", "auth_password"]
    missing = [key for key in needed if data.get(key) is None]
    if missing:
        raise errors.UnsupportedVolume(
            volume=volume, reason=f"the storage service did not give its {', '.join(missing)}."
        )
    try:
        host, port = split_portal(data["target_portal"])
    except ValueError as exc:
        reason = f"its portal {data['target_portal']!r} is not an address and a port."
        raise errors.UnsupportedVolume(volume=volume, reason=reason) from exc
    return IscsiVolume(
        volume_id=volume,
        host=host,
        port=port,
        iqn=data["target_iqn"],
        lun=int(data["target_lun"]),
        user=data["auth_username"] if chap else None,
        password=data["auth_password"] if chap else None,
        read_only=data.get("access_mode") == "ro",
        discard=data.get("discard") is True,
    )


def split_portal(portal: str) -> tuple[str, int]:
    """Host and port of `10.0.0.4:3260` or `[fd00::4]:3260`; the port may be left out. Raises ValueError."""
    if portal.startswith("["):
        host, bracket, rest = portal[1:].partition("]")
        port = rest.removeprefix(":") or str(DEFAULT_PORT)
        if not bracket or not host:
            raise ValueError(portal)
        return host, int(port)
    host, _, rest = portal.partition(":")
    if not host or ":" in rest:
        raise ValueError(portal)
    return host, int(rest or DEFAULT_PORT)
