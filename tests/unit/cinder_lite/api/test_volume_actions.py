"""The older flow's actions: states after each, and what each refuses."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tests.unit.cinder_lite.world import CONNECTOR, World

SERVER = str(uuid.UUID(int=5))
ATTACH = {"mountpoint": "/dev/vdb", "instance_uuid": SERVER}


def test_the_older_flow(world: World) -> None:
    volume = world.volume()
    steps: list[tuple[str, Any, int, tuple[str, str]]] = [
        ("os-reserve", None, 202, ("attaching", "detached")),
        ("os-initialize_connection", {"connector": CONNECTOR}, 200, ("attaching", "detached")),
        ("os-attach", ATTACH, 202, ("in-use", "attached")),
        ("os-begin_detaching", {}, 202, ("detaching", "attached")),
        ("os-terminate_connection", {"connector": CONNECTOR}, 202, ("detaching", "attached")),
        ("os-detach", {"attachment_id": None}, 202, ("available", "detached")),
    ]
    for name, value, status, states in steps:
        answer = world.action(volume, name, value, version="3.0")
        assert (name, answer.status_int, world.status(volume)) == (name, status, states)
        if name == "os-initialize_connection":
            assert answer.json == {"connection_info": {"driver_volume_type": "iscsi", "data": {"target_lun": 1}}}
        else:
            assert answer.body == b""
        if name == "os-attach":
            [shown] = world.ask("GET", f"/volumes/{volume}").json["volume"]["attachments"]
            assert (shown["server_id"], shown["device"]) == (SERVER, "/dev/vdb")
    assert world.rows("volume_attachment") == 0


def test_steps_taken_back(world: World) -> None:
    volume = world.volume()
    assert world.action(volume, "os-reserve").status_int == 202
    assert len(world.statements) == 1
    assert world.action(volume, "os-unreserve").status_int == 202
    assert world.status(volume) == ("available", "detached")
    assert world.action(volume, "os-unreserve").status_int == 202
    assert world.action(volume, "os-roll_detaching").status_int == 202
    assert world.status(volume) == ("available", "detached")
    world.action(volume, "os-reserve")
    world.action(volume, "os-terminate_connection", {"connector": CONNECTOR})
    assert world.status(volume) == ("available", "detached")
    world.action(volume, "os-attach", ATTACH)
    world.action(volume, "os-begin_detaching")
    assert world.action(volume, "os-roll_detaching").status_int == 202
    assert world.status(volume) == ("in-use", "attached")


def test_unreserve_with_an_attachment_left_goes_back_to_in_use(world: World) -> None:
    world.shared_type()
    volume = world.volume(volume_type="shared")
    world.action(volume, "os-attach", ATTACH)
    assert world.action(volume, "os-reserve").status_int == 202
    assert world.status(volume)[0] == "attaching"
    world.action(volume, "os-unreserve")
    assert world.status(volume) == ("in-use", "attached")


def test_of_many_reservations_at_once_one_wins(world: World) -> None:
    volume = world.volume()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(world.action(volume, "os-reserve").status_int))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202, 400, 400, 400, 400, 400]


@pytest.mark.parametrize(
    ("name", "value", "status", "text"),
    [
        ("os-begin_detaching", None, 400, "must be 'in-use'"),
        ("os-attach", {"mountpoint": "/dev/vdb"}, 400, "is not valid"),
        ("os-attach", {"mountpoint": "", "host_name": "h"}, 400, "mountpoint"),
        ("os-attach", {"mountpoint": "/dev/vdb", "instance_uuid": "zz"}, 400, "instance_uuid"),
        ("os-attach", {"mountpoint": "/dev/vdb", "host_name": "h", "mode": "x"}, 400, "mode"),
        ("os-initialize_connection", {}, 400, "connector"),
        ("os-initialize_connection", None, 400, "os-initialize_connection"),
        ("os-terminate_connection", {}, 400, "connector"),
        ("os-detach", {"attachment_id": "zz"}, 400, "attachment_id"),
        ("os-detach", {"attachment_id": SERVER}, 400, f"has no attachment {SERVER}"),
        ("os-fly", None, 400, "There is no such action: os-fly"),
        ("os-reimage", {"image_id": SERVER}, 501, "os-reimage"),
    ],
)
def test_what_is_refused(world: World, name: str, value: Any, status: int, text: str) -> None:
    volume = world.volume()
    answer = world.action(volume, name, value)
    assert answer.status_int == status
    [fault] = answer.json.values()
    assert text in fault["message"]
    assert world.status(volume) == ("available", "detached")
    assert not world.daemon.calls


def test_one_action_per_request(world: World) -> None:
    volume = world.volume()
    for body in ({}, {"os-reserve": None, "os-unreserve": None}):
        assert world.ask("POST", f"/volumes/{volume}/action", body).status_int == 400
    assert world.status(volume) == ("available", "detached")


def test_reserve_names_the_status(world: World) -> None:
    volume = world.volume()
    world.action(volume, "os-attach", ATTACH)
    answer = world.action(volume, "os-reserve")
    assert answer.json["badRequest"]["message"] == (
        f"Invalid volume: Volume {volume} status must be available to reserve, but the status is in-use"
    )


def test_several_attachments_need_a_name(world: World) -> None:
    world.shared_type()
    volume = world.volume(volume_type="shared")
    world.action(volume, "os-attach", ATTACH)
    world.action(volume, "os-attach", {"mountpoint": "/dev/vdc", "host_name": "h"})
    assert world.rows("volume_attachment") == 2
    assert world.action(volume, "os-detach", None).status_int == 409
    first = world.ask("GET", f"/volumes/{volume}").json["volume"]["attachments"][0]["attachment_id"]
    assert world.action(volume, "os-detach", {"attachment_id": first}).status_int == 202
    assert world.status(volume) == ("in-use", "attached")


def test_a_volume_in_maintenance_or_without_a_backend_is_left_alone(world: World) -> None:
    world.scheduler.places = False
    volume = world.volume()
    answer = world.action(volume, "os-initialize_connection", {"connector": CONNECTOR})
    assert (answer.status_int, "on no backend" in answer.text) == (400, True)
    with world.database.connection() as conn:
        conn.exec_driver_sql("UPDATE volumes SET status = 'maintenance'")
    for name, value in (("os-attach", ATTACH), ("os-detach", None)):
        answer = world.action(volume, name, value)
        assert (answer.status_int, "maintenance" in answer.text) == (400, True)
    assert world.ask("PUT", f"/volumes/{volume}", {"volume": {"name": "x"}}).status_int == 400
