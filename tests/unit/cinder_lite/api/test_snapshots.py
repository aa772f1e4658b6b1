"""Snapshots over HTTP: what the contract tests do not reach, the bus that is down and the quota above all."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cinder_lite.db import snapshots, volumes
from lite_common import errors
from tests.unit.cinder_lite.world import HOST, World

ANN, BOB = "ann:demo", "bob:other"


def count(world: World, resource: str, project: str = "demo") -> int:
    answer = world.ask("GET", f"/os-quota-sets/{project}?usage=true")
    usage = answer.json["quota_set"][resource]
    return int(usage["in_use"] + usage["reserved"])


def set_status(world: World, volume_id: str, status: str, **more: Any) -> None:
    with world.database.connection() as conn:
        conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(status=status, **more))


def test_a_bus_that_is_down_leaves_nothing(world: World) -> None:
    volume_id = world.volume()
    world.scheduler.down = True
    answer = world.ask("POST", "/snapshots", {"snapshot": {"volume_id": volume_id, "metadata": {"a": "b"}}})
    assert answer.status_int == 503
    assert world.rows("snapshots") == world.rows("snapshot_metadata") == 0
    assert (count(world, "snapshots"), count(world, "gigabytes")) == (0, 1)


@pytest.mark.parametrize("status", ["available", "error", "error_deleting"])
def test_a_bus_that_is_down_keeps_what_was_to_go(world: World, status: str) -> None:
    snapshot_id = world.snapshot(world.volume())
    with world.database.connection() as conn:
        assert snapshots.move(conn, "reset", snapshot_id, status=status)
    world.daemon.failure = errors.Unavailable("RabbitMQ is down")
    assert world.ask("DELETE", f"/snapshots/{snapshot_id}").status_int == 503
    assert world.ask("GET", f"/snapshots/{snapshot_id}").json["snapshot"]["status"] == status
    world.daemon.failure = None
    assert world.ask("DELETE", f"/snapshots/{snapshot_id}").status_int == 202
    assert world.daemon.calls[-1] == ("delete_snapshot", HOST, snapshot_id)


def test_a_bus_that_is_down_keeps_a_volume_and_its_snapshots(world: World) -> None:
    volume_id = world.volume()
    snapshot_id = world.snapshot(volume_id)
    world.daemon.failure = errors.Unavailable("RabbitMQ is down")
    assert world.ask("DELETE", f"/volumes/{volume_id}?cascade=true").status_int == 503
    assert world.status(volume_id)[0] == "available"
    assert world.ask("GET", f"/snapshots/{snapshot_id}").json["snapshot"]["status"] == "available"


def test_quota(database: Any) -> None:
    world = World(database, snapshots=2, gigabytes=5)
    volume_id = world.volume(size=2)
    world.snapshot(volume_id)
    answer = world.ask("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    assert answer.status_int == 413
    assert answer.json["overLimit"]["message"] == (
        "VolumeSizeExceedsAvailableQuota: Requested volume exceeds allowed gigabytes quota. Requested 2G, quota is 5G "
        "and 4G has been consumed."
    )
    small = world.volume(size=1)
    assert world.ask("POST", "/snapshots", {"snapshot": {"volume_id": small}}).status_int == 413
    world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"gigabytes": -1}})
    world.snapshot(small)
    answer = world.ask("POST", "/snapshots", {"snapshot": {"volume_id": small}})
    assert answer.json["overLimit"]["message"] == (
        "SnapshotLimitExceeded: Maximum number of snapshots allowed (2) exceeded for quota 'snapshots'."
    )
    refused = world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"snapshots": 1}})
    assert (refused.status_int, "below the 2 in use" in refused.text) == (400, True)
    assert world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"snapshots___DEFAULT__": 2}}).status_int == 200
    assert count(world, "snapshots___DEFAULT__") == 2


@pytest.mark.parametrize(
    ("status", "version", "force", "code"),
    [
        ("available", "3.0", None, 202),
        ("available", "3.0", False, 202),
        ("in-use", "3.65", None, 400),
        ("in-use", "3.65", "False", 400),
        ("in-use", "3.65", True, 202),
        ("in-use", "3.0", "on", 202),
        ("in-use", "3.66", None, 202),
        ("in-use", "3.66", True, 202),
        ("in-use", "3.66", False, 400),
        ("available", "3.66", "no", 400),
        ("error", "3.66", None, 400),
        ("creating", "3.0", True, 400),
        ("extending", "3.69", None, 400),
        ("deleting", "3.69", None, 400),
    ],
)
def test_states_and_force_by_version(world: World, status: str, version: str, force: Any, code: int) -> None:
    volume_id = world.volume()
    set_status(world, volume_id, status)
    asked = {"volume_id": volume_id} | ({} if force is None else {"force": force})
    assert world.ask("POST", "/snapshots", {"snapshot": asked}, version=version).status_int == code


@pytest.mark.parametrize("columns", [{"host": None}, {"migration_status": "migrating"}])
def test_a_volume_without_a_backend_or_on_its_way_to_another(world: World, columns: dict[str, Any]) -> None:
    volume_id = world.volume()
    set_status(world, volume_id, "available", **columns)
    answer = world.ask("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    assert answer.status_int == 400
    assert answer.json["badRequest"]["message"].startswith("Invalid volume: ")


def test_what_others_have_does_not_exist(world: World) -> None:
    volume_id = world.volume(token=ANN)
    snapshot_id = world.snapshot(volume_id, token=ANN)
    path = f"/snapshots/{snapshot_id}"
    asked: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PUT", path, {"snapshot": {"name": "x"}}),
        ("DELETE", path, None),
        ("GET", f"{path}/metadata", None),
        ("POST", f"{path}/metadata", {"metadata": {"a": "b"}}),
        ("DELETE", f"{path}/metadata/a", None),
        ("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}}),
        ("POST", "/volumes", {"volume": {"snapshot_id": snapshot_id}}),
        ("POST", "/volumes", {"volume": {"source_volid": volume_id}}),
    ]
    for method, where, body in asked:
        assert world.ask(method, where, body, token=BOB).status_int == 404, (method, where)
    assert world.ask("GET", "/snapshots?all_tenants=1", token=BOB).json == {"snapshots": []}
    assert world.ask("GET", path, token=ANN).json["snapshot"]["metadata"] == {}


def test_an_admins_snapshot_of_a_users_volume_is_the_admins(world: World) -> None:
    volume_id = world.volume(token=ANN)
    world.snapshot(volume_id, token="admin:boss")
    assert count(world, "snapshots", "boss") == 1
    answer = world.ask("DELETE", f"/volumes/{volume_id}?cascade=true", token=ANN)
    assert answer.status_int == 400


def test_a_page_costs_the_same_however_long_it_is(world: World) -> None:
    volume_id = world.volume()
    world.ask("PUT", "/os-quota-sets/demo", {"quota_set": {"snapshots": -1, "gigabytes": -1}})
    costs = []
    for _ in range(2):
        for number in range(3):
            world.snapshot(volume_id, name=f"s{number}", metadata={"a": "b"})
        assert world.ask("GET", "/snapshots/detail").status_int == 200
        costs.append(len(world.statements))
    assert costs == [2, 2]


@pytest.mark.parametrize("sort", ["created_at:asc", "name:desc", "size:asc,name:asc", "status:desc", "volume_id:asc"])
def test_pages_join_to_the_whole_in_every_order(world: World, sort: str) -> None:
    volume_id = world.volume()
    made = {world.snapshot(volume_id, name=f"s{number % 2}") for number in range(5)}
    found: list[str] = []
    marker = ""
    while True:
        page = world.ask("GET", f"/snapshots?limit=2&sort={sort}{marker}").json["snapshots"]
        if not page:
            break
        found += [one["id"] for one in page]
        marker = f"&marker={found[-1]}"
    assert (len(found), set(found)) == (5, made)


def test_times_are_filters(world: World) -> None:
    world.snapshot(world.volume())
    assert len(world.ask("GET", "/snapshots?created_at=gt:2020-01-01T00:00:00").json["snapshots"]) == 1
    assert world.ask("GET", "/snapshots?created_at=lt:2020-01-01T00:00:00").json["snapshots"] == []
    assert world.ask("GET", "/snapshots?created_at=soon").status_int == 400


def test_reset_and_force_are_for_admins_and_say_what_is_missing(world: World) -> None:
    snapshot_id = world.snapshot(world.volume())
    path = f"/snapshots/{snapshot_id}/action"
    for body in ({"os-reset_status": {"status": "error"}}, {"os-force_delete": None}):
        assert world.ask("POST", path, body, token=ANN).status_int == 403
    for body in ({"os-reset_status": {}}, {"os-reset_status": {"status": "in-use"}}, {}, {"a": 1, "b": 2}):
        assert world.ask("POST", path, body).status_int == 400
    for progress in ("101%", "80", "80%\n"):
        answer = world.ask("POST", path, {"os-update_snapshot_status": {"status": "creating", "progress": progress}})
        assert (answer.status_int, "progress" in answer.text) == (400, True)
    nobody = f"/snapshots/{uuid.uuid4()}/action"
    for body in ({"os-reset_status": {"status": "error"}}, {"os-force_delete": None}):
        assert world.ask("POST", nobody, body).status_int == 404
    assert world.ask("POST", path, {"os-reset_status": {"status": "deleting"}}).status_int == 202
    assert world.ask("DELETE", f"/snapshots/{snapshot_id}").status_int == 400
    assert world.ask("POST", path, {"os-force_delete": {}}).status_int == 202
    assert world.rows("snapshots") == 0


@pytest.mark.parametrize("resource", ["volumes", "snapshots"])
@pytest.mark.parametrize("name", ["name", "status", "metadata", "size", "created_at", "consumes_quota", "volume_id"])
@pytest.mark.parametrize("sign", ["", "~"])
def test_no_filter_is_too_strange(world: World, resource: str, name: str, sign: str) -> None:
    """What a filter of a column that is no text means is refused, and never fails."""
    for value in ("x", "", "%00", "1", "{", "true"):
        for version in ("3.33", "3.34"):
            answer = world.ask("GET", f"/{resource}?{name}{sign}={value}", version=version)
            assert answer.status_int in (200, 400), (value, version)
    if sign and name in ("metadata", "size", "created_at", "consumes_quota"):
        assert world.ask("GET", f"/{resource}?{name}~=x").status_int == 400
