"""What must be true when the daemons have had their time: nothing stuck, nothing shared, nothing left over.

All is read from those who have it (databases, guests, targets, bytes), never from the APIs.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

from devstack.chaos.site import Site

VOLUMES = "SELECT id, status, attach_status FROM volumes WHERE deleted = 0"
ATTACHMENTS = "SELECT id, volume_id, instance_uuid, attach_status FROM volume_attachment WHERE deleted = 0"
DEVICES = (
    "SELECT instance_uuid, volume_id, attachment_id FROM block_device_mapping "
    "WHERE deleted = 0 AND volume_id IS NOT NULL"
)
SERVERS = "SELECT uuid, vm_state, task_state FROM instances WHERE deleted = 0"
USAGES = "SELECT resource, in_use, reserved FROM quota_usages WHERE project_id = 'demo'"


class Watch:
    """Looks at the guests all the while: no volume may ever be in two of them."""

    def __init__(self, site: Site, seconds: float) -> None:
        self.looks = 0
        self.shared: set[str] = set()
        self._site = site
        self._pause = seconds
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._halt.set()
        self._thread.join(60)

    def _loop(self) -> None:
        while not self._halt.wait(self._pause):
            self.shared |= shared(self._site)
            self.looks += 1


def shared(site: Site) -> set[str]:
    """Volumes that more than one guest has."""
    counts = Counter(volume for disks in site.guests().values() for volume in disks)
    return {volume for volume, number in counts.items() if number > 1}


def problems(site: Site) -> list[str]:
    """What is not as it must be at rest."""
    return list(_problems(site))


def _problems(site: Site) -> Iterator[str]:
    volumes = {row["id"]: row for row in site.rows("cinder", VOLUMES)}
    attachments, devices = site.rows("cinder", ATTACHMENTS), site.rows("nova", DEVICES)
    guests, exports, stored = site.guests(), site.exports(), site.stored()
    yield from (f"{volume} is in several guests" for volume in shared(site))
    for server in site.rows("nova", SERVERS):
        if server["task_state"] is not None or server["vm_state"] not in ("active", "stopped"):
            yield f"server {server}"
    for name, volume in volumes.items():
        rows = [row for row in devices if row["volume_id"] == name]
        told = [
            (row["instance_uuid"], row["attach_status"], row["id"]) for row in attachments if row["volume_id"] == name
        ]
        holders = [server for server, disks in guests.items() if name in disks]
        told_of = f"volume {name} is {volume['status']}: rows {rows}, attachments {told}, guests {holders}"
        if volume["status"] == "in-use" and len(rows) == 1:
            server = rows[0]["instance_uuid"]
            if told != [(server, "attached", rows[0]["attachment_id"])] or holders != [server] or name not in exports:
                yield f"{told_of}, exported {name in exports}"
        elif volume["status"] != "available" or rows or told or holders or name in exports:
            yield f"{told_of}, exported {name in exports}"
    yield from (f"row of no volume: {row}" for row in devices if row["volume_id"] not in volumes)
    yield from (f"attachment of no volume: {row}" for row in attachments if row["volume_id"] not in volumes)
    yield from (
        f"{what} of no volume: {sorted(found - set(volumes))}"
        for what, found in (("exports", exports), ("bytes", stored))
        if found - set(volumes)
    )
    yield from (f"no bytes of volume {name}" for name in volumes if name not in stored)
    usage = {row["resource"]: (row["in_use"], row["reserved"]) for row in site.rows("cinder", USAGES)}
    for resource in ("volumes", "gigabytes"):
        if usage.get(resource, (0, 0)) != (len(volumes), 0):
            yield f"quota of {resource} is {usage.get(resource)}, there are {len(volumes)}"
