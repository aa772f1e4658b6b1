"""Deleting a server: every attachment ends, in order, also where Cinder, the host or the bus is down."""

from __future__ import annotations

import datetime
import threading
import time
import uuid

import pytest

from lite_common import context, db, errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.compute import attach, local_delete, recovery
from nova_lite.compute import servers as compute_servers
from nova_lite.db import attachments, models, servers
from tests.unit.nova_lite.compute.conftest import Cloud

BUS_DOWN = errors.Unavailable("RabbitMQ did not take the message")


def test_delete_ends_every_attachment_in_order(cloud: Cloud) -> None:
    server, keep, drop, old = cloud.boot().uuid, *(cloud.twin.add_volume() for _ in range(3))
    cloud.volumes.attach_volume(cloud.ctx, server, keep)
    cloud.volumes.attach_volume(cloud.ctx, server, drop, delete_on_termination=True)
    cloud.legacy()
    cloud.volumes.attach_volume(cloud.ctx, server, old)
    cloud.twin.calls.clear()
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.twin.calls == [
        "DELETE attachments",
        "DELETE attachments",
        "DELETE volumes",
        "os-terminate_connection",
        "os-detach",
    ]
    assert drop not in cloud.twin.volumes
    assert cloud.twin.status(keep) == cloud.twin.status(old) == "available"
    gone = cloud.server(server)
    assert (gone.deleted, gone.vm_state, gone.task_state) == (gone.id, states.DELETED, None)
    assert gone.terminated_at is not None
    assert cloud.devices(server) == []
    assert cloud.connector.connected == frozenset()
    assert cloud.virt.list_servers() == frozenset()
    with pytest.raises(nova_errors.ServerNotFound):
        cloud.api.delete_server(cloud.ctx, server)


@pytest.mark.parametrize("fault", [errors.BackendError("500"), errors.Conflict("the target is in use")])
def test_no_attachment_is_forgotten_where_cinder_fails(cloud: Cloud, fault: errors.LiteError) -> None:
    server, volume, other = cloud.boot().uuid, cloud.twin.add_volume(), cloud.twin.add_volume()
    for one in (volume, other):
        cloud.volumes.attach_volume(cloud.ctx, server, one)
    cloud.twin.faults["DELETE attachments"] = [fault]
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).task_state == states.DELETING
    # The other one went all the same.
    assert [device.volume_id for device in cloud.devices(server)] == [volume]
    assert cloud.twin.status(other) == "available"
    cloud.set_server(server, updated_at=db.utcnow() - datetime.timedelta(seconds=recovery.TASK_AGE + 1))
    recovery.tick(cloud.host)
    assert cloud.server(server).deleted
    assert cloud.twin.attachments == {}


def test_delete_goes_on_where_cinder_refuses_for_good(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.faults["DELETE attachments"] = [errors.Forbidden("no")]
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).deleted
    assert cloud.devices(server) == []


@pytest.mark.parametrize("fault", [errors.Unavailable("down"), errors.Conflict("the target is in use")])
def test_delete_while_the_host_and_cinder_are_down_is_finished_by_one_nova_api(
    cloud: Cloud, fault: errors.LiteError
) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.silence()
    cloud.twin.faults["DELETE attachments"] = [fault]
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).task_state == states.DELETING
    assert len(cloud.devices(server)) == 1
    local_delete.finish(cloud.database, cloud.host.cinder, 60)
    assert not cloud.server(server).deleted, "somebody has tried a moment ago"
    cloud.set_server(server, updated_at=db.utcnow() - datetime.timedelta(seconds=local_delete.AGE + 1))
    seen = cloud.server(server)
    local_delete.finish(cloud.database, cloud.host.cinder, 60)
    assert cloud.server(server).deleted
    assert not servers.claim(cloud.database, seen)
    assert cloud.twin.attachments == {}


def test_delete_while_cinder_is_down_is_finished_later(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.faults["DELETE attachments"] = [errors.Unavailable("down")]
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).task_state == states.DELETING
    assert len(cloud.devices(server)) == 1
    cloud.api.delete_server(cloud.ctx, server)
    assert not cloud.server(server).deleted
    cloud.rpc.manager.terminate_server(cloud.ctx, server)
    assert cloud.server(server).deleted
    assert cloud.twin.status(volume) == "available"


@pytest.mark.parametrize("legacy", [False, True])
def test_delete_while_the_host_is_down(cloud: Cloud, legacy: bool) -> None:
    if legacy:
        cloud.legacy()
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.silence()
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).deleted
    assert cloud.devices(server) == []
    assert cloud.twin.status(volume) == "available"
    assert cloud.twin.attachments == {}


def test_delete_while_the_bus_is_down_is_taken_back(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    cloud.rpc.casts_fail = BUS_DOWN
    with pytest.raises(errors.Unavailable):
        cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).task_state is None


def test_delete_of_a_locked_and_of_another_projects_server(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    cloud.set_server(server, locked=True)
    with pytest.raises(nova_errors.ServerLocked):
        cloud.api.delete_server(cloud.ctx, server)
    stranger = context.RequestContext(user_id="eve", project_id="other", roles=["member"])
    with pytest.raises(nova_errors.ServerNotFound):
        cloud.api.delete_server(stranger, server)


def test_build_that_is_overtaken_by_a_delete(cloud: Cloud) -> None:
    cloud.rpc.queue = []
    server = cloud.boot().uuid
    cloud.api.delete_server(cloud.ctx, server)
    cloud.rpc.deliver()
    assert cloud.server(server).deleted
    assert cloud.virt.list_servers() == frozenset()


@pytest.mark.parametrize("host_is_down", [False, True])
def test_reservation_that_nova_api_never_wrote_down(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, host_is_down: bool
) -> None:
    """It was killed between Cinder's answer and its own row, and nobody else knows the attachment."""
    monkeypatch.setattr(compute_servers, "HAND_OVER_LIMIT", 0.0)
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.rpc.queue = None
    _unwritten(cloud)
    if host_is_down:
        cloud.silence()
    cloud.api.delete_server(cloud.ctx, server)
    assert cloud.server(server).deleted
    assert (cloud.twin.status(volume), cloud.twin.attachments) == ("available", {})


def test_delete_waits_for_a_nova_api_that_is_reserving(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    device = cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.rpc.queue = None
    (attachment,) = cloud.twin.attachments
    _unwritten(cloud)
    pauses = []

    def written_meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            attachments.save_reservation(cloud.database, device, attachment, 1)

    monkeypatch.setattr(time, "sleep", written_meanwhile)
    cloud.twin.calls.clear()
    cloud.api.delete_server(cloud.ctx, server)
    assert len(pauses) == 2
    assert cloud.twin.calls == ["DELETE attachments"]
    assert (cloud.twin.status(volume), cloud.twin.attachments) == ("available", {})


def test_no_row_is_made_once_the_rows_were_read(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_servers, "HAND_OVER_LIMIT", 0.0)
    cloud.legacy()
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    row = str(uuid.uuid4())
    deleting = threading.Thread(target=cloud.api.delete_server, args=(cloud.ctx, server))
    with cloud.host.name_locks.hold(server, "naming a volume"):
        deleting.start()
        end = time.monotonic() + 10
        while cloud.virt.list_servers() and time.monotonic() < end:
            time.sleep(0.01)
        attachments.reserve(
            cloud.database,
            uuid=row,
            server_id=server,
            volume_id=volume,
            device_name="/dev/vdb",
            tag=None,
            delete_on_termination=False,
            disk_bus=None,
        )
        cloud.host.cinder.reserve_volume(cloud.ctx, volume)
    deleting.join(10)
    assert cloud.server(server).deleted
    assert cloud.twin.status(volume) == "available"


def test_no_volume_is_named_for_a_server_that_is_being_deleted(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.set_server(server, task_state=states.DELETING)
    with pytest.raises(nova_errors.ServerInvalidState, match="task_state deleting"):
        attach.reserve_block_device_name(cloud.host, cloud.ctx, server, volume, bdm_uuid=str(uuid.uuid4()))
    assert cloud.devices(server) == []


def _unwritten(cloud: Cloud) -> None:
    """The rows as they are before nova-api has written down what Cinder told it."""
    with cloud.database.connection() as conn:
        conn.execute(models.block_device_mapping.update().values(attachment_id=None, volume_size=None))
