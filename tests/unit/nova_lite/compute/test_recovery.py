"""What a nova-compute finds half done when it starts, and what its timer finishes."""

from __future__ import annotations

import datetime

import pytest

from lite_common import db, errors
from nova_lite import states
from nova_lite.compute import recovery
from nova_lite.virt.driver import PowerState
from tests.unit.nova_lite.compute.conftest import Cloud


def test_build_whose_message_was_lost_is_built(cloud: Cloud) -> None:
    cloud.rpc.queue = []
    server = cloud.boot().uuid
    recovery.resume(cloud.host)
    assert cloud.server(server).vm_state == states.ACTIVE
    cloud.rpc.deliver()
    assert cloud.server(server).vm_state == states.ACTIVE


def test_build_that_was_interrupted_ends_in_error(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    cloud.set_server(server, vm_state=states.BUILDING, task_state=states.SPAWNING)
    recovery.resume(cloud.host)
    assert cloud.server(server).state_columns == {"vm_state": states.ERROR, "task_state": None}
    assert "Delete it and create it again" in cloud.faults(server)[0][1]
    assert cloud.virt.list_servers() == frozenset()


@pytest.mark.parametrize(
    ("before", "task", "after"),
    [
        (states.STOPPED, states.POWERING_ON, states.ACTIVE),
        (states.ACTIVE, states.POWERING_OFF, states.STOPPED),
        (states.ACTIVE, states.REBOOTING, states.ACTIVE),
        (states.ACTIVE, states.REBOOTING_HARD, states.ACTIVE),
        (states.ACTIVE, states.PAUSING, states.PAUSED),
        (states.PAUSED, states.UNPAUSING, states.ACTIVE),
    ],
)
def test_power_task_goes_on(cloud: Cloud, before: str, task: str, after: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.set_server(server, vm_state=before, task_state=task)
    recovery.resume(cloud.host)
    assert cloud.server(server).state_columns == {"vm_state": after, "task_state": None}
    assert cloud.disks(server).stored == {volume}


def test_delete_goes_on_at_the_start_and_on_the_timer(cloud: Cloud) -> None:
    first, second, fresh = (cloud.boot().uuid for _ in range(3))
    cloud.set_server(first, task_state=states.DELETING)
    recovery.resume(cloud.host)
    assert cloud.server(first).deleted
    old = db.utcnow() - datetime.timedelta(seconds=recovery.TASK_AGE + 1)
    cloud.set_server(second, task_state=states.DELETING, updated_at=old)
    cloud.set_server(fresh, task_state=states.DELETING, updated_at=db.utcnow())
    recovery.tick(cloud.host)
    assert cloud.server(second).deleted
    assert not cloud.server(fresh).deleted


def test_guest_of_a_server_deleted_meanwhile_is_removed(cloud: Cloud) -> None:
    server, other, volume = cloud.boot().uuid, cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.silence()
    cloud.api.delete_server(cloud.ctx, server)
    assert server in cloud.virt.list_servers()
    recovery.resume(cloud.host)
    assert cloud.virt.list_servers() == {other}
    assert cloud.connector.connected == frozenset()


def test_a_volume_that_has_a_new_server_is_not_taken_from_it(cloud: Cloud) -> None:
    server, other, volume = cloud.boot().uuid, cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.silence()
    cloud.api.delete_server(cloud.ctx, server)
    cloud.report()
    cloud.volumes.attach_volume(cloud.ctx, other, volume)
    recovery.resume(cloud.host)
    assert cloud.virt.list_servers() == {other}
    cloud.assert_attached(other, volume)


def test_one_server_that_fails_does_not_keep_the_others(cloud: Cloud) -> None:
    first, second = cloud.boot().uuid, cloud.boot().uuid
    for server in (first, second):
        cloud.set_server(server, task_state=states.POWERING_OFF)
    cloud.virt.faults["power_off"] = [errors.BackendError("no")]
    recovery.resume(cloud.host)
    assert cloud.server(first).state_columns == {"vm_state": states.ACTIVE, "task_state": None}
    assert cloud.server(second).vm_state == states.STOPPED


def test_guest_that_shut_down_by_itself_is_noted(cloud: Cloud) -> None:
    server, running, volume = cloud.boot().uuid, cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.virt.power_off(server, 0)
    recovery.note_stopped(cloud.host)
    assert cloud.connector.connected == frozenset()
    now = cloud.server(server)
    assert (now.vm_state, now.power_state) == (states.STOPPED, PowerState.SHUTDOWN)
    assert cloud.server(running).vm_state == states.ACTIVE
