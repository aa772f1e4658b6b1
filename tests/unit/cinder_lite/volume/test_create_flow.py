"""The flow volume_create_api: its tasks by name, and what each failure undoes."""

from __future__ import annotations

from typing import Any

import pytest

from cinder_lite import errors, quota
from cinder_lite.db import services, types, volumes
from cinder_lite.volume import create, requests
from lite_common import context, db
from lite_common import errors as common_errors
from tests.unit.cinder_lite.world import SchedulerTwin, World

DEFAULTS = requests.Defaults("__DEFAULT__", "nova", False)


def run(database: db.Database, scheduler: Any, asked: requests.CreateRequest, **kw: Any) -> tuple[dict[str, Any], Any]:
    engine = quota.QuotaEngine(database, {"volumes": 10, "gigabytes": 100}, 60)
    ctx = context.RequestContext(user_id="ann", project_id="demo")
    return create.run(
        ctx, asked, database=database, quotas=engine, scheduler=scheduler, defaults=kw.get("defaults", DEFAULTS)
    )


def nothing_left(world: World) -> bool:
    return world.rows("volumes") == world.rows("reservations") == 0 and world.usage() == {
        "volumes": (0, 0),
        "gigabytes": (0, 0),
    }


@pytest.mark.parametrize(
    "task",
    [
        create.ExtractVolumeRequestTask,
        create.QuotaReserveTask,
        create.EntryCreateTask,
        create.QuotaCommitTask,
        create.VolumeCastTask,
    ],
)
def test_a_failure_in_any_task_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch, task: type) -> None:
    inner = task.execute

    def fail_after(self: Any, *args: Any, **kwargs: Any) -> Any:
        if task is create.VolumeCastTask:
            raise common_errors.Unavailable("RabbitMQ is down")
        inner(self, *args, **kwargs)
        raise common_errors.Unavailable("the process lost its way")

    fail_after.__wrapped__ = inner  # type: ignore[attr-defined]  # taskflow reads the arguments from the signature
    monkeypatch.setattr(task, "execute", fail_after)
    with pytest.raises(common_errors.Unavailable):
        run(world.database, world.scheduler, requests.CreateRequest(3, metadata={"a": "b"}))
    if task is create.QuotaReserveTask:
        # What the failing task itself had done has no result to undo it by; it expires.
        assert world.rows("volumes") == 0
    else:
        assert nothing_left(world)


def test_when_undoing_fails_the_first_cause_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_destroy(*args: Any) -> None:
        raise common_errors.Unavailable("the database is down")

    world.scheduler.down = True
    monkeypatch.setattr(volumes, "destroy", no_destroy)
    with pytest.raises(common_errors.Unavailable):
        run(world.database, world.scheduler, requests.CreateRequest(1))


def test_zones(world: World) -> None:
    def zone(asked: str | None, **kw: Any) -> str:
        return str(
            run(world.database, world.scheduler, requests.CreateRequest(1, availability_zone=asked), **kw)[
                1
            ].availability_zone
        )

    services.beat(world.database, "h2@b", "cinder-volume", "cinder-volume", "west")
    assert (zone(None), zone("nova"), zone("west")) == ("nova", "nova", "west")
    with pytest.raises(errors.InvalidAvailabilityZone, match=r"Zones with a backend: nova, west\."):
        zone("moon")
    assert zone("moon", defaults=requests.Defaults("__DEFAULT__", "nova", True)) == "nova"
    with world.database.connection() as conn:
        types.insert(conn, "western", None, True, {"RESKEY:availability_zones": "west, east"})
    western = requests.Defaults("western", "nova", False)
    assert zone(None, defaults=western) == "west"
    with pytest.raises(errors.InvalidInput, match="west, east, not nova"):
        zone("nova", defaults=western)


def test_the_type_limits_the_size(world: World) -> None:
    with world.database.connection() as conn:
        types.insert(conn, "mid", None, True, {"provisioning:min_vol_size": "2", "provisioning:max_vol_size": "4"})
    for size, text in ((1, "less than the minimum required '2'"), (5, "greater than the maximum allowed '4'")):
        with pytest.raises(errors.InvalidInput, match=text):
            run(world.database, world.scheduler, requests.CreateRequest(size, volume_type="mid"))
    assert run(world.database, world.scheduler, requests.CreateRequest(3, volume_type="mid"))[1].size == 3


def test_the_scheduler_hears_of_it_last(database: db.Database) -> None:
    seen: list[str] = []

    class Listening(SchedulerTwin):
        def create_volume(self, ctx: Any, volume_id: str, request_spec: Any, filters: Any) -> None:
            with database.connection() as conn:
                seen.append(volumes.get(conn, volume_id).status)

    run(database, Listening(database), requests.CreateRequest(1))
    assert seen == ["creating"]
