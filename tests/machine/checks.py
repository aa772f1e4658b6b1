"""What must hold after every step, and what must hold once all is up and the timers have had their turns.

Both look at databases, guests, targets and bytes, never at the APIs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.machine.cluster import Cluster, raw

# A guest that has the disk in one of these would share it with whoever asks next.
FREE = ("available", "deleting", "error", "deleted")
PROJECT = "demo"
# Seconds of the daemons' own time within which all must be well again, once all are up.
HEAL_LIMIT = 60.0


@dataclass(frozen=True)
class Seen:
    """All there is: living rows by id, disks of guests, users of exports, bytes."""

    servers: dict[str, dict[str, Any]]
    devices: list[dict[str, Any]]
    volumes: dict[str, dict[str, Any]]
    attachments: list[dict[str, Any]]
    snapshots: dict[str, dict[str, Any]]
    guests: dict[str, tuple[frozenset[str], frozenset[str]]]
    users: dict[str, list[str]]
    bytes: dict[str, int]
    usage: dict[str, tuple[int, int]]


def look(cluster: Cluster) -> Seen:
    """What there is now."""
    nova, cinder = (cluster.site.databases[name] for name in ("nova_lite", "cinder_lite"))
    volumes = "SELECT id, status, attach_status, size, host, updated_at FROM volumes WHERE deleted = 0"
    attachments = "SELECT id, volume_id, instance_uuid, attach_status FROM volume_attachment WHERE deleted = 0"
    devices = (
        "SELECT uuid, instance_uuid, volume_id, attachment_id, connection_info IS NOT NULL AS connected "
        "FROM block_device_mapping WHERE deleted = 0 AND volume_id IS NOT NULL"
    )
    usage = f"SELECT resource, in_use, reserved FROM quota_usages WHERE project_id = '{PROJECT}'"
    return Seen(
        servers=_by_id(_rows(nova, "SELECT uuid AS id, vm_state, task_state FROM instances WHERE deleted = 0")),
        devices=_rows(nova, devices),
        volumes=_by_id(_rows(cinder, volumes)),
        attachments=_rows(cinder, attachments),
        snapshots=_by_id(_rows(cinder, "SELECT id, status, volume_size FROM snapshots WHERE deleted = 0")),
        guests=cluster.guests.disks(),
        users=cluster.target.users(),
        bytes={name.removeprefix("volume-"): size for name, size in cluster.storage.volumes.items()},
        usage={row["resource"]: (row["in_use"], row["reserved"]) for row in _rows(cinder, usage)},
    )


def heal(cluster: Cluster) -> float:
    """Have all daemons up and let time pass until all is well; the seconds that took. AssertionError if it never is."""
    hub = cluster.hub
    for name, daemon in cluster.daemons.items():
        daemon.fuse = None
        if not daemon.alive:
            cluster.start(name)
    begun, wrong = hub.offset, ["not looked at yet"]
    cluster.settle(1)
    while wrong and hub.offset < begun + HEAL_LIMIT:
        cluster.pass_time(8)
        cluster.settle(1)
        seen = look(cluster)
        wrong = [*always(cluster, seen), *healed(seen)]
    assert not wrong, tell(cluster, wrong)
    took = hub.offset - begun
    # What heals must not go on and break it again.
    cluster.pass_time(121)
    cluster.settle(60)
    seen = look(cluster)
    wrong = [*always(cluster, seen), *healed(seen)]
    assert not wrong, tell(cluster, wrong)
    return took


def tell(cluster: Cluster, wrong: list[str]) -> str:
    """What is wrong, and how it came about."""
    return "\n".join([*wrong, "", "the story:", *cluster.hub.story[-60:]])


def always(cluster: Cluster, seen: Seen) -> Iterator[str]:
    """What is wrong now, whatever is going on."""
    yield from cluster.hub.crashed
    yield from cluster.web.failures
    if cluster.storage.taken:
        yield f"the bytes were deleted under a guest: {cluster.storage.taken}"
    holders = Counter(volume for live, stored in seen.guests.values() for volume in live | stored)
    yield from (f"volume {volume} is in {number} guests" for volume, number in holders.items() if number > 1)
    rows = {(row["instance_uuid"], row["volume_id"]) for row in seen.devices}
    for server, (live, stored) in seen.guests.items():
        for volume in live | stored:
            # A server that was deleted while its host was down leaves its guest there; that host removes it later.
            if (server, volume) not in rows and server in seen.servers:
                yield f"guest {server} has volume {volume} without a row"
        for volume in live:
            yield from _taken_away(seen, server, volume)


def _taken_away(seen: Seen, server: str, volume: str) -> Iterator[str]:
    if not seen.users.get(volume):
        yield f"guest {server} has volume {volume}, whose export is gone"
    if volume not in seen.bytes:
        yield f"guest {server} has volume {volume}, whose bytes are gone"
    status = seen.volumes.get(volume, {}).get("status", "deleted")
    if status in FREE:
        yield f"guest {server} has volume {volume}, which is {status}"
    others = [row for row in seen.attachments if row["volume_id"] == volume and row["instance_uuid"] != server]
    if others:
        yield f"guest {server} has volume {volume}, which is given to {others}"


def healed(seen: Seen) -> Iterator[str]:
    """What is wrong once nothing is going on any more."""
    for server, row in seen.servers.items():
        if row["task_state"] is not None:
            yield f"server {server} is {row}"
        if row["vm_state"] in ("active", "stopped", "paused") and server not in seen.guests:
            yield f"server {server} is {row} and has no guest"
    yield from (f"guest {server} has no server" for server in seen.guests if server not in seen.servers)
    for volume in seen.volumes.values():
        yield from _settled(seen, volume)
    known = {*seen.volumes}
    yield from (f"row {row} of no volume" for row in seen.devices if row["volume_id"] not in known)
    yield from (f"attachment {row} of no volume" for row in seen.attachments if row["volume_id"] not in known)
    yield from (f"bytes of no volume: {name}" for name in seen.bytes if name not in known)
    yield from (f"export of no volume: {name}" for name in seen.users if name not in known)
    for snapshot, row in seen.snapshots.items():
        if row["status"] not in ("available", "error"):
            yield f"snapshot {snapshot} is {row['status']}"
    yield from _quotas(seen)


def _settled(seen: Seen, volume: dict[str, Any]) -> Iterator[str]:
    """In use with one of each, or free with nothing left."""
    name, status = volume["id"], volume["status"]
    devices = [row for row in seen.devices if row["volume_id"] == name]
    attachments = [row for row in seen.attachments if row["volume_id"] == name]
    guests = [server for server, (_, stored) in seen.guests.items() if name in stored]
    exported = name in seen.users
    told = f"volume {name} is {status}: rows {devices}, attachments {attachments}, guests {guests}, export {exported}"
    if status == "in-use":
        server = devices[0]["instance_uuid"] if len(devices) == 1 else None
        right = [(row["instance_uuid"], row["attach_status"], row["id"]) for row in attachments]
        # The volume actions do not tell the compute service their attachment's id.
        known = (devices[0]["attachment_id"] if devices else None) or (attachments[0]["id"] if attachments else None)
        wanted = [(server, "attached", known)]
        # A server that could not be built anew has no guest; its volumes stay its own.
        broken = seen.servers.get(str(server), {}).get("vm_state") == "error" and not guests
        if len(devices) != 1 or right != wanted or (guests != [server] and not broken) or not exported:
            yield told
        elif name not in seen.bytes:
            yield f"{told}, no bytes"
    elif status in ("available", "error"):
        if devices or attachments or guests or exported or (status == "available" and name not in seen.bytes):
            yield told
    else:
        yield told
    if volume["size"] != seen.bytes.get(name, volume["size"]):
        yield f"volume {name} of {volume['size']} GiB has {seen.bytes[name]}"


def _quotas(seen: Seen) -> Iterator[str]:
    sizes = [volume["size"] for volume in seen.volumes.values()]
    sizes += [snapshot["volume_size"] for snapshot in seen.snapshots.values()]
    wanted = {"volumes": len(seen.volumes), "gigabytes": sum(sizes), "snapshots": len(seen.snapshots)}
    for resource, number in wanted.items():
        found = seen.usage.get(resource, (0, 0))
        if found != (number, 0):
            yield f"quota of {resource} is {found}, there are {number}"


def _rows(database: Any, query: str) -> list[dict[str, Any]]:
    cursor = raw(database).execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}
