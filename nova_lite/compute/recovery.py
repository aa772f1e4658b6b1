"""Finish what a nova-compute left half done: once when it starts, and on a timer.

What was wanted is in the database; the messages that said so may be lost with the process that took them. What is in
hand in this process is known by its locks and never touched, so a row need not be old to be taken up.
"""

from __future__ import annotations

import datetime
import functools
import logging
import math
import threading
import time
from collections.abc import Callable

from lite_common import context, crew, db, errors
from nova_lite import states
from nova_lite.compute import attach, left_actions, reconcile, servers
from nova_lite.compute.action_events import recorded
from nova_lite.compute.host import ComputeHost
from nova_lite.db import actions, attachments
from nova_lite.db import servers as rows
from nova_lite.db.attachments import BlockDevice
from nova_lite.db.servers import Server
from nova_lite.virt.driver import PowerState

LOG = logging.getLogger(__name__)

# A task of a server that nobody works on and that is older than this (seconds) has lost its message.
TASK_AGE = 20.0
_STOPPED = (PowerState.SHUTDOWN, PowerState.CRASHED)

# So many attachments are compared with Cinder on each turn, one after the other: an administrator may have reset one.
AUDITED = 3

# Does a job under its name: at once, or soon, on another thread.
Do = Callable[[str, crew.Job], bool]

_TASKS = (
    states.SCHEDULING,
    states.SPAWNING,
    states.POWERING_ON,
    states.POWERING_OFF,
    states.REBOOTING,
    states.REBOOTING_HARD,
    states.PAUSING,
    states.UNPAUSING,
    states.DELETING,
)


class Recovery:
    """The work of one daemon's timer: `resume` until it has been possible once, then `tick` each time."""

    def __init__(self, host: ComputeHost, do: Do) -> None:
        self._host = host
        self._do = do
        self._turn = threading.Lock()
        self._begun: float | None = None
        self._resumed = False
        self._audited = 0

    def run(self) -> None:
        """One turn; none while another one is on. Raises errors.Unavailable while the database is down."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            if self._begun is None:
                self._begun = time.monotonic()
            if not self._resumed:
                resume(self._host, self._do)
                self._resumed = True
            tick(self._host, self._do, for_seconds=time.monotonic() - self._begun)
            self._audited = audit(self._host, self._audited, self._do)
        finally:
            self._turn.release()


def resume(host: ComputeHost, do: Do = crew.at_once) -> None:
    """Go on with every server that this host was working on when it stopped, and remove guests of deleted servers."""
    for server in rows.on_host(host.database, host.name, tasks=_TASKS):
        do(f"task of instance {server.uuid}", functools.partial(_resume_one, host, server))
    for server in rows.deleted_among(host.database, host.virt.list_servers()):
        LOG.warning("instance %s was deleted while this host was down; its guest is removed", server.uuid)
        do(f"removal of instance {server.uuid}", functools.partial(_remove_stray, host, server))
    for device in attachments.on_host(host.database, host.name):
        if device.connection_info is not None:
            host.unsettled[device.uuid] = device
    _settle_all(host, do)


def tick(host: ComputeHost, do: Do = crew.at_once, for_seconds: float = math.inf) -> None:
    """Finish what was left meanwhile: attaches, detaches, deletes and other tasks whose message or end was lost.

    `for_seconds` is how long this daemon has been listening: what waits in its queue since before that is not lost.
    """
    for device in list(host.unfinished.values()):
        if not host.server_locks.held(device.instance_uuid):
            do(f"end of volume {device.volume_id}", functools.partial(reconcile.finish, host, _context(), device))
    _settle_all(host, do)
    for device in reconcile.abandoned(host) if for_seconds > reconcile.RESERVATION_AGE else ():
        if not host.server_locks.held(device.instance_uuid):
            do(
                f"giving up of volume {device.volume_id}",
                functools.partial(reconcile.abandon, host, _context(), device),
            )
    old = db.utcnow() - datetime.timedelta(seconds=TASK_AGE)
    for server in rows.on_host(host.database, host.name, tasks=_TASKS, idle_since=old):
        if not host.server_locks.held(server.uuid):
            do(f"task of instance {server.uuid}", functools.partial(_resume_one, host, server))
    for left in left_actions.found(host) if for_seconds > left_actions.AGE else ():
        do(f"end of action {left.id}", functools.partial(left_actions.end, host, left))


def audit(host: ComputeHost, after: int, do: Do = crew.at_once) -> int:
    """Compare the next few attachments of this host, after the row of that number; the number to go on after."""
    found = attachments.connected_after(host.database, host.name, after, AUDITED)
    for device in found:
        if not host.server_locks.held(device.instance_uuid):
            do(f"settling of volume {device.volume_id}", functools.partial(_settle_one, host, device))
    return found[-1].id if len(found) == AUDITED else 0


def note_stopped(host: ComputeHost, do: Do = crew.at_once) -> None:
    """Note guests that shut down by themselves, which costs a question to the hypervisor for each that runs."""
    for server in rows.on_host(host.database, host.name, tasks=(None,)):
        if server.vm_state not in (states.ACTIVE, states.PAUSED) or host.server_locks.held(server.uuid):
            continue
        if host.virt.power_state(server.uuid) in _STOPPED:
            do(f"end of instance {server.uuid}", functools.partial(_note_stopped, host, server))


def _settle_all(host: ComputeHost, do: Do) -> None:
    for device in list(host.unsettled.values()):
        if not host.server_locks.held(device.instance_uuid):
            do(f"settling of volume {device.volume_id}", functools.partial(_settle_one, host, device))


def _settle_one(host: ComputeHost, device: BlockDevice) -> None:
    reconcile.settle(host, _context(), device)


def _resume_one(host: ComputeHost, server: Server) -> None:
    LOG.info("instance %s was left in task %s", server.uuid, server.task_state)
    ctx = _context(actions.last_request(host.database, server.uuid))
    match server.task_state:
        case states.SCHEDULING:
            servers.build_server(host, ctx, server.uuid)
        case states.SPAWNING:
            _fail_build(host, ctx, server.uuid)
        case states.POWERING_ON:
            servers.start_server(host, ctx, server.uuid)
        case states.POWERING_OFF:
            servers.stop_server(host, ctx, server.uuid)
        case states.REBOOTING | states.REBOOTING_HARD:
            servers.reboot_server(host, ctx, server.uuid, hard=True)
        case states.PAUSING:
            servers.pause_server(host, ctx, server.uuid)
        case states.UNPAUSING:
            servers.unpause_server(host, ctx, server.uuid)
        case states.DELETING:
            servers.terminate_server(host, ctx, server.uuid)


@recorded("compute__do_build_and_run_instance")
def _fail_build(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    with host.working_on(server_id, "clean-up of an interrupted build"):
        if rows.move(host.database, server_id, "build_failed"):
            host.virt.destroy(server_id)
            raise errors.BackendError(
                f"nova-compute on {host.name} was stopped while it built this server. Delete it and create it again."
            )


def _remove_stray(host: ComputeHost, server: Server) -> None:
    with host.working_on(server.uuid, "removal of a deleted server's guest"):
        host.virt.destroy(server.uuid)
        wanted = {device.volume_id for device in attachments.on_host(host.database, host.name)}
        for device in attachments.last_of_deleted(host.database, server.uuid):
            # Its volume may be in another guest here by now.
            if device.volume_id not in wanted:
                host.quietly(attach.disconnect_volume, host, device, device.connection_info or {}, True)


def _note_stopped(host: ComputeHost, server: Server) -> None:
    with host.working_on(server.uuid, "note that the guest has stopped"):
        found = host.virt.power_state(server.uuid)
        if found in _STOPPED and rows.move(host.database, server.uuid, "found_stopped", power_state=int(found)):
            LOG.info("the guest of instance %s has stopped by itself", server.uuid)
            servers.disconnect_all(host, server.uuid)


def _context(request_id: str | None = None) -> context.RequestContext:
    """An admin's context; that of the request which began the work, where it is known: the log tells one story."""
    return context.admin_context(request_id=request_id)
