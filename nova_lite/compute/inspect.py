"""What is really there of this host's attachments: nova-compute's side of what `nlite doctor` compares.

Rows, guests, devices and sessions are looked at as they are; no lock is taken, nothing is changed, nothing is waited
for. A part that does not answer (a hypervisor that is down) is named in the answer, and the rest is told all the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from lite_common import errors
from nova_lite.compute.host import ComputeHost
from nova_lite.db import sides
from nova_lite.virt import driver
from nova_lite.virt import errors as virt_errors

GUESTS, INITIATOR = "guests", "initiator"
DISK, SESSION = "disk", "session"
_NO_GUEST = driver.DisksShown(live={}, stored={})


def inspect_attachments(
    host: ComputeHost, server_id: str | None = None, volume_id: str | None = None
) -> dict[str, Any]:
    """{"attachments": by block device uuid, "strays": [...], "initiator": ..., "unseen": [...]} of this host: of that
    server, of that volume, or of all.

    A stray is a disk in a guest that no row knows, or a session with a volume's target that no row knows.
    """
    unseen: list[dict[str, str]] = []
    rows = sides.page(host.database, host=host.name, server_id=server_id, volume_id=volume_id)
    guests = _Guests(host, unseen)
    with _looking(INITIATOR, unseen):
        guests.initiator = host.connector.initiator
    known = {(one.device.instance_uuid, one.device.volume_id) for one in rows}
    strays = _stray_disks(host, guests, known, server_id, volume_id)
    if server_id is None:
        strays += _stray_sessions(host, unseen, volume_id)
    return {
        "attachments": {one.device.uuid: _attachment(host, guests, one) for one in rows},
        "strays": strays,
        "initiator": guests.initiator,
        "unseen": unseen,
    }


class _Guests:
    """Guests of this host, each looked at once. After the hypervisor has failed once it is not asked again."""

    def __init__(self, host: ComputeHost, unseen: list[dict[str, str]]) -> None:
        self._virt = host.virt
        self._unseen = unseen
        self._known: dict[str, tuple[driver.PowerState, driver.DisksShown]] = {}
        self._lost = False
        self.initiator: str | None = None

    def look(self, server_id: str) -> tuple[driver.PowerState, driver.DisksShown] | None:
        """Power state and disks; None when the hypervisor does not tell."""
        if server_id not in self._known and not self._lost:
            with self._asking():
                try:
                    disks = self._virt.shown_volumes(server_id)
                    self._known[server_id] = self._virt.power_state(server_id), disks
                except virt_errors.ServerNotOnHost:
                    self._known[server_id] = driver.PowerState.NOSTATE, _NO_GUEST
        return self._known.get(server_id)

    def all(self) -> list[str]:
        """Ids of the servers that the hypervisor has."""
        found: list[str] = []
        if not self._lost:
            with self._asking():
                found = sorted(self._virt.list_servers())
        return found

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        before = len(self._unseen)
        with _looking(GUESTS, self._unseen):
            yield
        self._lost = len(self._unseen) > before


def _attachment(host: ComputeHost, guests: _Guests, row: sides.RowSide) -> dict[str, Any]:
    device = row.device
    guest = guests.look(device.instance_uuid)
    view = host.connector.look(device.connection_info) if device.connection_info is not None else None
    return {
        "busy": host.server_locks.held(device.instance_uuid),
        "initiator": guests.initiator,
        "power_state": guest[0].name.lower() if guest else None,
        "live": _disk(guest[1].live, device.volume_id) if guest else None,
        "stored": _disk(guest[1].stored, device.volume_id) if guest else None,
        "storage": dataclasses.asdict(view) if view is not None else None,
    }


def _disk(disks: Any, volume_id: str) -> dict[str, str] | None:
    found = disks.get(volume_id)
    return dataclasses.asdict(found) if found is not None else None


def _stray_disks(
    host: ComputeHost,
    guests: _Guests,
    known: set[tuple[str, str]],
    server_id: str | None,
    volume_id: str | None,
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for server in guests.all() if server_id is None else [server_id]:
        seen = guests.look(server)
        if seen is None:
            continue
        _, disks = seen
        for volume in sorted({*disks.live, *disks.stored}):
            if (server, volume) in known or volume_id not in (None, volume):
                continue
            # The rows were read before the guests: an attach may have made one meanwhile.
            if sides.page(host.database, server_id=server, volume_id=volume):
                continue
            found.append(
                {
                    "kind": DISK,
                    "server_id": server,
                    "volume_id": volume,
                    "live": _disk(disks.live, volume),
                    "stored": _disk(disks.stored, volume),
                    "sessions": [],
                }
            )
    return found


def _stray_sessions(host: ComputeHost, unseen: list[dict[str, str]], volume_id: str | None) -> list[dict[str, Any]]:
    """Sessions with the target of a volume that no row of this host names."""
    here = {one.device.volume_id for one in sides.page(host.database, host=host.name, volume_id=volume_id)}
    found = []
    with _looking(INITIATOR, unseen):
        for volume, sessions in sorted(host.connector.volume_sessions().items()):
            if volume not in here and volume_id in (None, volume):
                found.append(
                    {
                        "kind": SESSION,
                        "server_id": None,
                        "volume_id": volume,
                        "live": None,
                        "stored": None,
                        "sessions": [dataclasses.asdict(one) for one in sessions],
                    }
                )
    return found


@contextlib.contextmanager
def _looking(side: str, unseen: list[dict[str, str]]) -> Iterator[None]:
    try:
        yield
    except errors.LiteError as err:
        unseen.append({"side": side, "reason": err.message})
