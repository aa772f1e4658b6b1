"""Attach: the happy path of both flows, and what nova-api refuses or undoes."""

from __future__ import annotations

import time

import pytest

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.compute import attach
from tests.unit.nova_lite.cinder_twin import SECRET
from tests.unit.nova_lite.compute.conftest import (
    BUS_DOWN,
    DOWN,
    HOST,
    REQUESTS,
    RESERVE,
    Cloud,
)


def test_attach_reaches_the_guest_with_four_requests(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume(size=3)
    cloud.statements.clear()
    answered = cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume, tag="t", delete_on_termination=True)
    assert cloud.twin.calls == REQUESTS[flow]
    # Two of them tell the story: the action and its event.
    assert len(cloud.statements) <= 9
    assert answered.device_name == "/dev/vdb"
    cloud.assert_attached(server.uuid, volume)
    (device,) = cloud.devices(server.uuid)
    assert (device.tag, device.delete_on_termination, device.volume_size) == ("t", True, 3)
    assert (device.attachment_id is None) == (flow == "legacy")
    assert cloud.disks(server.uuid).live == {volume}
    assert cloud.faults(server.uuid) == []


def test_connection_is_stored_without_password_and_used_with_it(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    given = []
    plug = cloud.virt.attach_volume
    cloud.virt.attach_volume = lambda uuid, disk: (given.append(disk), plug(uuid, disk))[1]  # type: ignore[method-assign]
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    (device,) = cloud.devices(server.uuid)
    assert given[0].connection_info["data"]["auth_password"] == SECRET
    assert device.connection_info is not None
    assert device.connection_info["driver_volume_type"] == "iscsi"
    assert device.connection_info["serial"] == volume
    assert device.connection_info["data"]["target_lun"] == 1
    assert SECRET not in repr(device.connection_info)
    assert SECRET not in repr(given[0])
    if flow == "legacy":
        assert device.connection_info["connector"]["host"] == HOST
    else:
        (attachment,) = cloud.twin.attachments.values()
        assert attachment["connector"]["mountpoint"] == "/dev/vdb"


def test_attach_to_stopped_and_to_paused_server(cloud: Cloud, flow: str) -> None:
    stopped, paused = cloud.boot(), cloud.boot()
    cloud.api.stop(cloud.ctx, stopped.uuid)
    cloud.api.pause(cloud.ctx, paused.uuid)
    first, second = cloud.twin.add_volume(), cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, stopped.uuid, first)
    cloud.volumes.attach_volume(cloud.ctx, paused.uuid, second)
    assert cloud.disks(stopped.uuid).live == frozenset()
    assert cloud.disks(stopped.uuid).stored == {first}
    assert cloud.disks(paused.uuid).live == cloud.disks(paused.uuid).stored == {second}
    cloud.assert_attached(stopped.uuid, first)
    cloud.api.start(cloud.ctx, stopped.uuid)
    assert cloud.disks(stopped.uuid).live == {first}


# Checks of nova-api: nothing is asked of Cinder or made before they pass.


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"locked": True}, nova_errors.ServerLocked, "Instance {id} is locked"),
        (
            {"vm_state": "suspended"},
            nova_errors.ServerInvalidState,
            "Cannot 'attach_volume' instance {id} while it is in vm_state suspended",
        ),
        (
            {"vm_state": "error"},
            nova_errors.ServerInvalidState,
            "Cannot 'attach_volume' instance {id} while it is in vm_state error",
        ),
        (
            {"task_state": "powering-off"},
            nova_errors.ServerInvalidState,
            "Cannot 'attach_volume' instance {id} while it is in task_state powering-off",
        ),
        (
            {"launched_at": None},
            nova_errors.ServerNeverLaunched,
            "Instance {id} is in an invalid state for 'attach_volume'",
        ),
        ({"project_id": "other"}, nova_errors.ServerNotFound, "Instance {id} could not be found."),
    ],
)  # fmt: skip
def test_server_that_cannot_take_a_volume(
    cloud: Cloud, values: dict[str, object], error: type[errors.LiteError], text: str
) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.set_server(server.uuid, **values)
    with pytest.raises(error) as caught:
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert caught.value.message == text.format(id=server.uuid)
    assert cloud.twin.calls == []
    cloud.assert_as_before(server.uuid, volume)


def test_admin_may_attach_to_a_locked_server(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.set_server(server.uuid, locked=True)
    cloud.volumes.attach_volume(context.admin_context(project_id="demo"), server.uuid, volume)
    cloud.assert_attached(server.uuid, volume)


@pytest.mark.parametrize("device", ["vdb", "auto", "", "/dev/vdB", "/dev/nvme0n1"])
def test_malformed_device_name(cloud: Cloud, device: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    with pytest.raises(nova_errors.InvalidDevicePath, match=r"The supplied device path"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume, device=device)
    assert cloud.twin.calls == []


def test_unknown_server_and_volume(cloud: Cloud) -> None:
    server = cloud.boot()
    with pytest.raises(nova_errors.ServerNotFound, match=r"^Instance nobody could not be found"):
        cloud.volumes.attach_volume(cloud.ctx, "nobody", cloud.twin.add_volume())
    with pytest.raises(nova_errors.VolumeNotFound, match=r"^Volume nothing could not be found"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, "nothing")
    assert cloud.devices(server.uuid) == []


def test_volume_that_is_attached_already(cloud: Cloud, flow: str) -> None:
    server, other, volume = cloud.boot(), cloud.boot(), cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    for wanted in (server, other):
        with pytest.raises(nova_errors.InvalidVolume) as caught:
            cloud.volumes.attach_volume(cloud.ctx, wanted.uuid, volume)
        assert caught.value.message == (
            f"Invalid volume: volume {volume} is already attached to instances: {server.uuid}"
        )
    cloud.assert_attached(server.uuid, volume)
    assert cloud.devices(other.uuid) == []


def test_multiattach_volume_is_refused(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume(multiattach=True)
    with pytest.raises(nova_errors.MultiattachUnsupported):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.assert_as_before(server.uuid, volume)


def test_host_that_does_not_report(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.silence()
    with pytest.raises(nova_errors.HostDown) as caught:
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert HOST in caught.value.message
    assert "last reported" in caught.value.message
    assert cloud.twin.calls == []
    cloud.assert_as_before(server.uuid, volume)


# Failures of nova-api's steps.


@pytest.mark.parametrize("late", [False, True])
def test_compute_does_not_answer(cloud: Cloud, flow: str, late: bool) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.rpc.calls_fail, cloud.rpc.calls_late = errors.Timeout("compute.host1 did not answer"), late
    with pytest.raises(errors.Timeout, match=r"host1"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert cloud.twin.calls == ["GET volumes"]
    cloud.assert_as_before(server.uuid, volume)


def test_bus_is_down_when_the_name_is_asked_for(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.rpc.calls_fail = BUS_DOWN
    with pytest.raises(errors.Unavailable, match="RabbitMQ"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.assert_as_before(server.uuid, volume)


def test_compute_refuses_what_comes_too_late(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    late = context.RequestContext(project_id="demo", deadline=time.time() + 0.5)
    with pytest.raises(errors.Timeout, match=r"given up"):
        attach.reserve_block_device_name(cloud.host, late, server.uuid, volume, bdm_uuid="b")
    cloud.assert_as_before(server.uuid, volume)


def test_cinder_refuses_the_reservation(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume(status="error")
    with pytest.raises(nova_errors.InvalidInput, match=r"^Invalid input received: Invalid volume: "):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert cloud.devices(server.uuid) == []
    assert cloud.twin.status(volume) == "error"


def test_cinder_is_down_at_the_reservation(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.twin.faults[RESERVE[flow]] = [DOWN]
    with pytest.raises(nova_errors.CinderUnavailable, match=r"8776") as caught:
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert caught.value.code == 503
    cloud.assert_as_before(server.uuid, volume)


def test_attachment_made_without_an_answer_is_found_and_ended(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.twin.faults["POST attachments"] = [errors.Timeout("no answer in time")]
    cloud.twin.after.add("POST attachments")
    with pytest.raises(nova_errors.CinderUnavailable):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.assert_as_before(server.uuid, volume)


def test_hand_over_fails_and_the_reservation_is_taken_back(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.rpc.casts_fail = BUS_DOWN
    with pytest.raises(errors.Unavailable, match="RabbitMQ"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    undone = {"attachments": "DELETE attachments", "legacy": "os-unreserve"}[flow]
    assert cloud.twin.calls == [*REQUESTS[flow][:2], undone]
    cloud.assert_as_before(server.uuid, volume)


def test_an_undo_that_fails_does_not_hide_the_cause(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.rpc.casts_fail = BUS_DOWN
    cloud.twin.faults["DELETE attachments"] = [DOWN]
    with pytest.raises(errors.Unavailable, match="RabbitMQ"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    # The attachment is there, so the row is: nova-compute ends both.
    assert [device.attachment_id for device in cloud.devices(server.uuid)] == list(cloud.twin.attachments)


def test_server_deleted_between_reservation_and_hand_over(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    reserve = cloud.rpc.reserve_block_device_name

    def then_delete(*args: object, **kwargs: object) -> object:
        answer = reserve(*args, **kwargs)  # type: ignore[arg-type]
        cloud.api.delete_server(cloud.ctx, server.uuid)
        return answer

    cloud.rpc.reserve_block_device_name = then_delete  # type: ignore[method-assign]
    with pytest.raises(nova_errors.BlockDeviceGone):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert cloud.twin.status(volume) == "available"
    assert cloud.twin.attachments == {}
