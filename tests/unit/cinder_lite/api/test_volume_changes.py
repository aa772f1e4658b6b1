"""os-extend, os-retype and copies over HTTP: states, versions, quota, and the bus that is down."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cinder_lite.db import services, types, volumes
from tests.unit.cinder_lite.world import HOST, World


def set_status(world: World, volume_id: str, status: str, attach_status: str = "detached", **more: Any) -> None:
    values = {"status": status, "attach_status": attach_status, **more}
    with world.database.connection() as conn:
        conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(values))


def new_type(world: World, name: str = "new", **specs: str) -> str:
    with world.database.connection() as conn:
        return types.insert(conn, name, None, True, specs)


def shown(world: World, volume_id: str) -> dict[str, Any]:
    return dict(world.ask("GET", f"/volumes/{volume_id}").json["volume"])


@pytest.mark.parametrize(
    ("status", "attach_status", "version", "code"),
    [
        ("available", "detached", "3.0", 202),
        ("in-use", "attached", "3.41", 400),
        ("in-use", "attached", "3.42", 202),
        ("reserved", "detached", "3.42", 400),
        ("attaching", "detached", "3.69", 400),
        ("detaching", "attached", "3.69", 400),
        ("error", "detached", "3.69", 400),
        ("extending", "detached", "3.69", 400),
        ("retyping", "detached", "3.69", 400),
    ],
)
def test_extend_by_state_and_version(world: World, status: str, attach_status: str, version: str, code: int) -> None:
    volume_id = world.volume()
    set_status(world, volume_id, status, attach_status)
    answer = world.action(volume_id, "os-extend", {"new_size": 2}, version=version)
    assert answer.status_int == code
    after = shown(world, volume_id)
    if code == 400:
        assert f"currently {status}" in answer.json["badRequest"]["message"]
    assert (after["status"], after["size"]) == (status, 1 if code == 400 else 2)


def test_a_bus_that_is_down_changes_nothing(world: World) -> None:
    volume_id = world.volume()
    new_type(world)
    set_status(world, volume_id, "in-use", "attached")
    world.scheduler.down = True
    assert world.action(volume_id, "os-extend", {"new_size": 2}).status_int == 503
    assert world.action(volume_id, "os-retype", {"new_type": "new"}).status_int == 503
    after = shown(world, volume_id)
    assert (after["status"], after["size"], after["volume_type"]) == ("in-use", 1, "__DEFAULT__")
    assert world.usage() == {"volumes": (1, 0), "gigabytes": (1, 0)}


def test_what_is_to_be_counts_at_once(world: World) -> None:
    world.scheduler.places = False
    volume_id = world.volume()
    set_status(world, volume_id, "available", host=HOST)
    assert world.action(volume_id, "os-extend", {"new_size": 90}).status_int == 202
    assert world.usage()["gigabytes"] == (90, 0)
    assert world.ask("POST", "/volumes", {"volume": {"size": 11}}).status_int == 413
    other = world.volume(size=10)
    set_status(world, other, "available", host=HOST)
    answer = world.action(other, "os-extend", {"new_size": 11})
    assert answer.status_int == 413
    assert shown(world, other)["status"] == "available"


def test_the_largest_size_of_a_volume(database: Any) -> None:
    world = World(database, per_volume_gigabytes=5)
    volume_id = world.volume()
    answer = world.action(volume_id, "os-extend", {"new_size": 6})
    assert answer.status_int == 413
    assert answer.json["overLimit"]["message"].startswith("VolumeSizeExceedsLimit: ")
    assert world.action(volume_id, "os-extend", {"new_size": 5}).status_int == 202


@pytest.mark.parametrize("size", ["0", "9" * 10, "9" * 5000, "5\n", 2**63, -1])
def test_sizes_that_no_volume_can_grow_to(world: World, size: int | str) -> None:
    assert world.action(world.volume(), "os-extend", {"new_size": size}).status_int == 400


def test_retype_and_its_quota(world: World) -> None:
    volume_id = world.volume(size=3)
    new_type(world)
    world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"gigabytes_new": 2}})
    answer = world.action(volume_id, "os-retype", {"new_type": "new"})
    assert (answer.status_int, "gigabytes_new quota" in answer.text) == (413, True)
    world.ask("DELETE", "/os-quota-sets/demo")
    assert world.action(volume_id, "os-retype", {"new_type": "new", "migration_policy": "on-demand"}).status_int == 202
    assert world.scheduler.told == [("retype", volume_id, "on-demand")]
    assert shown(world, volume_id)["volume_type"] == "new"
    usage = world.ask("GET", "/os-quota-sets/demo?usage=true").json["quota_set"]
    assert usage["volumes_new"]["in_use"] == 1
    assert usage["gigabytes_new"]["in_use"] == 3
    assert usage.get("volumes___DEFAULT__", {"in_use": 0})["in_use"] == 0


@pytest.mark.parametrize(
    ("status", "specs", "code"),
    [
        ("available", {}, 202),
        ("in-use", {}, 202),
        ("available", {"multiattach": "<is> True"}, 202),
        ("in-use", {"multiattach": "<is> True"}, 400),
        ("error", {}, 400),
        ("extending", {}, 400),
        ("reserved", {}, 400),
    ],
)
def test_retype_by_state(world: World, status: str, specs: dict[str, str], code: int) -> None:
    volume_id, type_id = world.volume(), new_type(world, **specs)
    set_status(world, volume_id, status, "attached" if status == "in-use" else "detached")
    assert world.action(volume_id, "os-retype", {"new_type": type_id}).status_int == code
    assert shown(world, volume_id)["status"] == status


def test_a_snapshot_counts_for_the_type_its_volume_gets(world: World) -> None:
    volume_id = world.volume()
    world.snapshot(volume_id)
    new_type(world)
    world.action(volume_id, "os-retype", {"new_type": "new"})
    usage = world.ask("GET", "/os-quota-sets/demo?usage=true").json["quota_set"]
    assert usage["snapshots_new"]["in_use"] == 1
    assert usage["gigabytes_new"]["in_use"] == 2


def test_a_copy_has_what_its_source_has(world: World) -> None:
    new_type(world)
    source = world.volume(size=3, volume_type="new")
    with world.database.connection() as conn:
        volumes.update(conn, source, bootable=True, host="host1@b#b")
    copy = shown(world, world.volume(size=None, source_volid=source))
    assert (copy["size"], copy["volume_type"], copy["bootable"]) == (3, "new", "true")
    assert world.scheduler.specs[-1]["resource_backend"] == "host1@b#b"
    snapshot_id = world.snapshot(source)
    copy = shown(world, world.volume(size=4, snapshot_id=snapshot_id))
    assert (copy["size"], copy["volume_type"], copy["bootable"]) == (4, "new", "true")
    assert world.scheduler.specs[-1]["snapshot_id"] == snapshot_id


@pytest.mark.parametrize("status", ["creating", "error", "deleting", "extending"])
def test_a_source_in_another_state(world: World, status: str) -> None:
    source = world.volume()
    set_status(world, source, status)
    answer = world.ask("POST", "/volumes", {"volume": {"source_volid": source}})
    assert answer.status_int == 400
    assert answer.json["badRequest"]["message"].startswith("Invalid volume: Source volume status must be")


def test_a_copy_of_another_type(world: World) -> None:
    new_type(world)
    new_type(world, "elsewhere", volume_backend_name="b")
    source = world.volume()
    wanted = {"source_volid": source, "volume_type": "elsewhere"}
    # With one backend there is no other place.
    assert world.ask("POST", "/volumes", {"volume": wanted}).status_int == 202
    services.beat(world.database, "host1@b", "cinder-volume", "cinder-volume", "nova")
    answer = world.ask("POST", "/volumes", {"volume": wanted})
    assert (answer.status_int, "requested type is not compatible" in answer.text) == (400, True)
    assert world.ask("POST", "/volumes", {"volume": {"source_volid": source, "volume_type": "new"}}).status_int == 202


@pytest.mark.parametrize(
    ("status", "version", "code"), [("available", "3.70", 404), ("available", "3.71", 400), ("extending", "3.71", 400)]
)
def test_no_extension_here_waits_for_nova_to_complete_it(world: World, status: str, version: str, code: int) -> None:
    volume_id = world.volume()
    set_status(world, volume_id, status)
    answer = world.action(volume_id, "os-extend_volume_completion", {"error": False}, version=version)
    assert answer.status_int == code
    assert (shown(world, volume_id)["status"], shown(world, volume_id)["size"]) == (status, 1)


def test_a_completion_is_for_admins_and_of_a_volume(world: World) -> None:
    volume_id = world.volume()
    name = "os-extend_volume_completion"
    assert world.action(volume_id, name, {"error": False}, token="ann:demo", version="3.71").status_int == 403
    assert world.action(volume_id, name, {"error": "perhaps"}, version="3.71").status_int == 400
    assert world.action(str(uuid.uuid4()), name, {}, version="3.71").status_int == 404
