"""nova-compute is killed between two steps; what it finds when it is back is brought to an end in which all agree."""

from __future__ import annotations

import contextlib
import datetime
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lite_common import db, errors
from nova_lite.compute import attach, reconcile, recovery
from nova_lite.db import models
from tests.unit.nova_lite.compute.conftest import Cloud


class Killed(BaseException):
    """The process ends here: nothing after it runs, no undo and no fault."""


class DeadStack(contextlib.ExitStack):
    """An undo stack that a killed process takes with it."""

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> bool:
        if kind is Killed:
            self.pop_all()
        return bool(super().__exit__(kind, *rest))


@pytest.fixture(params=("attachments", "legacy"))
def flow(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    if request.param == "legacy":
        cloud.legacy()
    return str(request.param)


@contextlib.contextmanager
def killed_at(cloud: Cloud, owner: object, name: str, after: bool) -> Iterator[None]:
    """While the block runs, messages wait; then they are taken by a process that dies at this step, or right after."""
    step: Callable[..., object] = getattr(owner, name)

    def killed(*args: object, **kwargs: object) -> object:
        if after:
            step(*args, **kwargs)
        raise Killed

    cloud.rpc.queue = []
    yield
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, killed)
        patch.setattr(attach, "contextlib", types.SimpleNamespace(ExitStack=DeadStack))
        with pytest.raises(Killed):
            cloud.rpc.deliver()


ATTACH_DEATHS = [
    ("connector", "properties", False),
    ("connector", "connect_volume", False),
    ("connector", "connect_volume", True),
    ("virt", "attach_volume", False),
    ("virt", "attach_volume", True),
]


@pytest.mark.parametrize(("owner", "step", "after"), ATTACH_DEATHS)
def test_killed_in_an_attach(cloud: Cloud, flow: str, owner: str, step: str, after: bool) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    with killed_at(cloud, getattr(cloud, owner), step, after):
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    assert cloud.twin.status(volume) in ("reserved", "attaching")
    assert len(cloud.devices(server)) == 1
    restart(cloud)
    if (step, after) == ("attach_volume", True):
        cloud.assert_attached(server, volume)
    else:
        assert cloud.devices(server) == []
        assert cloud.twin.status(volume) == "available"
        assert cloud.twin.attachments == {}
        assert cloud.disks(server).stored == frozenset()


@pytest.mark.parametrize("after", [False, True])
def test_killed_in_a_detach(cloud: Cloud, flow: str, after: bool) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    with killed_at(cloud, cloud.virt, "detach_volume", after):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.status(volume) == "detaching"
    restart(cloud)
    cloud.assert_as_before(server, volume)


def test_guest_keeps_the_disk_of_a_detach_whose_message_was_lost(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.virt.pause(server)
    cloud.rpc.queue = []
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.status(volume) == "detaching"
    restart(cloud)
    cloud.assert_attached(server, volume)
    cloud.virt.unpause(server)
    cloud.rpc.queue = None
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.assert_as_before(server, volume)


def test_message_of_an_attach_is_lost(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    recovery.tick(cloud.host)
    assert len(cloud.devices(server)) == 1, "too young to be given up"
    restart(cloud)
    cloud.assert_as_before(server, volume)
    # The message was only late.
    cloud.rpc.deliver()
    cloud.assert_as_before(server, volume)


def test_nova_api_died_before_it_wrote_down_the_attachment(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    with cloud.database.connection() as conn:
        conn.execute(models.block_device_mapping.update().values(attachment_id=None))
    restart(cloud)
    cloud.assert_as_before(server, volume)


DOWN = errors.Unavailable("down")


@pytest.mark.parametrize("request_", ["DELETE attachments", "os-terminate_connection", "os-unreserve"])
def test_cinder_cannot_be_told_that_an_attach_failed(cloud: Cloud, request_: str) -> None:
    if request_ != "DELETE attachments":
        cloud.legacy()
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.virt.faults["attach_volume"] = [errors.BackendError("no")]
    cloud.twin.faults[request_] = [DOWN]
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    (device,) = cloud.devices(server)
    assert list(cloud.host.unfinished) == [device.uuid]
    # Nobody else can have the volume, because the storage is still given to this host.
    assert cloud.twin.status(volume) in ("attaching", "reserved")
    cloud.twin.faults["GET volumes"] = [DOWN]
    recovery.tick(cloud.host)
    assert list(cloud.host.unfinished) == [device.uuid]
    recovery.tick(cloud.host)
    assert cloud.host.unfinished == {}
    cloud.assert_as_before(server, volume)


def test_cinder_cannot_be_told_of_a_detach(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.faults["DELETE attachments" if flow == "attachments" else "os-detach"] = [DOWN]
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert (cloud.twin.status(volume), len(cloud.host.unfinished)) == ("detaching", 1)
    # While Cinder is down, no faults are piled up on the server.
    cloud.twin.faults["GET volumes"] = [DOWN]
    before = cloud.faults(server)
    recovery.tick(cloud.host)
    assert cloud.faults(server) == before
    recovery.tick(cloud.host)
    assert cloud.host.unfinished == {}
    cloud.assert_as_before(server, volume)


def test_an_unfinished_device_that_was_ended_by_others_is_forgotten(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.faults["DELETE attachments"] = [DOWN]
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.rpc.manager.detach_volume(cloud.ctx, server, volume, None)
    cloud.assert_as_before(server, volume)
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    recovery.tick(cloud.host)
    assert cloud.host.unfinished == {}
    cloud.assert_attached(server, volume)


def test_what_is_in_order_or_strange_is_left_alone(cloud: Cloud) -> None:
    server, fine, strange = cloud.boot().uuid, cloud.twin.add_volume(), cloud.twin.add_volume()
    for volume in (fine, strange):
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.volumes[strange]["status"] = "error"
    before = cloud.devices(server)
    restart(cloud)
    assert cloud.devices(server) == before
    assert cloud.disks(server).live == {fine, strange}


def test_cinder_is_down_at_the_restart(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.volumes[volume]["status"] = "detaching"
    cloud.twin.faults["GET volumes"] = [errors.Unavailable("down")]
    recovery.resume(cloud.host)
    assert len(cloud.devices(server)) == 1
    recovery.resume(cloud.host)
    cloud.assert_as_before(server, volume)


def restart(cloud: Cloud) -> None:
    """nova-compute comes back, and its timer runs once when reservations and detaches have become old."""
    recovery.resume(cloud.host)
    long_ago = db.utcnow() - datetime.timedelta(seconds=max(reconcile.RESERVATION_AGE, reconcile.DETACH_AGE) + 1)
    with cloud.database.connection() as conn:
        conn.execute(models.block_device_mapping.update().values(created_at=long_ago))
        conn.execute(models.instance_actions.update().values(start_time=long_ago))
    recovery.tick(cloud.host)


def audited(cloud: Cloud) -> None:
    """As many turns of the timer as it takes to compare everything."""
    number = recovery.audit(cloud.host, 0)
    while number:
        number = recovery.audit(cloud.host, number)


@pytest.mark.parametrize("count", [1, recovery.AUDITED, recovery.AUDITED + 2])
def test_an_attachment_that_was_reset_in_cinder_loses_its_row_unless_the_guest_has_the_disk(
    cloud: Cloud, flow: str, count: int
) -> None:
    server = cloud.boot().uuid
    volumes = [cloud.twin.add_volume() for _ in range(count)]
    for volume in volumes:
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    audited(cloud)
    for volume in volumes:
        cloud.assert_attached(server, volume)
    cloud.twin.attachments.clear()
    for volume in volumes:
        cloud.twin.volumes[volume]["status"] = "available"
    audited(cloud)
    # A running guest has them, so nobody else may get them.
    assert {device.volume_id for device in cloud.devices(server)} == set(volumes) == cloud.disks(server).live
    cloud.api.stop(cloud.ctx, server)
    audited(cloud)
    for volume in volumes:
        cloud.assert_as_before(server, volume)


def test_a_volume_that_is_gone_from_cinder_is_taken_off_the_host(cloud: Cloud, flow: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.api.stop(cloud.ctx, server)
    cloud.twin.attachments.clear()
    del cloud.twin.volumes[volume]
    audited(cloud)
    assert cloud.devices(server) == []
    assert cloud.disks(server).stored == frozenset()


def test_a_volume_that_somebody_else_has_by_now_is_not_touched(cloud: Cloud, flow: str) -> None:
    server, other, volume = cloud.boot().uuid, cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    (mine,) = cloud.twin.attachments.values()
    mine |= {"id": "another", "instance": other}
    cloud.twin.attachments = {"another": mine}
    cloud.api.stop(cloud.ctx, server)
    cloud.twin.calls.clear()
    audited(cloud)
    assert cloud.devices(server) == []
    assert (cloud.twin.status(volume), list(cloud.twin.attachments)) == ("in-use", ["another"])
    assert not [call for call in cloud.twin.calls if call != "GET volumes"]
