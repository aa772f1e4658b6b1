"""volume_create_scheduler over a real schema: chosen, tried again elsewhere, given up."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import services, types, volumes
from cinder_lite.scheduler import core, flow, host_state, manager
from lite_common import context, db, errors


class Daemon:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.created: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []
        self.is_down = False
        self.told: list[tuple[str, ...]] = []

    def create_volume(
        self, ctx: context.RequestContext, host: str, volume_id: str, spec: dict[str, Any], properties: dict[str, Any]
    ) -> None:
        if self.is_down:
            raise errors.Unavailable("RabbitMQ is down")
        self.created.append((host, volume_id, spec, properties))

    def create_snapshot(self, ctx: context.RequestContext, host: str, snapshot_id: str) -> None:
        self._told("create_snapshot", host, snapshot_id)

    def extend_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        self._told("extend_volume", host, volume_id)

    def retype(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        self._told("retype", host, volume_id)

    def publish_service_capabilities(self, ctx: context.RequestContext) -> None:
        raise AssertionError("not asked here")

    def _told(self, *what: str) -> None:
        if self.is_down:
            raise errors.Unavailable("RabbitMQ is down")
        self.told.append(what)


class World:
    """A scheduler that knows the backends host1@a (100 GiB) and host1@b (50 GiB)."""

    def __init__(self, database: db.Database, max_attempts: int = 3) -> None:
        self.database = database
        self.daemon = Daemon()
        self.states = host_state.HostStates(60)
        names = ["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter"]
        self.scheduler = core.Scheduler(
            database, self.daemon, self.states, core.Options(core.chosen_filters(names), max_attempts)
        )
        self.ctx = context.admin_context(overwrite=False)
        for name, capacity in (("a", 100), ("b", 50)):
            services.beat(database, f"host1@{name}", "cinder-volume", "cinder-volume", "nova")
            pool = {
                "pool_name": name,
                "total_capacity_gb": capacity,
                "free_capacity_gb": capacity,
                "provisioned_capacity_gb": 0,
                "max_over_subscription_ratio": 1.0,
                "reserved_percentage": 0,
                "thin_provisioning_support": True,
            }
            self.states.update(f"host1@{name}", {"pools": [pool]})

    def creating(self, size: int = 10, zone: str = "nova") -> str:
        volume_id = str(uuid.uuid4())
        with self.database.connection() as conn:
            found = types.find(conn, "__DEFAULT__")
        assert found is not None
        row = {"id": volume_id, "size": size, "project_id": "p", "volume_type_id": found.id, "availability_zone": zone}
        self.database.run(lambda conn: volumes.insert(conn, row, {}))
        return volume_id

    def volume(self, volume_id: str) -> volumes.Volume:
        with self.database.connection() as conn:
            return volumes.get(conn, volume_id)

    def schedule(self, volume_id: str, properties: dict[str, Any] | None = None) -> None:
        flow.create_volume(self.scheduler, self.ctx, volume_id, {}, properties or {})


@pytest.fixture
def world(database: db.Database) -> World:
    return World(database)


def test_the_roomiest_backend_gets_the_volume(world: World) -> None:
    volume_id = world.creating()
    world.schedule(volume_id)
    ((host, told, spec, properties),) = world.daemon.created
    assert (host, told) == ("host1@a#a", volume_id)
    assert world.volume(volume_id).host == "host1@a#a"
    assert spec["volume_properties"]["size"] == 10
    assert properties["retry"] == {"num_attempts": 1, "backends": ["host1@a"], "hosts": ["host1@a#a"], "exc": []}


def test_volumes_given_since_the_last_report_count(world: World) -> None:
    for _ in range(6):
        world.schedule(world.creating(size=20))
    assert sorted(host for host, *_ in world.daemon.created).count("host1@b#b") >= 1
    world.schedule(world.creating(size=20))
    with pytest.raises(cinder_errors.NoValidBackend):
        world.schedule(world.creating(size=20))


def test_a_backend_that_failed_is_not_tried_again(world: World) -> None:
    volume_id = world.creating()
    world.schedule(volume_id)
    properties = world.daemon.created[0][3]
    with world.database.connection() as conn:
        volumes.update(conn, volume_id, host=None)
    world.schedule(volume_id, properties)
    assert world.daemon.created[1][0] == "host1@b#b"
    assert world.daemon.created[1][3]["retry"]["num_attempts"] == 2
    with world.database.connection() as conn:
        volumes.update(conn, volume_id, host=None)
    with pytest.raises(cinder_errors.NoValidBackend, match="already failed"):
        world.schedule(volume_id, world.daemon.created[1][3])
    assert world.volume(volume_id).status == "error"


def test_attempts_are_limited_and_the_last_cause_is_told(database: db.Database) -> None:
    world = World(database, max_attempts=1)
    volume_id = world.creating()
    world.schedule(volume_id)
    assert "retry" not in world.daemon.created[0][3]
    other = world.creating()
    with pytest.raises(cinder_errors.NoValidBackend, match="no space left"):
        world.schedule(other, {"retry": {"num_attempts": 1, "backends": ["x"], "exc": ["no space left"]}})
    assert world.volume(other).status == "error"


def test_no_backend_has_room(world: World) -> None:
    volume_id = world.creating(size=101)
    with pytest.raises(cinder_errors.NoValidBackend) as caught:
        world.schedule(volume_id)
    assert "host1@a#a has 100.00 GiB left to promise, 101 are asked for" in caught.value.message
    assert world.volume(volume_id).status == "error"
    assert world.volume(volume_id).host is None


def test_no_backend_in_the_zone(world: World) -> None:
    volume_id = world.creating(zone="mars")
    with pytest.raises(cinder_errors.NoValidBackend, match="not in mars"):
        world.schedule(volume_id)


def test_a_disabled_or_silent_backend_gets_nothing(world: World) -> None:
    with world.database.connection() as conn:
        services.set_disabled(conn, "host1@a", "cinder-volume", True, "repair")
    world.schedule(world.creating())
    assert world.daemon.created[0][0] == "host1@b#b"
    long_ago = db.utcnow() - datetime.timedelta(hours=1)
    with world.database.connection() as conn:
        conn.execute(services.TABLE.update().values(updated_at=long_ago))
    with pytest.raises(cinder_errors.NoValidBackend, match="alive"):
        world.schedule(world.creating())


def test_a_message_that_comes_twice_gives_the_volume_once(world: World) -> None:
    volume_id = world.creating()
    world.schedule(volume_id)
    world.schedule(volume_id)
    assert len(world.daemon.created) == 1
    assert world.volume(volume_id).status == "creating"


def test_a_late_second_message_does_not_fail_a_volume_that_a_backend_has(world: World) -> None:
    volume_id = world.creating()
    world.schedule(volume_id)
    with pytest.raises(cinder_errors.NoValidBackend):
        world.schedule(volume_id, {"retry": {"num_attempts": 3, "backends": [], "exc": ["late"]}})
    assert world.volume(volume_id).status == "creating"


def test_a_bus_that_is_down_leaves_the_volume_waiting(world: World) -> None:
    volume_id = world.creating()
    world.daemon.is_down = True
    world.schedule(volume_id)
    assert (world.volume(volume_id).status, world.volume(volume_id).host) == ("creating", None)
    world.daemon.is_down = False
    world.schedule(volume_id)
    assert world.volume(volume_id).host == "host1@a#a"


def test_a_lost_message_is_found_by_the_timer(world: World) -> None:
    endpoint = manager.SchedulerManager(world.scheduler, core.Waiting(world.states, 0))
    volume_id = world.creating()
    endpoint.find_lost()
    assert world.daemon.created == []
    with world.database.connection() as conn:
        ago = db.utcnow() - datetime.timedelta(seconds=core.LOST_AFTER + 1)
        conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(created_at=ago))
    endpoint.find_lost()
    assert [told for _, told, *_ in world.daemon.created] == [volume_id]


def test_get_pools_tells_what_living_enabled_backends_reported(world: World) -> None:
    endpoint = manager.SchedulerManager(world.scheduler, core.Waiting(world.states, 0))
    endpoint.update_service_capabilities(world.ctx, "volume", "host2@c", {"pools": [{"pool_name": "c", "x": 1}]})
    found = {one["name"]: one["capabilities"] for one in endpoint.get_pools(world.ctx)}
    # A service that the database does not know, or that is disabled, has no pool that could be used.
    assert set(found) == {"host1@a#a", "host1@b#b"}
    services.beat(world.database, "host2@c", "cinder-volume", "cinder-volume", "nova")
    with world.database.connection() as conn:
        services.set_disabled(conn, "host1@a", "cinder-volume", True, "repair")
    found = {one["name"]: one["capabilities"] for one in endpoint.get_pools(world.ctx)}
    assert set(found) == {"host1@b#b", "host2@c#c"}
    assert found["host2@c#c"]["x"] == 1
