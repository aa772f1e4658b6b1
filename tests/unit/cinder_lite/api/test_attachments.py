"""/attachments: the states of both tables after each step and after each failure; who may; how many statements."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from cinder_lite import errors
from lite_common import errors as common_errors
from tests.unit.cinder_lite.world import CONNECTOR, HOST, World

SERVER = str(uuid.UUID(int=5))
CONNECT = {"attachment": {"connector": CONNECTOR}}
COMPLETE = {"os-complete": None}


def test_the_new_flow(world: World) -> None:
    volume = world.volume()
    made = world.ask("POST", "/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": SERVER}})
    assert (made.status_int, len(world.statements)) == (200, 4)
    attachment = made.json["attachment"]
    path = f"/attachments/{attachment['id']}"
    assert attachment == {
        "id": attachment["id"],
        "status": "reserved",
        "instance": SERVER,
        "volume_id": volume,
        "attached_at": "",
        "detached_at": "",
        "attach_mode": None,
        "connection_info": {},
    }
    assert world.status(volume) == ("reserved", "detached")

    connected = world.ask("PUT", path, CONNECT)
    own = [text for text in world.statements if "JOIN volumes" in text]
    assert (connected.status_int, len(own)) == (200, 1)
    assert connected.json["attachment"]["connection_info"]["attachment_id"] == attachment["id"]
    assert connected.json["attachment"]["status"] == "attaching"
    assert world.status(volume) == ("attaching", "attaching")
    assert world.ask("GET", f"/volumes/{volume}").json["volume"]["attachments"] == []

    assert world.ask("POST", f"{path}/action", COMPLETE).status_int == 204
    assert len(world.statements) == 4
    assert world.status(volume) == ("in-use", "attached")
    assert world.ask("POST", f"{path}/action", COMPLETE).status_int == 204
    shown = world.ask("GET", path).json["attachment"]
    assert (shown["status"], shown["attach_mode"]) == ("attached", "rw")
    [listed] = world.ask("GET", f"/volumes/{volume}").json["volume"]["attachments"]
    assert listed == {
        "id": volume,
        "attachment_id": attachment["id"],
        "volume_id": volume,
        "server_id": SERVER,
        "host_name": "compute1",
        "device": "na",
        "attached_at": shown["attached_at"],
    }

    gone = world.ask("DELETE", path, trusted=True)
    assert (gone.status_int, gone.json, len(world.statements)) == (200, {"attachments": []}, 6)
    assert world.status(volume) == ("available", "detached")
    assert world.ask("DELETE", path, trusted=True).status_int == 404
    assert world.ask("GET", path).status_int == 404


def test_the_host_is_shown_to_admins_and_services_only(world: World) -> None:
    volume = world.volume(token="ann:demo")
    world.attach(volume)
    for token, trusted, host in (
        ("ann:demo", False, None),
        ("ann:demo", True, "compute1"),
        ("admin:demo", False, "compute1"),
    ):
        shown = world.ask("GET", f"/volumes/{volume}", token=token, trusted=trusted).json["volume"]
        assert shown["attachments"][0]["host_name"] == host


@pytest.mark.parametrize("status", ["in-use", "reserved", "attaching", "detaching", "error", "creating", "deleting"])
def test_only_an_available_volume_is_reserved(world: World, status: str) -> None:
    volume = world.volume()
    with world.database.connection() as conn:
        conn.exec_driver_sql("UPDATE volumes SET status = ? WHERE id = ?", (status, volume))
    answer = world.ask("POST", "/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": SERVER}})
    assert answer.status_int == 400
    message = answer.json["badRequest"]["message"]
    assert message.startswith("Invalid volume: ")
    assert volume in message
    assert message.endswith(f"the status is {status}")
    assert world.rows("volume_attachment") == 0


def test_of_many_requests_at_once_one_wins(world: World) -> None:
    volume = world.volume()
    statuses: list[int] = []

    def ask() -> None:
        wanted = {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}
        statuses.append(world.ask("POST", "/attachments", {"attachment": wanted}).status_int)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400, 400, 400, 400, 400]
    assert world.rows("volume_attachment") == 1


def test_the_same_server_may_reserve_again(world: World) -> None:
    volume = world.volume()
    first = world.attach(volume, SERVER)
    second = world.reserve(volume, SERVER)
    assert world.status(volume) == ("in-use", "attached")
    refused = world.ask("PUT", f"/attachments/{second}", CONNECT)
    assert refused.status_int == 409
    left = world.ask("DELETE", f"/attachments/{second}")
    assert [one["id"] for one in left.json["attachments"]] == [first]
    assert world.status(volume) == ("in-use", "attached")


def test_several_attachments_where_the_type_allows_them(world: World) -> None:
    world.shared_type()
    volume = world.volume(volume_type="shared")
    first, second = world.attach(volume), world.attach(volume)
    assert len(world.ask("GET", f"/volumes/{volume}").json["volume"]["attachments"]) == 2
    left = world.ask("DELETE", f"/attachments/{first}", trusted=True).json["attachments"]
    assert [one["id"] for one in left] == [second]
    assert world.status(volume) == ("in-use", "attached")
    world.ask("DELETE", f"/attachments/{second}", trusted=True)
    assert world.status(volume) == ("available", "detached")


def test_a_connector_given_at_once(world: World) -> None:
    volume = world.volume()
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": SERVER, "connector": CONNECTOR, "mode": "ro"}}
    made = world.ask("POST", "/attachments", body).json["attachment"]
    assert (made["status"], made["attach_mode"]) == ("attaching", "ro")
    assert world.daemon.calls == [("attachment_update", HOST, volume, made["id"])]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (errors.InvalidInput(reason="no initiator"), 400),
        (common_errors.BackendError("tgtd is down"), 500),
        (common_errors.Timeout("no answer"), 503),
    ],
)
def test_a_failed_connection_leaves_things_as_they_were(
    world: World, failure: common_errors.LiteError, status: int
) -> None:
    volume = world.volume()
    world.daemon.failure = failure
    body: dict[str, Any] = {"attachment": {"volume_uuid": volume, "instance_uuid": SERVER, "connector": CONNECTOR}}
    assert world.ask("POST", "/attachments", body).status_int == status
    assert world.status(volume) == ("available", "detached")
    assert world.rows("volume_attachment") == 0
    attachment = world.reserve(volume)
    assert world.ask("PUT", f"/attachments/{attachment}", CONNECT).status_int == status
    assert world.status(volume) == ("reserved", "detached")
    world.daemon.failure = None
    assert world.ask("PUT", f"/attachments/{attachment}", CONNECT).status_int == 200
    assert world.ask("PUT", f"/attachments/{attachment}", CONNECT).status_int == 200


def test_a_failed_removal_keeps_the_attachment(world: World) -> None:
    volume = world.volume()
    attachment = world.attach(volume)
    world.daemon.failure = common_errors.BackendError("tgtd is down")
    assert world.ask("DELETE", f"/attachments/{attachment}", trusted=True).status_int == 500
    assert world.status(volume) == ("in-use", "attached")
    world.daemon.failure = None
    assert world.ask("DELETE", f"/attachments/{attachment}", trusted=True).status_int == 200


def test_completion_is_guarded(world: World) -> None:
    volume = world.volume()
    attachment = world.reserve(volume)
    with world.database.connection() as conn:
        conn.exec_driver_sql("UPDATE volumes SET status = 'error' WHERE id = ?", (volume,))
    refused = world.ask("POST", f"/attachments/{attachment}/action", COMPLETE)
    assert refused.status_int == 400
    assert "it is reserved and volume" in refused.json["badRequest"]["message"]
    assert world.status(volume) == ("error", "detached")
    assert world.ask("POST", f"/attachments/{SERVER}/action", COMPLETE).status_int == 404
    assert world.ask("POST", f"/attachments/{attachment}/action", {"os-x": None}).status_int == 400
    assert world.ask("PUT", f"/attachments/{attachment}", CONNECT).status_int == 409


def test_a_user_cannot_take_a_disk_from_a_server(world: World) -> None:
    volume = world.volume(token="ann:demo")
    attachment = world.attach(volume, SERVER)
    path = f"/attachments/{attachment}"
    world.compute.used[SERVER] = attachment
    refused = world.ask("DELETE", path, token="ann:demo")
    assert refused.status_int == 409
    assert "using the Compute API" in refused.json["conflictingRequest"]["message"]
    assert world.action(volume, "os-detach", {"attachment_id": attachment}, token="ann:demo").status_int == 409
    assert world.action(volume, "os-detach", None, token="ann:demo").status_int == 409
    assert world.action(volume, "os-terminate_connection", {"connector": None}, token="ann:demo").status_int == 409
    assert world.status(volume) == ("in-use", "attached")
    world.compute.down = True
    assert world.ask("DELETE", path, token="ann:demo").status_int == 503
    world.compute.down = False
    world.compute.used[SERVER] = str(uuid.uuid4())
    assert world.ask("DELETE", path, token="ann:demo").status_int == 200


def test_another_projects_attachment_does_not_exist(world: World) -> None:
    volume = world.volume(token="ann:one")
    attachment = world.reserve(volume)
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", CONNECT),
        ("DELETE", "", None),
        ("POST", "/action", COMPLETE),
    ):
        answer = world.ask(method, f"/attachments/{attachment}{path}", body, token="bob:two", trusted=True)
        assert (method, answer.status_int) == (method, 404)
    wanted = {"attachment": {"volume_uuid": volume}}
    assert world.ask("POST", "/attachments", wanted, token="bob:two").status_int == 404
    assert world.ask("GET", "/attachments?all_tenants=1", token="bob:two").json == {"attachments": []}


def test_lists(world: World) -> None:
    volumes = [world.volume() for _ in range(3)]
    ids = [world.attach(volume, SERVER) for volume in volumes[:2]] + [world.reserve(volumes[2])]
    listed = world.ask("GET", "/attachments").json["attachments"]
    assert [one["id"] for one in listed] == ids[::-1]
    assert len(world.statements) == 1
    assert set(listed[0]) == {"id", "status", "instance", "volume_id"}
    assert len(world.ask("GET", f"/attachments?instance_id={SERVER}").json["attachments"]) == 2
    assert len(world.ask("GET", f"/attachments/detail?volume_id={volumes[2]}").json["attachments"]) == 1
    assert len(world.ask("GET", "/attachments?status=reserved").json["attachments"]) == 1
    page = world.ask("GET", f"/attachments?limit=1&marker={ids[2]}").json
    assert [one["id"] for one in page["attachments"]] == [ids[1]]
    assert page["attachments_links"]


@pytest.mark.parametrize(
    ("version", "method", "path", "body", "status"),
    [
        ("3.26", "GET", "/attachments", None, 404),
        ("3.43", "POST", f"/attachments/{SERVER}/action", COMPLETE, 404),
        ("3.53", "POST", "/attachments", {"attachment": {"volume_uuid": SERVER, "mode": "rw"}}, 400),
        ("3.54", "POST", "/attachments", {"attachment": {"volume_uuid": SERVER, "mode": "rx"}}, 400),
        ("3.54", "POST", "/attachments", {"attachment": {"volume_uuid": SERVER, "mode": "rw"}}, 404),
        ("3.44", "POST", "/attachments", {"attachment": {"volume_uuid": "zz"}}, 400),
        ("3.44", "POST", "/attachments", {"attachment": {}}, 400),
        ("3.44", "POST", "/attachments", {"attachment": {"volume_uuid": SERVER, "x": 1}}, 400),
        ("3.44", "PUT", f"/attachments/{SERVER}", {"attachment": {"connector": {}}}, 400),
        ("3.44", "PUT", f"/attachments/{SERVER}", {"attachment": {"connector": {"initiator": "i"}}}, 400),
        ("3.44", "PUT", f"/attachments/{SERVER}", CONNECT, 404),
    ],
)
def test_versions_and_bodies(world: World, version: str, method: str, path: str, body: Any, status: int) -> None:
    assert world.ask(method, path, body, version=version).status_int == status
