"""Work on volumes that have a backend: handed to it, or back where it cannot take it."""

from __future__ import annotations

import uuid

import pytest

from cinder_lite import errors
from cinder_lite.db import changes, placement, services, snapshots, types, volumes
from cinder_lite.scheduler import core, flow, manager, placed
from lite_common import db
from tests.unit.cinder_lite.scheduler.test_flow import World


@pytest.fixture
def world(database: db.Database) -> World:
    return World(database)


def available(world: World, host: str = "host1@a#a", **columns: str) -> str:
    volume_id = world.creating(size=10)
    assert placement.place(world.database, volume_id, host, "nova")
    with world.database.connection() as conn:
        assert volumes.move(conn, "created", volume_id, **columns)
    return volume_id


def extending(world: World, volume_id: str, size: int) -> None:
    with world.database.connection() as conn:
        assert changes.begin_extending(conn, volume_id, size, attached=True)


def retyping(world: World, volume_id: str, **specs: str) -> str:
    with world.database.connection() as conn:
        type_id = types.insert(conn, "new", None, True, specs)
        assert changes.begin_retyping(conn, volumes.get(conn, volume_id), type_id)
    return type_id


def snapshot(world: World, volume_id: str, size: int = 10) -> str:
    snapshot_id = str(uuid.uuid4())
    row = {"id": snapshot_id, "volume_id": volume_id, "project_id": "p", "volume_size": size}
    row["volume_type_id"] = world.volume(volume_id).volume_type_id
    world.database.run(lambda conn: snapshots.insert(conn, row, {}))
    return snapshot_id


def snapshot_status(world: World, snapshot_id: str) -> str:
    with world.database.connection() as conn:
        return snapshots.get(conn, snapshot_id).status


def test_an_extend_goes_to_the_volumes_backend_and_counts_until_its_next_report(world: World) -> None:
    first, second = available(world), available(world)
    extending(world, first, 90)
    placed.extend_volume(world.scheduler, world.ctx, first)
    assert world.daemon.told == [("extend_volume", "host1@a#a", first)]
    extending(world, second, 60)
    with pytest.raises(errors.NoValidBackend, match=r"has 20\.00 GiB left to promise, 50 are asked for"):
        placed.extend_volume(world.scheduler, world.ctx, second)
    assert (world.volume(second).status, world.volume(second).size) == ("available", 10)
    with world.database.connection() as conn:
        assert changes.pending(conn, second) == changes.Pending(None, None)


@pytest.mark.parametrize("disabled", [True, False])
def test_a_backend_that_is_away_takes_nothing(world: World, disabled: bool) -> None:
    volume_id = available(world, "host1@a#a" if disabled else "host1@gone#gone")
    extending(world, volume_id, 11)
    with world.database.connection() as conn:
        services.set_disabled(conn, "host1@a", "cinder-volume", disabled, None)
    with pytest.raises(errors.NoValidBackend, match="is disabled, not alive or has not reported"):
        placed.extend_volume(world.scheduler, world.ctx, volume_id)
    assert world.volume(volume_id).status == "available"


def test_a_snapshot(world: World) -> None:
    volume_id = available(world)
    fits, does_not = snapshot(world, volume_id), snapshot(world, volume_id, 95)
    placed.create_snapshot(world.scheduler, world.ctx, fits)
    with pytest.raises(errors.NoValidBackend, match=r"90\.00 GiB left"):
        placed.create_snapshot(world.scheduler, world.ctx, does_not)
    assert world.daemon.told == [("create_snapshot", "host1@a#a", fits)]
    assert (snapshot_status(world, fits), snapshot_status(world, does_not)) == ("creating", "error")


@pytest.mark.parametrize(("policy", "why"), [("never", "migration not allowed"), ("on-demand", "not served")])
def test_a_type_that_the_backend_does_not_offer(world: World, policy: str, why: str) -> None:
    volume_id = available(world)
    retyping(world, volume_id, volume_backend_name="b")
    with pytest.raises(errors.NoValidBackend, match=f"Current host not valid for volume {volume_id} .*{why}"):
        placed.retype(world.scheduler, world.ctx, volume_id, policy)
    assert (world.volume(volume_id).status, world.volume(volume_id).volume_type) == ("available", "__DEFAULT__")


def test_a_type_that_the_backend_offers(world: World) -> None:
    volume_id = available(world)
    retyping(world, volume_id, thin_provisioning_support="<is> True")
    placed.retype(world.scheduler, world.ctx, volume_id, "never")
    assert world.daemon.told == [("retype", "host1@a#a", volume_id)]
    assert world.volume(volume_id).status == "retyping"


def test_a_bus_that_is_down_leaves_it_to_the_backend_to_find(world: World) -> None:
    volume_id, other = available(world), available(world)
    snapshot_id = snapshot(world, volume_id)
    extending(world, volume_id, 11)
    retyping(world, other)
    world.daemon.is_down = True
    endpoint = manager.SchedulerManager(world.scheduler, core.Waiting(world.states, 60))
    endpoint.extend_volume(world.ctx, volume_id)
    endpoint.create_snapshot(world.ctx, snapshot_id)
    endpoint.retype(world.ctx, other)
    assert world.volume(volume_id).status == "extending"
    assert world.volume(other).status == "retyping"
    assert snapshot_status(world, snapshot_id) == "creating"


def test_messages_that_come_late(world: World) -> None:
    volume_id = available(world)
    placed.extend_volume(world.scheduler, world.ctx, volume_id)
    placed.retype(world.scheduler, world.ctx, volume_id, "never")
    snapshot_id = snapshot(world, volume_id)
    with world.database.connection() as conn:
        assert snapshots.move(conn, "created", snapshot_id)
    placed.create_snapshot(world.scheduler, world.ctx, snapshot_id)
    assert world.daemon.told == []


@pytest.mark.parametrize("lost", [True, False])
def test_a_copy_goes_where_its_source_is(world: World, lost: bool) -> None:
    """`host1@b` is the smaller one, so nothing but the source leads there; also when the request was lost."""
    source = available(world, "host1@b#b")
    copy = world.creating()
    with world.database.connection() as conn:
        volumes.update(conn, copy, source_volid=source)
    type_ = {"extra_specs": {}}
    spec = {"volume_properties": {"size": 10}, "volume_type": type_, "resource_backend": "host1@b#b"}
    flow.create_volume(world.scheduler, world.ctx, copy, {} if lost else spec, {})
    assert [host for host, *_ in world.daemon.created] == ["host1@b#b"]


def test_a_copy_whose_sources_backend_is_away(world: World) -> None:
    source = available(world, "host1@b#b")
    snapshot_id = snapshot(world, source)
    copy = world.creating()
    with world.database.connection() as conn:
        volumes.update(conn, copy, snapshot_id=snapshot_id)
        services.set_disabled(conn, "host1@b", "cinder-volume", True, None)
    with pytest.raises(
        errors.NoValidBackend, match="does not have what the volume is made from, which is on host1@b#b"
    ):
        world.schedule(copy)
    assert world.volume(copy).status == "error"
