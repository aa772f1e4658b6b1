"""Read-only volumes, forced ends and reset states with both services at work."""

from __future__ import annotations

import pytest

from tests.fixtures import stack as stacks
from tests.functional.world import World


@pytest.fixture
def admin(stack: stacks.FunctionalStack) -> World:
    """An administrator of the project `repair`."""
    return World(stack, "admin:repair")


def act(world: World, volume: str, name: str, value: object = None) -> int:
    return world.volumes("POST", f"/volumes/{volume}/action", {name: value}).status_code


def test_a_server_gets_a_readonly_volume_for_reading(admin: World) -> None:
    server, volume = admin.server(), admin.volume()
    assert act(admin, volume, "os-update_readonly_flag", {"readonly": True}) == 202
    admin.attached(server, volume)
    [attachment] = admin.volumes("GET", f"/attachments/detail?volume_id={volume}").json()["attachments"]
    assert (attachment["attach_mode"], attachment["connection_info"]["access_mode"]) == ("ro", "ro")
    assert act(admin, volume, "os-update_readonly_flag", {"readonly": False}) == 400
    assert admin.detach(server, volume).status_code == 202
    admin.await_volume(volume, "available")
    assert admin.volumes("GET", f"/volumes/{volume}").json()["volume"]["metadata"] == {"readonly": "True"}
    admin.remove(servers=[server], volumes=[volume])


def test_nothing_is_forced_out_of_a_server(admin: World) -> None:
    server, volume = admin.server(), admin.volume()
    admin.attached(server, volume)
    [attachment] = admin.volumes("GET", f"/attachments?volume_id={volume}").json()["attachments"]
    refused = admin.volumes(
        "POST", f"/volumes/{volume}/action", {"os-force_detach": {"attachment_id": attachment["id"]}}
    )
    assert refused.status_code == 409
    assert f"Detach volume from instance {server} using the Compute API" in refused.text
    assert act(admin, volume, "os-force_delete") == 400
    assert admin.volumes("DELETE", f"/volumes/{volume}?force=true").status_code == 400
    assert admin.volume_status(volume) == "in-use"
    # A wrong status does not make it deletable either, and the detach still goes through afterwards.
    assert act(admin, volume, "os-reset_status", {"status": "error"}) == 202
    assert act(admin, volume, "os-force_delete") == 400
    assert act(admin, volume, "os-reset_status", {"status": "in-use"}) == 202
    assert admin.detach(server, volume).status_code == 202
    admin.await_volume(volume, "available")
    admin.remove(servers=[server], volumes=[volume])


def test_an_attachment_that_no_server_has_is_forced_away(admin: World) -> None:
    volume = admin.volume()
    connector = {"host": "c9", "ip": "127.0.0.1", "initiator": "iqn.2010-10.org.openstack:c9"}
    wanted = {"volume_uuid": volume, "instance_uuid": "00000000-0000-4000-8000-00000000000a", "connector": connector}
    assert admin.volumes("POST", "/attachments", {"attachment": wanted}).status_code == 200
    assert any(f"volume-{volume}" in target.exported() for target in admin.stack.targets.values())
    assert act(admin, volume, "os-force_detach", {}) == 202
    assert admin.volume_status(volume) == "available"
    assert not any(f"volume-{volume}" in target.exported() for target in admin.stack.targets.values())
    admin.remove(volumes=[volume])
