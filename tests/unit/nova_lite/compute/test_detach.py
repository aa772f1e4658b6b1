"""Detach: the happy path of both flows, the refusals of nova-api, and what a failure leaves."""

from __future__ import annotations

import pytest

from lite_common import errors
from nova_lite import errors as nova_errors
from nova_lite.db import models
from nova_lite.virt import errors as virt_errors
from tests.unit.nova_lite.compute.conftest import Cloud

DOWN = errors.Unavailable("volume at http://127.0.0.1:8776/v3 cannot be reached.")
# The row of an attachment says all that is needed; one of the older flow has to be looked up in Cinder first.
LOOKS = {"attachments": [], "legacy": ["GET volumes"]}
REQUESTS = {
    "attachments": ["os-begin_detaching", "DELETE attachments"],
    "legacy": ["GET volumes", "os-begin_detaching", "os-terminate_connection", "os-detach"],
}


@pytest.fixture(params=tuple(REQUESTS))
def flow(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    if request.param == "legacy":
        cloud.legacy()
    return str(request.param)


def attached(cloud: Cloud) -> tuple[str, str]:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.assert_attached(server.uuid, volume)
    cloud.twin.calls.clear()
    cloud.statements.clear()
    return server.uuid, volume


def test_detach(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.calls == REQUESTS[flow]
    # Two of them tell the story: the action and its event.
    assert len(cloud.statements) <= 6
    cloud.assert_as_before(server, volume)
    assert cloud.faults(server) == []
    # The same volume and the same name can be used again: the old rows are kept, but not in the way.
    again = cloud.volumes.attach_volume(cloud.ctx, server, volume)
    assert again.device_name == "/dev/vdb"


def test_the_row_and_not_the_option_decides_the_flow(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.legacy()
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.calls == REQUESTS["attachments"]


def test_legacy_detach_names_the_attachment_that_cinder_showed(cloud: Cloud) -> None:
    cloud.legacy()
    server, volume = attached(cloud)
    (attachment,) = cloud.twin.attachments
    seen: list[object] = []
    detach = cloud.host.cinder.detach_in_cinder
    cloud.host.cinder.detach_in_cinder = lambda ctx, vol, aid: (seen.append(aid), detach(ctx, vol, aid))[1]  # type: ignore[method-assign]
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert seen == [attachment]


def test_detach_twice(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.rpc.queue = []
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    with pytest.raises(nova_errors.InvalidVolume, match=r"^Invalid volume: Invalid input received: ") as caught:
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert caught.value.code == 400
    cloud.rpc.deliver()
    cloud.assert_as_before(server, volume)
    with pytest.raises(nova_errors.VolumeNotAttached, match=rf"Instance {server} is not attached to volume {volume}"):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)


def test_unknown_volume_and_unknown_server(cloud: Cloud) -> None:
    server = cloud.boot()
    with pytest.raises(nova_errors.VolumeNotFound, match=r"Volume nothing could not be found."):
        cloud.volumes.detach_volume(cloud.ctx, server.uuid, "nothing")
    with pytest.raises(nova_errors.ServerNotFound):
        cloud.volumes.detach_volume(cloud.ctx, "nobody", cloud.twin.add_volume())


def test_root_volume_stays(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    table = models.block_device_mapping
    with cloud.database.connection() as conn:
        conn.execute(table.update().values(boot_index=0))
    with pytest.raises(nova_errors.RootVolume, match=r"Cannot detach a root device volume"):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)


def test_server_in_a_state_that_rules_it_out(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.set_server(server, task_state="rebooting")
    with pytest.raises(
        nova_errors.ServerInvalidState, match=r"Cannot 'detach_volume' instance .* task_state rebooting"
    ):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.set_server(server, task_state=None, locked=True)
    with pytest.raises(nova_errors.ServerLocked):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)


def test_host_that_does_not_report(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.silence()
    with pytest.raises(nova_errors.HostDown, match=r"^Service is unavailable at this time.") as caught:
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert caught.value.code == 409
    assert cloud.twin.calls == LOOKS[flow]
    cloud.assert_attached(server, volume)


def test_bus_is_down(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.rpc.casts_fail = errors.Unavailable("RabbitMQ did not take the message")
    with pytest.raises(errors.Unavailable, match=r"RabbitMQ"):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.calls == [*LOOKS[flow], "os-begin_detaching", "os-roll_detaching"]
    cloud.assert_attached(server, volume)


def test_cinder_is_down(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.twin.faults["os-begin_detaching"] = [DOWN]
    with pytest.raises(nova_errors.CinderUnavailable):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)


@pytest.mark.parametrize("how", ["stubborn", "paused", "hypervisor"])
def test_guest_keeps_the_disk(cloud: Cloud, flow: str, how: str) -> None:
    server, volume = attached(cloud)
    if how == "stubborn":
        cloud.virt.stubborn.add(server)
    elif how == "paused":
        cloud.api.pause(cloud.ctx, server)
    else:
        cloud.virt.faults["detach_volume"] = [virt_errors.HypervisorUnavailable(uri="u", reason="r")]
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.calls[-2:] == ["os-begin_detaching", "os-roll_detaching"]
    cloud.assert_attached(server, volume)
    assert len(cloud.faults(server)) == 1
    # And once the guest is willing the same request works.
    cloud.virt.stubborn.clear()
    if how == "paused":
        cloud.api.unpause(cloud.ctx, server)
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.assert_as_before(server, volume)


def test_disk_that_the_guest_has_not_is_detached_all_the_same(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.virt.faults["detach_volume"] = [virt_errors.DeviceNotFound(volume=volume, server=server)]
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.status(volume) == "available"
    assert cloud.devices(server) == []


def test_cinder_fails_after_the_guest_has_let_go(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    first = REQUESTS[flow][len(LOOKS[flow]) + 1]
    cloud.twin.faults[first] = [DOWN]
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.status(volume) == "detaching"
    assert len(cloud.devices(server)) == 1
    assert "8776" in cloud.faults(server)[0][1]
    # Forward is the only way, and the same message is safe to come again.
    cloud.rpc.manager.detach_volume(cloud.ctx, server, volume, None)
    cloud.assert_as_before(server, volume)


def test_legacy_requests_that_fail_are_repeated(cloud: Cloud) -> None:
    cloud.legacy()
    server, volume = attached(cloud)
    cloud.twin.faults["os-terminate_connection"] = [errors.BackendError("500")] * 4
    cloud.twin.faults["os-detach"] = [errors.BackendError("500")] * 4
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.calls.count("os-terminate_connection") == 5
    cloud.assert_as_before(server, volume)


def test_attachment_that_cinder_has_lost_is_no_obstacle(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.twin.attachments.clear()
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.devices(server) == []


def test_server_on_another_host_only_loses_the_storage(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.set_server(server, host="elsewhere")
    cloud.rpc.manager.detach_volume(cloud.ctx, server, volume, None)
    assert cloud.disks(server).live == {volume}
    assert cloud.devices(server) == []
    assert cloud.twin.status(volume) == "available"


def test_list_show_and_change(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    volumes = [cloud.twin.add_volume() for _ in range(4)]
    for volume in volumes:
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    page = cloud.volumes.list_attachments(cloud.ctx, server, limit=2, offset=1)
    assert [device.volume_id for device in page] == volumes[1:3]
    cloud.volumes.set_delete_on_termination(cloud.ctx, server, volumes[0], True)
    assert cloud.volumes.get_attachment(cloud.ctx, server, volumes[0]).delete_on_termination
    with pytest.raises(nova_errors.VolumeNotAttached):
        cloud.volumes.get_attachment(cloud.ctx, server, "nothing")
    with pytest.raises(nova_errors.ServerNotFound):
        cloud.volumes.list_attachments(cloud.ctx, "nobody", limit=10)
    shown = cloud.api.volumes_attached_of([server, "other"])
    assert [one.volume_id for one in shown[server]] == volumes
    assert shown["other"] == []
