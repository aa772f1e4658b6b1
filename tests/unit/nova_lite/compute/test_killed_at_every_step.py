"""Every step of nova's half of an attach and a detach, killed just before and just after; and every lost answer.

Afterwards the timers run (everything is made old enough), and all sides agree: either the volume is attached or nothing
of the attachment is left, no action is open, and nothing waits.
"""

from __future__ import annotations

import contextlib
import datetime
import types
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from lite_common import crew, db, errors, trace
from nova_lite.compute import attach, attach_api, left_actions, reconcile, recovery
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


class Killer:
    """Kills the thread at a step. `struck` tells that the step was met."""

    def __init__(self, step: str, when: str) -> None:
        self.step, self.when, self.struck = step, when, False

    def begin(self, step: trace.Step) -> None:
        if (self.step, self.when) == (step.name, "before"):
            self._kill()

    def end(self, step: trace.Step) -> None:
        if (self.step, self.when) == (step.name, "after") and step.outcome == trace.OK:
            self._kill()

    def _kill(self) -> None:
        self.struck = True
        raise Killed


@contextlib.contextmanager
def killed_at(step: str, when: str) -> Iterator[None]:
    killer = Killer(step, when)
    trace.observe(killer)
    dead = types.SimpleNamespace(ExitStack=DeadStack, contextmanager=contextlib.contextmanager)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attach, "contextlib", dead)
            patch.setattr(attach_api, "contextlib", dead)
            with pytest.raises(Killed):
                yield
    finally:
        trace.ignore(killer)
    assert killer.struck


@pytest.fixture(params=("attachments", "legacy"))
def flow(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    if request.param == "legacy":
        cloud.legacy()
    return str(request.param)


@pytest.fixture(autouse=True)
def host_with_devices(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harder case: what was connected has to be disconnected."""
    monkeypatch.setattr(type(cloud.connector), "has_devices", True)


RESERVE = {"attachments": "create_attachment", "legacy": "reserve_volume"}
CONNECT = {"attachments": "update_attachment", "legacy": "initialize_connection"}
FINISH = {"attachments": "complete_attachment", "legacy": "attach_in_cinder"}
END = {"attachments": "delete_attachment", "legacy": "detach_in_cinder"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["check_server", "check_volume", "reserve_block_device_name", "RESERVE", "hand_over"])
def test_nova_api_is_killed_in_an_attach(cloud: Cloud, flow: str, step: str, when: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    with killed_at(RESERVE[flow] if step == "RESERVE" else step, when):
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.rpc.deliver()
    later(cloud)
    if (step, when) == ("hand_over", "after"):
        cloud.assert_attached(server, volume)
    else:
        cloud.assert_as_before(server, volume)


@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "message lost"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["get_connector", "CONNECT", "connect_volume", "attach_to_guest", "FINISH"])
def test_nova_compute_is_killed_in_an_attach(cloud: Cloud, flow: str, step: str, when: str, restarted: bool) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    name = {"CONNECT": CONNECT[flow], "FINISH": FINISH[flow]}.get(step, step)
    with killed_at(name, when):
        cloud.rpc.deliver()
    if restarted:
        recovery.resume(cloud.host)
    later(cloud)
    if (step, when) == ("attach_to_guest", "after") or step == "FINISH":
        cloud.assert_attached(server, volume)
    else:
        cloud.assert_as_before(server, volume)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["check_server", "check_volume", "begin_detaching", "hand_over"])
def test_nova_api_is_killed_in_a_detach(cloud: Cloud, flow: str, step: str, when: str) -> None:
    server, volume = attached(cloud)
    cloud.rpc.queue = []
    with killed_at(step, when):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.rpc.deliver()
    later(cloud)
    if step in ("check_server", "check_volume") or (step, when) == ("begin_detaching", "before"):
        cloud.assert_attached(server, volume)
    else:
        cloud.assert_as_before(server, volume)


@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "message lost"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["detach_from_guest", "disconnect_volume", "END", "delete_block_device"])
def test_nova_compute_is_killed_in_a_detach(cloud: Cloud, flow: str, step: str, when: str, restarted: bool) -> None:
    server, volume = attached(cloud)
    cloud.rpc.queue = []
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    with killed_at(END[flow] if step == "END" else step, when):
        cloud.rpc.deliver()
    if restarted:
        recovery.resume(cloud.host)
    later(cloud)
    cloud.assert_as_before(server, volume)


@pytest.mark.parametrize("restarted", [True, False])
def test_message_of_a_detach_is_lost(cloud: Cloud, flow: str, restarted: bool) -> None:
    server, volume = attached(cloud)
    cloud.rpc.queue = []
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    recovery.tick(cloud.host)
    assert cloud.twin.status(volume) == "detaching", "the message may only be late"
    if restarted:
        recovery.resume(cloud.host)
    later(cloud)
    cloud.assert_as_before(server, volume)
    # It was only late: nothing more happens, and nothing is wrong.
    faults = cloud.faults(server)
    cloud.rpc.deliver()
    assert (cloud.rpc.errors, cloud.faults(server)) == ([], faults)


ATTACH_REQUESTS = {
    "attachments": ["POST attachments", "PUT attachments", "os-complete"],
    "legacy": ["os-reserve", "os-initialize_connection", "os-attach"],
}
DETACH_REQUESTS = {
    "attachments": ["os-begin_detaching", "DELETE attachments"],
    "legacy": ["os-begin_detaching", "os-terminate_connection", "os-detach"],
}
LOST = [errors.Unavailable("reset"), errors.Timeout("silent"), errors.BackendError("500")]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("lost", LOST, ids=["reset", "silent", "failed"])
@pytest.mark.parametrize("undo_too", [False, True], ids=["", "undo too"])
def test_cinder_does_what_it_is_asked_in_an_attach_and_the_answer_is_lost(
    cloud: Cloud, flow: str, number: int, lost: errors.LiteError, undo_too: bool
) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    name = ATTACH_REQUESTS[flow][number]
    cloud.twin.faults[name] = [lost]
    cloud.twin.after.add(name)
    if undo_too:
        # And Cinder stays away for a while: what undoes the step cannot be told either.
        for undo in ("DELETE attachments", "GET attachments", "os-unreserve", "os-terminate_connection", "os-detach"):
            cloud.twin.faults[undo] = [errors.Unavailable("down")]
    with contextlib.suppress(errors.LiteError):
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.twin.after.clear()
    for _ in range(3):
        later(cloud, check=False)
    later(cloud)
    cloud.assert_as_before(server, volume)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("lost", LOST, ids=["reset", "silent", "failed"])
def test_cinder_does_what_it_is_asked_in_a_detach_and_the_answer_is_lost(
    cloud: Cloud, flow: str, number: int, lost: errors.LiteError
) -> None:
    if number >= len(DETACH_REQUESTS[flow]):
        return
    server, volume = attached(cloud)
    name = DETACH_REQUESTS[flow][number]
    cloud.twin.faults[name] = [lost]
    cloud.twin.after.add(name)
    with contextlib.suppress(errors.LiteError):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    cloud.twin.after.clear()
    for _ in range(2):
        later(cloud, check=False)
    later(cloud)
    cloud.assert_as_before(server, volume)


def test_nothing_is_taken_back_when_the_bus_and_cinder_go_away_in_a_detach(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.rpc.casts_fail = errors.Unavailable("no bus")
    cloud.twin.faults["os-roll_detaching"] = [errors.Unavailable("down")]
    with pytest.raises(errors.Unavailable):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert cloud.twin.status(volume) == "detaching"
    later(cloud)
    cloud.assert_as_before(server, volume)


def test_what_another_action_left_does_not_take_a_detach_out_of_the_hands_of_nova_api(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    cloud.rpc.queue = []
    with killed_at("begin_detaching", "before"):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    make_old(cloud)
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    recovery.tick(cloud.host)
    recovery.audit(cloud.host, 0)
    recovery.resume(cloud.host)
    assert cloud.twin.status(volume) == "detaching"
    assert cloud.disks(server).live == {volume}
    later(cloud)
    cloud.assert_as_before(server, volume)
    assert open_actions(cloud) == []


def test_a_refused_detach_is_no_action(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    before = len(open_actions(cloud))
    cloud.twin.faults["os-begin_detaching"] = [errors.Invalid("not now")]
    with pytest.raises(errors.Invalid):
        cloud.volumes.detach_volume(cloud.ctx, server, volume)
    assert len(open_actions(cloud)) == before


def test_the_databases_row_cannot_be_released(cloud: Cloud, flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, volume = attached(cloud)
    release = reconcile.attachments.release
    down = [errors.Unavailable("no database")]

    def falter(database: db.Database, uuid: str) -> bool:
        if down:
            raise down.pop()
        return release(database, uuid)

    monkeypatch.setattr(attach.attachments, "release", falter)
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    later(cloud)
    cloud.assert_as_before(server, volume)


def attached(cloud: Cloud) -> tuple[str, str]:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)
    return server, volume


def later(cloud: Cloud, *, check: bool = True) -> None:
    """Half a minute passes, and the timer runs."""
    make_old(cloud)
    for _ in range(2):
        recovery.tick(cloud.host)
    if check:
        assert open_actions(cloud) == []
        assert (cloud.host.unfinished, cloud.host.unsettled) == ({}, {})


def make_old(cloud: Cloud) -> None:
    """Half a minute passes."""
    ago = datetime.timedelta(seconds=max(reconcile.RESERVATION_AGE, left_actions.AGE, recovery.TASK_AGE) + 1)
    with cloud.database.connection() as conn:
        conn.execute(models.block_device_mapping.update().values(created_at=db.utcnow() - ago))
        conn.execute(models.instance_actions.update().values(start_time=db.utcnow() - ago))
        conn.execute(models.instances.update().values(updated_at=db.utcnow() - ago))


def open_actions(cloud: Cloud) -> list[str]:
    table, events = models.instance_actions, models.instance_actions_events
    told = sa.exists().where(events.c.action_id == table.c.id)
    wanted = sa.select(table.c.action).where(table.c.deleted == 0, table.c.message.is_(None), ~told)
    with cloud.database.connection() as conn:
        return [row[0] for row in conn.execute(wanted)]


def test_messages_that_waited_for_the_daemon_are_not_lost(cloud: Cloud, flow: str) -> None:
    server, volume = attached(cloud)
    other = cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.volumes.attach_volume(cloud.ctx, server, other)
    make_old(cloud)
    # It has been down for long, and what it was sent meanwhile is about to come.
    daemon = recovery.Recovery(cloud.host, crew.at_once)
    daemon.run()
    cloud.rpc.deliver()
    daemon.run()
    cloud.assert_attached(server, other)
    cloud.assert_attached(server, volume)
    assert cloud.rpc.errors == []


def test_a_slow_action_is_not_told_an_end_of_its_own(cloud: Cloud) -> None:
    server, volume = attached(cloud)
    cloud.rpc.queue = []
    cloud.volumes.detach_volume(cloud.ctx, server, volume)
    later_begun = left_actions.AGE + 1
    with cloud.database.connection() as conn:
        ago = db.utcnow() - datetime.timedelta(seconds=later_begun)
        conn.execute(models.instance_actions.update().values(start_time=ago))
    with cloud.host.server_locks.hold(server, "a detach that the guest drags out"):
        recovery.tick(cloud.host)
        assert len(open_actions(cloud)) == 1
    assert cloud.twin.status(volume) == "detaching"
    cloud.rpc.deliver()
    recovery.tick(cloud.host)
    assert cloud.host.open_actions.by_number == {}
    table = models.instance_actions_events
    with cloud.database.connection() as conn:
        told = conn.execute(sa.select(sa.func.count()).where(table.c.event == "compute_detach_volume")).scalar()
    assert told == 1
