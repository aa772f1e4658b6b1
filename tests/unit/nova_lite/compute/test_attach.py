"""Attach: the happy path of both flows, and every failure with what is undone and in which order."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

import pytest

from lite_common import context, db, errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.compute import attach
from nova_lite.db import attachments
from nova_lite.virt import errors as virt_errors
from tests.unit.nova_lite.cinder_twin import SECRET
from tests.unit.nova_lite.compute.conftest import HOST, Cloud

FLOWS = ("attachments", "legacy")
# nova-api asks for the volume, reserves; nova-compute connects, finishes: four requests and no more.
REQUESTS = {
    "attachments": ["GET volumes", "POST attachments", "PUT attachments", "os-complete"],
    "legacy": ["GET volumes", "os-reserve", "os-initialize_connection", "os-attach"],
}
RESERVE = {"attachments": "POST attachments", "legacy": "os-reserve"}
CONNECT = {"attachments": "PUT attachments", "legacy": "os-initialize_connection"}
FINISH = {"attachments": "os-complete", "legacy": "os-attach"}
DOWN = errors.Unavailable("volume at http://127.0.0.1:8776/v3 cannot be reached. Check that it runs there.")
BUS_DOWN = errors.Unavailable("RabbitMQ did not take the message")


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    if request.param == "legacy":
        cloud.legacy()
    return str(request.param)


def test_attach_reaches_the_guest_with_four_requests(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume(size=3)
    cloud.statements.clear()
    answered = cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume, tag="t", delete_on_termination=True)
    assert cloud.twin.calls == REQUESTS[flow]
    assert len(cloud.statements) <= 7
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
    assert cloud.devices(server.uuid) == []


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


# Failures of nova-compute's steps: what was done is undone, last first.

UNDO = {
    "attachments": ["DELETE attachments"],
    "legacy": ["os-terminate_connection", "os-unreserve"],
}


def fail_connector(cloud: Cloud, flow: str) -> None:
    def refuse(mountpoint: str | None = None) -> dict[str, object]:
        raise errors.BackendError("no connector")

    cloud.connector.properties = refuse  # type: ignore[method-assign]


def fail_connect(cloud: Cloud, flow: str) -> None:
    cloud.twin.faults[CONNECT[flow]] = [errors.BackendError("no export")]


def fail_portal(cloud: Cloud, flow: str) -> None:
    cloud.connector.faults.append(virt_errors.PortalUnreachable(portal="p", iqn="i", reason="r"))


def fail_guest(cloud: Cloud, flow: str) -> None:
    cloud.virt.faults["attach_volume"] = [virt_errors.DeviceAttachFailed(volume="v", server="s", reason="no")]


def fail_finish(cloud: Cloud, flow: str) -> None:
    cloud.twin.faults[FINISH[flow]] = [DOWN]


BREAKS: list[tuple[Callable[[Cloud, str], None], dict[str, list[str]]]] = [
    (fail_connector, {"attachments": ["DELETE attachments"], "legacy": ["os-unreserve"]}),
    (fail_connect, UNDO),
    (fail_portal, UNDO),
    (fail_guest, UNDO),
    (
        fail_finish,
        {
            "attachments": ["DELETE attachments"],
            "legacy": ["os-terminate_connection", "os-detach", "os-unreserve"],
        },
    ),
]


@pytest.mark.parametrize(("broken", "undone"), BREAKS, ids=[one[0].__name__ for one in BREAKS])
def test_a_step_of_compute_fails(
    cloud: Cloud, flow: str, broken: Callable[[Cloud, str], None], undone: dict[str, list[str]]
) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    broken(cloud, flow)
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert len(cloud.rpc.errors) == 1
    done = [call for call in cloud.twin.calls if call in REQUESTS[flow]]
    assert cloud.twin.calls[len(done) :] == undone[flow]
    cloud.assert_as_before(server.uuid, volume)
    assert len(cloud.faults(server.uuid)) == 1
    assert cloud.server(server.uuid).vm_state == states.ACTIVE
    assert cloud.server(server.uuid).task_state is None
    # And nothing stands in the way of the next attempt.
    again = cloud.volumes
    cloud.connector.__dict__.pop("properties", None)
    again.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.assert_attached(server.uuid, volume)


def test_finish_that_was_done_without_an_answer_is_undone_too(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.twin.faults[FINISH[flow]] = [errors.Timeout("no answer")]
    cloud.twin.after.add(FINISH[flow])
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.assert_as_before(server.uuid, volume)


def test_row_released_before_the_guest_is_touched(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    connect = cloud.connector.connect_volume

    def and_release(info: dict[str, object]) -> dict[str, object]:
        attachments.release(cloud.database, cloud.devices(server.uuid)[0].uuid)
        return connect(info)

    cloud.connector.connect_volume = and_release  # type: ignore[method-assign]
    touched: list[object] = []
    cloud.virt.attach_volume = lambda *args: touched.append(args)  # type: ignore[method-assign]
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert isinstance(cloud.rpc.errors[0], nova_errors.BlockDeviceGone)
    assert touched == []
    cloud.assert_as_before(server.uuid, volume)


def test_guest_that_keeps_the_disk_while_undoing_keeps_its_storage(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.api.pause(cloud.ctx, server.uuid)
    cloud.twin.faults[FINISH[flow]] = [errors.BackendError("database gone")]
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert cloud.disks(server.uuid).live == {volume}
    assert cloud.twin.calls == REQUESTS[flow]
    assert len(cloud.devices(server.uuid)) == 1
    # Deleting the server ends it all.
    cloud.api.delete_server(cloud.ctx, server.uuid)
    assert cloud.twin.status(volume) == "available"
    assert cloud.twin.attachments == {}


def test_one_undo_that_fails_does_not_stop_the_others(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    fail_guest(cloud, "attachments")
    cloud.twin.faults["DELETE attachments"] = [errors.BackendError("still down")]
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert cloud.connector.connected == frozenset()
    assert isinstance(cloud.rpc.errors[0], virt_errors.DeviceAttachFailed)


def test_an_undo_that_cinder_refuses_is_left(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    fail_guest(cloud, "attachments")
    cloud.twin.faults["DELETE attachments"] = [errors.Conflict("not now")]
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    assert cloud.devices(server.uuid) == []
    assert cloud.host.unfinished == {}


def test_attach_that_comes_after_a_delete_of_the_server(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.api.delete_server(cloud.ctx, server.uuid)
    cloud.rpc.queue.reverse()
    cloud.rpc.deliver()
    assert cloud.rpc.errors == []
    assert cloud.twin.status(volume) == "available"
    assert cloud.virt.list_servers() == frozenset()


def test_messages_for_what_never_was_are_refused_in_words(cloud: Cloud) -> None:
    with pytest.raises(nova_errors.ServerNotFound):
        cloud.rpc.manager.attach_volume(cloud.ctx, "nobody", "nothing")
    with pytest.raises(errors.NotFound, match="Block device nothing"):
        cloud.rpc.manager.attach_volume(cloud.ctx, cloud.boot().uuid, "nothing")


def test_attach_that_runs_while_the_server_is_to_be_deleted(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    cloud.api.delete_server(cloud.ctx, server.uuid)
    cloud.rpc.deliver()
    assert cloud.twin.status(volume) == "available"
    assert cloud.twin.attachments == {}
    assert cloud.server(server.uuid).deleted


# Device names and races.


def test_requested_name_is_honoured_once(cloud: Cloud) -> None:
    server, first, second = cloud.boot(), cloud.twin.add_volume(), cloud.twin.add_volume()
    assert cloud.volumes.attach_volume(cloud.ctx, server.uuid, first, device="/dev/sdx1").device_name == "/dev/vdx"
    with pytest.raises(nova_errors.DevicePathInUse, match=r"The supplied device path \(/dev/vdx\) is in use."):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, second, device="/dev/vdx")
    with pytest.raises(nova_errors.DevicePathInUse):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, second, device="/dev/vda")
    cloud.assert_as_before(server.uuid, second)


def test_gaps_are_filled_and_z_is_followed_by_aa(cloud: Cloud) -> None:
    server = cloud.boot()
    volumes = [cloud.twin.add_volume() for _ in range(27)]
    names = [cloud.volumes.attach_volume(cloud.ctx, server.uuid, one).device_name for one in volumes[:26]]
    assert names[:2] == ["/dev/vdb", "/dev/vdc"]
    assert names[-2:] == ["/dev/vdz", "/dev/vdaa"]
    cloud.volumes.detach_volume(cloud.ctx, server.uuid, volumes[1])
    assert cloud.volumes.attach_volume(cloud.ctx, server.uuid, volumes[26]).device_name == "/dev/vdc"


def test_as_many_disks_as_allowed(cloud: Cloud) -> None:
    object.__setattr__(cloud.host, "max_disks", 2)
    server, first, second = cloud.boot(), cloud.twin.add_volume(), cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, first)
    with pytest.raises(nova_errors.TooManyDisks, match=r"number of disk devices \(2\)") as caught:
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, second)
    assert caught.value.code == 403
    cloud.assert_as_before(server.uuid, second)


def together(*works: Callable[[], object]) -> list[object]:
    """Run all at the same moment; what each returned or raised."""
    results: list[object] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = works[number]()
        except errors.LiteError as err:
            results[number] = err

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_servers_want_one_volume_at_the_same_moment(cloud: Cloud, flow: str) -> None:
    first, second = cloud.boot(), cloud.boot()
    for _ in range(5):
        volume = cloud.twin.add_volume()
        results = together(
            *(functools.partial(cloud.volumes.attach_volume, cloud.ctx, one.uuid, volume) for one in (first, second))
        )
        refused = [result for result in results if isinstance(result, errors.LiteError)]
        assert len(refused) == 1
        assert refused[0].code == 400
        winner, loser = (second, first) if isinstance(results[0], errors.LiteError) else (first, second)
        cloud.assert_attached(winner.uuid, volume)
        assert volume not in [device.volume_id for device in cloud.devices(loser.uuid)]


def test_one_server_wants_one_volume_twice_at_the_same_moment(cloud: Cloud, flow: str) -> None:
    server = cloud.boot()
    for _ in range(5):
        volume = cloud.twin.add_volume()
        results = together(*[functools.partial(cloud.volumes.attach_volume, cloud.ctx, server.uuid, volume)] * 2)
        refused = [result for result in results if isinstance(result, errors.LiteError)]
        assert [err.code for err in refused] == [400]
        cloud.assert_attached(server.uuid, volume)


def test_many_volumes_at_once_get_different_names(cloud: Cloud) -> None:
    server = cloud.boot()
    volumes = [cloud.twin.add_volume() for _ in range(12)]
    results = together(
        *(functools.partial(cloud.volumes.attach_volume, cloud.ctx, server.uuid, one) for one in volumes)
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert len({device.device_name for device in cloud.devices(server.uuid)}) == 12


def test_name_taken_by_another_process_is_passed_over(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    insert, sneaked = attachments.reserve, []

    def sneak_in(database: db.Database, **values: object) -> attachments.BlockDevice:
        if not sneaked:
            sneaked.append(insert(database, **values | {"uuid": "other", "volume_id": "other"}))  # type: ignore[arg-type]
        return insert(database, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(attachments, "reserve", sneak_in)
    assert cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume).device_name == "/dev/vdc"


def test_statements_do_not_grow_with_the_volumes(cloud: Cloud) -> None:
    server = cloud.boot()
    counts = []
    for _ in range(30):
        cloud.statements.clear()
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, cloud.twin.add_volume())
        counts.append(len(cloud.statements))
    assert set(counts) == {7}
