"""Attach on the host: every step that can fail, what is undone then, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lite_common import errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.compute import recovery
from nova_lite.db import attachments
from nova_lite.virt import errors as virt_errors
from tests.unit.nova_lite.compute.conftest import (
    CONNECT,
    DOWN,
    FINISH,
    REQUESTS,
    Cloud,
)

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


def test_an_undo_for_which_cinder_is_too_busy_is_tried_again(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    fail_guest(cloud, "attachments")
    cloud.twin.faults["DELETE attachments"] = [errors.Conflict("not now")]
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    # The row stays, so that nobody forgets the attachment.
    assert list(cloud.host.unfinished) == [cloud.devices(server.uuid)[0].uuid]
    recovery.tick(cloud.host)
    assert cloud.host.unfinished == {}
    cloud.assert_as_before(server.uuid, volume)


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
