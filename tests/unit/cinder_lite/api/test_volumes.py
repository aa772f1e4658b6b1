"""/volumes through the whole stack: what is answered, what is refused, what is left in the tables."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from lite_common import errors
from tests.unit.cinder_lite.world import World

BASE = {
    "id", "name", "description", "status", "size", "availability_zone", "created_at", "updated_at", "volume_type",
    "snapshot_id", "source_volid", "metadata", "links", "user_id", "bootable", "encrypted", "replication_status",
    "consistencygroup_id", "multiattach", "attachments",
}  # fmt: skip
TENANT = {"os-vol-tenant-attr:tenant_id"}
ADMIN = {
    "migration_status",
    "os-vol-host-attr:host",
    "os-vol-mig-status-attr:migstat",
    "os-vol-mig-status-attr:name_id",
}
LATER = {"group_id", "shared_targets", "service_uuid", "volume_type_id", "consumes_quota"}


def test_a_volume_is_made_shown_listed_and_deleted(world: World) -> None:
    asked = {"size": 2, "name": "  data ", "description": "d", "metadata": {"k": "v"}}
    made = world.ask("POST", "/volumes", {"volume": asked})
    assert made.status_int == 202
    volume = made.json["volume"]
    assert (volume["status"], volume["size"], volume["name"], volume["volume_type"]) == (
        "creating",
        2,
        "data",
        "__DEFAULT__",
    )
    shown = world.ask("GET", f"/volumes/{volume['id']}").json["volume"]
    assert (shown["status"], shown["metadata"], shown["availability_zone"]) == ("available", {"k": "v"}, "nova")
    assert shown["created_at"] == volume["created_at"]
    assert world.ask("GET", "/volumes/detail").json["volumes"] == [shown]
    assert world.ask("GET", "/volumes").json["volumes"] == [
        {"id": volume["id"], "name": "data", "links": shown["links"]}
    ]
    assert world.usage() == {"volumes": (1, 0), "gigabytes": (2, 0)}
    gone = world.ask("DELETE", f"/volumes/{volume['id']}")
    assert (gone.status_int, gone.body) == (202, b"")
    assert world.ask("GET", f"/volumes/{volume['id']}").status_int == 404
    assert world.usage() == {"volumes": (0, 0), "gigabytes": (0, 0)}
    assert [world.rows(name) for name in ("volumes", "volume_metadata", "reservations")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("version", "token", "fields"),
    [
        ("3.0", "ann:demo", BASE | TENANT),
        ("3.0", "admin:demo", BASE | TENANT | ADMIN),
        ("3.13", "ann:demo", BASE | TENANT | {"group_id"}),
        ("3.21", "admin:demo", BASE | TENANT | ADMIN | {"group_id", "provider_id"}),
        ("3.48", "ann:demo", BASE | TENANT | {"group_id", "shared_targets", "service_uuid"}),
        ("3.65", "ann:demo", BASE | TENANT | LATER),
        ("3.69", "admin:demo", BASE | TENANT | ADMIN | LATER | {"provider_id", "cluster_name"}),
    ],
)
def test_fields_by_version_and_caller(world: World, version: str, token: str, fields: set[str]) -> None:
    volume = world.volume(token=token)
    assert set(world.ask("GET", f"/volumes/{volume}", version=version, token=token).json["volume"]) == fields
    made = world.ask("POST", "/volumes", {"volume": {"size": 1}}, version=version, token=token).json["volume"]
    assert set(made) == {name for name in fields if not name.startswith("os-vol-")}


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ({"size": 0}, 400, "Invalid input received: Volume size '0' must be an integer and greater than 0"),
        ({"size": -1}, 400, "Volume size '-1'"),
        ({"size": "abc"}, 400, "Volume size 'abc'"),
        ({"size": 1.5}, 400, "1.5"),
        ({"size": 2**31}, 400, "2147483648"),
        ({"size": None}, 400, "None"),
        ({}, 400, "Volume size"),
        ({"size": True}, 400, "True"),
        ({"size": 1, "name": "n" * 256}, 400, "name"),
        ({"size": 1, "metadata": {"k": "v" * 256}}, 400, "k"),
        ({"size": 1, "metadata": {"k" * 256: "v"}}, 400, "does not match"),
        ({"size": 1, "metadata": {"k": 5}}, 400, "5"),
        ({"size": 1, "volume_type": "nope"}, 404, "Volume type nope could not be found."),
        ({"size": 1, "availability_zone": "moon"}, 400, "Availability zone 'moon' is invalid"),
        ({"size": 1, "multiattach": True}, 400, "multiattach"),
        ({"size": 1, "snapshot_id": str(uuid.UUID(int=1))}, 404, "Snapshot"),
        ({"size": 1, "source_volid": str(uuid.UUID(int=1))}, 404, "could not be found"),
        ({"size": 1, "imageRef": str(uuid.UUID(int=1))}, 400, "imageRef"),
        ({"size": 101}, 413, "gigabytes"),
        ({"size": 1, "bogus": 1}, 400, "bogus"),
    ],
)
def test_what_create_refuses_leaves_nothing(world: World, asked: dict[str, Any], status: int, text: str) -> None:
    answer = world.ask("POST", "/volumes", {"volume": asked})
    assert answer.status_int == status
    [fault] = answer.json.values()
    assert text in fault["message"]
    assert [world.rows(name) for name in ("volumes", "reservations")] == [0, 0]
    assert world.usage() == {"volumes": (0, 0), "gigabytes": (0, 0)}
    assert not world.scheduler.specs


def test_unknown_keys_pass_below_3_53(world: World) -> None:
    answer = world.ask("POST", "/volumes", {"volume": {"size": "1", "status": "creating"}}, version="3.52")
    assert answer.status_int == 202


def test_names_of_any_script_up_to_255(world: World) -> None:
    name = "Größe 容量 💾" + "ü" * 240
    volume = world.volume(name=name)
    assert world.ask("GET", f"/volumes/{volume}").json["volume"]["name"] == name


def test_the_quota_counts_and_is_told(world: World) -> None:
    for _ in range(10):
        world.volume()
    answer = world.ask("POST", "/volumes", {"volume": {"size": 1}})
    assert answer.status_int == 413
    assert answer.headers["Retry-After"] == "0"
    fault = answer.json["overLimit"]
    assert fault["retryAfter"] == "0"
    assert fault["message"].startswith("VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded")
    assert world.usage() == {"volumes": (10, 0), "gigabytes": (10, 0)}


def test_when_the_bus_is_down_nothing_is_left(world: World) -> None:
    world.scheduler.down = True
    answer = world.ask("POST", "/volumes", {"volume": {"size": 1, "metadata": {"a": "b"}}})
    assert (answer.status_int, answer.json["serviceUnavailable"]["message"]) == (503, "RabbitMQ cannot be reached.")
    assert [world.rows(name) for name in ("volumes", "volume_metadata", "reservations")] == [0, 0, 0]
    assert world.usage() == {"volumes": (0, 0), "gigabytes": (0, 0)}


def test_what_the_scheduler_is_told(world: World) -> None:
    world.shared_type()
    volume = world.volume(volume_type="shared", metadata={"k": "v"}, availability_zone="nova")
    [spec] = world.scheduler.specs
    assert spec["volume_id"] == volume
    assert spec["volume_properties"]["size"] == 1
    assert spec["volume_type"]["extra_specs"] == {"multiattach": "<is> True"}
    assert spec["availability_zones"] == ["nova"]
    assert world.ask("GET", f"/volumes/{volume}").json["volume"]["multiattach"] is True


def test_another_projects_volume_does_not_exist(world: World) -> None:
    volume = world.volume(token="ann:one")
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"volume": {"name": "x"}}),
        ("DELETE", "", None),
        ("GET", "/metadata", None),
        ("POST", "/action", {"os-reserve": None}),
        ("POST", "/action", {"os-detach": None}),
    ):
        answer = world.ask(method, f"/volumes/{volume}{path}", body, token="bob:two")
        assert (method, path, answer.status_int) == (method, path, 404)
        assert answer.json["itemNotFound"]["message"] == f"Volume {volume} could not be found."
    # A service that acts for bob sees no more than bob.
    assert world.ask("GET", f"/volumes/{volume}", token="bob:two", trusted=True).status_int == 404
    assert world.ask("GET", "/volumes/detail", token="bob:two").json == {"volumes": []}
    assert world.ask("GET", "/volumes/detail?all_tenants=1", token="bob:two").json == {"volumes": []}
    assert len(world.ask("GET", "/volumes/detail?all_tenants=1").json["volumes"]) == 1


@pytest.mark.parametrize("wrong", ["nope", str(uuid.UUID(int=9)), "x" * 300, "%F0%9F%92%BE", "a%00b"])
def test_unknown_and_malformed_ids(world: World, wrong: str) -> None:
    assert world.ask("GET", f"/volumes/{wrong}").status_int == 404
    assert world.ask("DELETE", f"/volumes/{wrong}").status_int == 404
    assert world.ask("GET", f"/attachments/{wrong}").status_int == 404


def test_an_attached_or_reserved_volume_is_not_deleted(world: World) -> None:
    volume = world.volume()
    attachment = world.reserve(volume)
    refused = world.ask("DELETE", f"/volumes/{volume}")
    assert refused.status_int == 400
    assert "has status reserved" in refused.json["badRequest"]["message"]
    world.ask("DELETE", f"/attachments/{attachment}")
    world.attach(volume)
    assert world.ask("DELETE", f"/volumes/{volume}").status_int == 400
    assert world.status(volume) == ("in-use", "attached")


def test_a_deletion_that_cannot_be_told_is_taken_back(world: World) -> None:
    volume = world.volume()
    world.daemon.failure = errors.Unavailable("RabbitMQ cannot be reached.")
    assert world.ask("DELETE", f"/volumes/{volume}").status_int == 503
    assert world.status(volume) == ("available", "detached")


def test_a_volume_that_no_backend_has_is_deleted_at_once(world: World) -> None:
    world.scheduler.places = False
    volume = world.volume()
    assert world.ask("DELETE", f"/volumes/{volume}").status_int == 202
    assert world.rows("volumes") == 0
    assert world.usage() == {"volumes": (0, 0), "gigabytes": (0, 0)}
    assert not world.daemon.calls


def test_update_and_metadata(world: World) -> None:
    volume = world.volume(metadata={"a": "1"})
    changed = world.ask("PUT", f"/volumes/{volume}", {"volume": {"name": " new ", "metadata": {"b": "2"}}})
    assert (changed.json["volume"]["name"], changed.json["volume"]["metadata"]) == ("new", {"b": "2"})
    assert world.ask("PUT", f"/volumes/{volume}", {"volume": {}}).status_int == 400
    assert world.ask("PUT", f"/volumes/{volume}", {"volume": {}}, version="3.52").status_int == 200
    path = f"/volumes/{volume}/metadata"
    assert world.ask("POST", path, {"metadata": {"c": "3"}}).json == {"metadata": {"b": "2", "c": "3"}}
    assert world.ask("PUT", f"{path}/c", {"meta": {"c": "4"}}).json == {"meta": {"c": "4"}}
    assert world.ask("GET", f"{path}/c").json == {"meta": {"c": "4"}}
    mismatch = world.ask("PUT", f"{path}/c", {"meta": {"d": "4"}})
    assert mismatch.json["badRequest"]["message"] == "Request body and URI mismatch"
    assert world.ask("DELETE", f"{path}/c").status_int == 200
    assert world.ask("DELETE", f"{path}/c").status_int == 404
    assert world.ask("PUT", path, {"metadata": {"z": "9"}}).json == {"metadata": {"z": "9"}}
    assert world.ask("GET", path).json == {"metadata": {"z": "9"}}


def test_lists_are_paged_sorted_and_filtered(world: World) -> None:
    ids = [world.volume(name=f"v{number % 3}", metadata={"n": str(number)}) for number in range(7)]
    newest = list(reversed(ids))
    first = world.ask("GET", "/volumes?limit=3").json
    assert [one["id"] for one in first["volumes"]] == newest[:3]
    href = first["volumes_links"][0]["href"]
    assert href.endswith(f"/v3/volumes?limit=3&marker={newest[2]}")
    second = world.ask("GET", f"/volumes?limit=3&marker={newest[2]}").json
    assert [one["id"] for one in second["volumes"]] == newest[3:6]
    by_name = world.ask("GET", "/volumes?sort=name:asc,created_at:asc").json["volumes"]
    assert [one["name"] for one in by_name] == ["v0"] * 3 + ["v1"] * 2 + ["v2"] * 2
    marker = by_name[2]["id"]
    rest = world.ask("GET", f"/volumes?sort=name:asc,created_at:asc&marker={marker}").json["volumes"]
    assert rest == by_name[3:]

    def found(query: str, **kw: Any) -> int:
        return len(world.ask("GET", f"/volumes/detail?{query}", **kw).json["volumes"])

    assert found("name=v0") == 3
    assert found("name~=v") == 7
    assert found("name~=%25") == 0
    assert found("status=error") == 0
    assert found("metadata={'n': '5'}") == 1
    assert found("bootable=true") == 0
    assert found("created_at=gt:2020-01-01T00:00:00Z,lt:2200-01-01T00:00:00") == 7
    assert found("limit=0") == 0
    assert found("offset=5") == 2
    assert found("bogus=1", version="3.30", token="ann:demo") == 7
    assert world.ask("GET", "/volumes?limit=2&with_count=true").json["count"] == 7
    assert world.ask("GET", "/volumes/summary").json == {
        "volume-summary": {"total_count": 7, "total_size": 7, "metadata": {"n": [str(n) for n in range(7)]}}
    }


@pytest.mark.parametrize(
    "query",
    [
        "limit=x", "limit=-1", "offset=99999999999", "sort=secret", "sort=name:up", "sort=name&sort_key=id", "bogus=1",
        "metadata=[", "bootable=maybe", "created_at=gt:yesterday", "size=big",
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(world: World, query: str) -> None:
    assert world.ask("GET", f"/volumes/detail?{query}").status_int == 400


def test_an_unknown_marker(world: World) -> None:
    assert world.ask("GET", "/volumes?marker=nope").status_int == 404


def test_statements_do_not_grow_with_the_list(world: World) -> None:
    counts = []
    for _ in range(3):
        volume = world.volume(metadata={"a": "b"})
        world.attach(volume)
        answer = world.ask("GET", "/volumes/detail")
        counts.append(len(world.statements))
        assert all(one["attachments"] for one in answer.json["volumes"])
    assert counts == [3, 3, 3]
    world.ask("GET", f"/volumes/{volume}")
    assert len(world.statements) <= 3


def test_two_creates_at_once_cannot_pass_the_quota(world: World) -> None:
    for _ in range(9):
        world.volume()
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(world.ask("POST", "/volumes", {"volume": {"size": 1}}).status_int)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202, 413, 413, 413]
    assert world.usage() == {"volumes": (10, 0), "gigabytes": (10, 0)}
