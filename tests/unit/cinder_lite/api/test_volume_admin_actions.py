"""Bootable, read-only, states reset by hand, forced detach and delete: what each does, and whom and when it refuses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from lite_common import errors
from tests.unit.cinder_lite.world import CONNECTOR, HOST, World

USER = "ann:demo"
STRANGER = "eve:other"
SERVER = str(uuid.UUID(int=5))
ATTACH = {"mountpoint": "/dev/vdb", "instance_uuid": SERVER}


def shown(world: World, volume: str) -> dict[str, Any]:
    return dict(world.ask("GET", f"/volumes/{volume}").json["volume"])


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), ("True", "true"), ("off", "false"), (False, "false")])
def test_bootable(world: World, value: Any, expected: str) -> None:
    volume = world.volume(token=USER)
    answer = world.action(volume, "os-set_bootable", {"bootable": value}, token=USER, version="3.0")
    assert (answer.status_int, answer.body) == (200, b"")
    assert shown(world, volume)["bootable"] == expected


def test_readonly_shows_in_the_metadata(world: World) -> None:
    volume = world.volume(token=USER, metadata={"mine": "1"})
    answer = world.action(volume, "os-update_readonly_flag", {"readonly": True}, token=USER, version="3.0")
    assert (answer.status_int, answer.body) == (202, b"")
    assert shown(world, volume)["metadata"] == {"mine": "1", "readonly": "True"}
    [listed] = world.ask("GET", "/volumes/detail").json["volumes"]
    assert listed["metadata"] == {"mine": "1", "readonly": "True"}
    updated = world.ask("PUT", f"/volumes/{volume}", {"volume": {"name": "x"}}).json["volume"]
    assert updated["metadata"] == {"mine": "1", "readonly": "True"}
    assert world.ask("GET", f"/volumes/{volume}/metadata").json == {"metadata": {"mine": "1"}}
    world.action(volume, "os-update_readonly_flag", {"readonly": "false"})
    assert shown(world, volume)["metadata"] == {"mine": "1", "readonly": "False"}


def test_readonly_needs_a_volume_at_rest(world: World) -> None:
    volume = world.volume()
    world.action(volume, "os-attach", ATTACH)
    answer = world.action(volume, "os-update_readonly_flag", {"readonly": True})
    assert answer.status_int == 400
    assert answer.json["badRequest"]["message"] == (
        f"Invalid volume: Volume {volume} status must be available to update readonly flag, "
        "but current status is: in-use."
    )
    assert shown(world, volume)["metadata"] == {"readonly": "False", "attached_mode": "rw"}
    world.action(volume, "os-detach", {})
    assert shown(world, volume)["metadata"] == {"readonly": "False"}


def test_a_readonly_volume_is_attached_for_reading_only(world: World) -> None:
    volume = world.volume()
    world.action(volume, "os-update_readonly_flag", {"readonly": True})
    refused = world.action(volume, "os-attach", ATTACH)
    assert refused.status_int == 400
    assert refused.json["badRequest"]["message"] == f"Invalid attaching mode 'rw' for volume {volume}."
    assert world.status(volume) == ("available", "detached")
    assert world.rows("volume_attachment") == 0
    assert world.action(volume, "os-attach", ATTACH | {"mode": "ro"}).status_int == 202
    assert shown(world, volume)["metadata"] == {"readonly": "True", "attached_mode": "ro"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("os-set_bootable", {}),
        ("os-set_bootable", None),
        ("os-set_bootable", {"bootable": "perhaps"}),
        ("os-set_bootable", {"bootable": 1.5}),
        ("os-set_bootable", {"bootable": True, "more": 1}),
        ("os-update_readonly_flag", {}),
        ("os-update_readonly_flag", {"readonly": "true\n"}),
        ("os-reset_status", {}),
        ("os-reset_status", None),
        ("os-reset_status", {"status": None}),
        ("os-reset_status", {"status": "happy"}),
        ("os-reset_status", {"status": "deleting"}),
        ("os-reset_status", {"status": "error_deleting"}),
        ("os-reset_status", {"status": "detaching"}),
        ("os-reset_status", {"status": "deleted"}),
        ("os-reset_status", {"status": "in-use"}),
        ("os-reset_status", {"attach_status": "attaching"}),
        ("os-reset_status", {"migration_status": "flying"}),
        ("os-reset_status", {"status": 5}),
        ("os-reset_status", {"status": "error", "name": "x"}),
        ("os-force_detach", None),
        ("os-force_detach", {"attachment_id": "zz"}),
        ("os-force_detach", {"connector": "host"}),
        ("os-force_detach", {"attachment_id": SERVER}),
    ],
)
def test_what_makes_no_sense(world: World, name: str, value: Any) -> None:
    volume = world.volume()
    before = shown(world, volume)
    answer = world.action(volume, name, value)
    assert answer.status_int == 400, answer.text
    after = shown(world, volume)
    assert after == before
    assert not world.daemon.calls


ALL: list[tuple[str, Any]] = [
    ("os-set_bootable", {"bootable": True}),
    ("os-update_readonly_flag", {"readonly": True}),
    ("os-reset_status", {"status": "error"}),
    ("os-force_delete", None),
    ("os-force_detach", {}),
]


@pytest.mark.parametrize(("name", "value"), ALL)
def test_a_strangers_volume_is_not_there(world: World, name: str, value: Any) -> None:
    volume = world.volume()
    answer = world.action(volume, name, value, token=STRANGER)
    assert answer.status_int == (404 if name in ("os-set_bootable", "os-update_readonly_flag") else 403)
    assert world.status(volume) == ("available", "detached")
    assert world.action(str(uuid.uuid4()), name, value).status_int == 404


@pytest.mark.parametrize("name", ["reset_status", "force_delete", "force_detach"])
def test_the_owner_is_no_administrator(world: World, name: str) -> None:
    volume = world.volume(token=USER)
    answer = world.action(volume, f"os-{name}", {"status": "error"} if name == "reset_status" else {}, token=USER)
    assert answer.status_int == 403
    assert answer.json["forbidden"]["message"] == (
        f"Policy doesn't allow volume_extension:volume_admin_actions:{name} to be performed."
    )


def test_reset_status(world: World) -> None:
    volume = world.volume()
    for status in ("error", "maintenance", "Available"):
        answer = world.action(volume, "os-reset_status", {"status": status}, version="3.0")
        assert (answer.status_int, answer.body) == (202, b"")
        assert world.status(volume)[0] == status.lower()
    asked = {"status": "error", "attach_status": "attached", "migration_status": "migrating"}
    assert world.action(volume, "os-reset_status", asked).status_int == 202
    assert world.status(volume) == ("error", "attached")
    assert shown(world, volume)["migration_status"] == "migrating"
    world.action(volume, "os-reset_status", {"migration_status": "none"})
    assert shown(world, volume)["migration_status"] is None


def test_reset_to_detached_forgets_the_attachments(world: World) -> None:
    volume = world.volume()
    world.action(volume, "os-attach", ATTACH)
    assert world.action(volume, "os-reset_status", {"status": "error"}).status_int == 202
    assert world.rows("volume_attachment") == 1
    assert world.action(volume, "os-reset_status", {"status": "in-use"}).status_int == 202
    both = {"status": "in-use", "attach_status": "detached"}
    assert world.action(volume, "os-reset_status", both).status_int == 400
    assert (world.status(volume), world.rows("volume_attachment")) == (("in-use", "attached"), 1)
    asked = {"status": "available", "attach_status": "detached"}
    assert world.action(volume, "os-reset_status", asked).status_int == 202
    assert (world.status(volume), world.rows("volume_attachment")) == (("available", "detached"), 0)
    assert shown(world, volume)["metadata"] == {"readonly": "False"}


@pytest.mark.parametrize("status", ["creating", "error", "maintenance", "attaching", "available"])
def test_force_delete_in_any_status(world: World, status: str) -> None:
    volume = world.volume()
    world.action(volume, "os-reset_status", {"status": status})
    assert world.action(volume, "os-force_delete", None, version="3.0").status_int == 202
    assert world.ask("GET", f"/volumes/{volume}").status_int == 404
    assert world.daemon.calls == [("delete_volume", HOST, volume)]


def test_force_delete_never_takes_a_disk_from_a_guest(world: World) -> None:
    world.shared_type()
    volume = world.volume(volume_type="shared")
    world.attach(volume)
    assert world.action(volume, "os-force_delete").status_int == 400
    # While a second server connects, the volume's own attach_status is that server's.
    second = world.reserve(volume)
    assert world.ask("PUT", f"/attachments/{second}", {"attachment": {"connector": CONNECTOR}}).status_int == 200
    assert world.status(volume) == ("attaching", "attaching")
    assert world.action(volume, "os-force_delete").status_int == 400
    assert world.status(volume) == ("attaching", "attaching")
    assert world.rows("volume_attachment") == 2


def test_delete_with_force(world: World) -> None:
    volume = world.volume(token=USER)
    world.action(volume, "os-reset_status", {"status": "maintenance"})
    # Before 3.23 the parameter means nothing.
    assert world.ask("DELETE", f"/volumes/{volume}?force=true", version="3.22").status_int == 400
    refused = world.ask("DELETE", f"/volumes/{volume}?force=true", version="3.23", token=USER)
    assert (refused.status_int, "volume:force_delete" in refused.text) == (403, True)
    assert world.ask("DELETE", f"/volumes/{volume}?force=perhaps").status_int == 400
    assert world.ask("DELETE", f"/volumes/{volume}?force=true", version="3.23").status_int == 202
    assert world.ask("GET", f"/volumes/{volume}").status_int == 404


def test_force_delete_puts_the_status_back_when_the_daemon_cannot_be_told(world: World) -> None:
    volume = world.volume()
    world.action(volume, "os-reset_status", {"status": "maintenance"})
    world.daemon.failure = errors.Unavailable("RabbitMQ cannot be reached.")
    assert world.action(volume, "os-force_delete").status_int == 503
    assert world.status(volume)[0] == "maintenance"


def test_force_detach(world: World) -> None:
    volume = world.volume()
    world.action(volume, "os-attach", ATTACH)
    attachment = shown(world, volume)["attachments"][0]["attachment_id"]
    world.action(volume, "os-reset_status", {"status": "error"})
    world.daemon.calls.clear()
    answer = world.action(volume, "os-force_detach", {"connector": None, "attachment_id": attachment}, version="3.0")
    assert (answer.status_int, answer.body) == (202, b"")
    assert world.daemon.calls == [
        ("terminate_connection", HOST, volume),
        ("detach_volume", HOST, volume, attachment),
    ]
    assert world.status(volume) == ("available", "detached")
    assert shown(world, volume)["attachments"] == []


def test_force_detach_of_one_of_several(world: World) -> None:
    world.shared_type()
    volume = world.volume(volume_type="shared")
    first, second = world.attach(volume), world.attach(volume)
    assert world.action(volume, "os-force_detach", {}).status_int == 409
    assert world.action(volume, "os-force_detach", {}, trusted=True).status_int == 409
    assert world.action(volume, "os-force_detach", {"attachment_id": first}).status_int == 202
    assert [one["attachment_id"] for one in shown(world, volume)["attachments"]] == [second]
    assert world.status(volume) == ("in-use", "attached")


def test_force_detach_asks_the_compute_service(world: World) -> None:
    volume = world.volume()
    attachment = world.attach(volume, SERVER)
    world.compute.used[SERVER] = attachment
    answer = world.action(volume, "os-force_detach", {"attachment_id": attachment})
    assert answer.status_int == 409
    assert answer.json["conflictingRequest"]["message"].startswith(f"Detach volume from instance {SERVER} using the")
    assert world.action(volume, "os-force_detach", {"attachment_id": attachment}, trusted=True).status_int == 202
