"""Finish what a nova-compute left half done: once when it starts, and on a timer.

What was wanted is in the database; the messages that said so may be lost with the process that took them.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable

from lite_common import context, db, errors
from nova_lite import states
from nova_lite.compute import attach, reconcile, servers
from nova_lite.compute.action_events import recorded
from nova_lite.compute.host import ComputeHost
from nova_lite.db import actions, attachments
from nova_lite.db import servers as rows
from nova_lite.db.servers import Server
from nova_lite.virt.driver import PowerState

LOG = logging.getLogger(__name__)

# A delete that is older than this (seconds) has lost its message, or was left by one that failed.
DELETE_AGE = 30.0
_STOPPED = (PowerState.SHUTDOWN, PowerState.CRASHED)


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


def resume(host: ComputeHost) -> None:
    """Go on with every server that this host was working on when it stopped, and remove guests of deleted servers."""
    for server in rows.on_host(host.database, host.name, tasks=_TASKS):
        _alone(server.uuid, functools.partial(_resume_one, host, server))
    _remove_strays(host)
    for device in attachments.on_host(host.database, host.name):
        if device.connection_info is not None:
            _alone(device.instance_uuid, functools.partial(reconcile.settle, host, _context(), device))


def tick(host: ComputeHost) -> None:
    """Finish deletes, attaches and detaches that were left, and note guests that shut down by themselves."""
    for device in list(host.unfinished.values()):
        _alone(device.instance_uuid, functools.partial(reconcile.finish, host, _context(), device))
    for device in reconcile.abandoned(host):
        _alone(device.instance_uuid, functools.partial(reconcile.abandon, host, _context(), device))
    old = db.utcnow() - datetime.timedelta(seconds=DELETE_AGE)
    for server in rows.on_host(host.database, host.name, tasks=(states.DELETING,), idle_since=old):
        LOG.info("going on with the delete of instance %s", server.uuid)
        ctx = _context(actions.last_request(host.database, server.uuid))
        _alone(server.uuid, functools.partial(servers.terminate_server, host, ctx, server.uuid))
    for server in rows.on_host(host.database, host.name, tasks=(None,)):
        if server.vm_state in (states.ACTIVE, states.PAUSED):
            _alone(server.uuid, functools.partial(_note_stopped, host, server))


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


def _remove_strays(host: ComputeHost) -> None:
    """Guests here whose servers were deleted while this host was down: remove them and let their volumes go."""
    for server in rows.deleted_among(host.database, host.virt.list_servers()):
        LOG.warning("instance %s was deleted while this host was down; its guest is removed", server.uuid)
        _alone(server.uuid, functools.partial(_remove_stray, host, server))


def _remove_stray(host: ComputeHost, server: Server) -> None:
    with host.working_on(server.uuid, "removal of a deleted server's guest"):
        host.virt.destroy(server.uuid)
        wanted = {device.volume_id for device in attachments.on_host(host.database, host.name)}
        for device in attachments.last_of_deleted(host.database, server.uuid):
            # Its volume may be in another guest here by now.
            if device.volume_id not in wanted:
                host.quietly(attach.disconnect_volume, host, device, device.connection_info or {}, True)


def _note_stopped(host: ComputeHost, server: Server) -> None:
    if host.virt.power_state(server.uuid) not in _STOPPED:
        return
    with host.working_on(server.uuid, "note that the guest has stopped"):
        found = host.virt.power_state(server.uuid)
        if found in _STOPPED and rows.move(host.database, server.uuid, "found_stopped", power_state=int(found)):
            LOG.info("the guest of instance %s has stopped by itself", server.uuid)
            servers.disconnect_all(host, server.uuid)


def _alone(server_id: str, work: Callable[[], None]) -> None:
    """Do it; a failure is that server's alone and must not keep the others waiting."""
    try:
        work()
    except errors.LiteError as err:
        LOG.error("instance %s: %s", server_id, err.message)


def _context(request_id: str | None = None) -> context.RequestContext:
    """An admin's context; that of the request which began the work, where it is known: the log tells one story."""
    return context.admin_context(request_id=request_id)
