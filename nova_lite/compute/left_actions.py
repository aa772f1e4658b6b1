"""Instance actions that no daemon has told the end of: what they began is brought to its end, and then told.

An action is written before its work is handed over, so one that stays without an event is where a message, or the
daemon that took it, was lost. It is the only trace that nova keeps of a detach before nova-compute has it.
"""

from __future__ import annotations

import datetime
import logging

from lite_common import context, db
from nova_lite import errors, states
from nova_lite.compute import reconcile
from nova_lite.compute.host import ComputeHost
from nova_lite.db import actions, attachments
from nova_lite.db import servers as rows
from nova_lite.db.actions import Action
from nova_lite.db.servers import Server

LOG = logging.getLogger(__name__)

# An action that nobody works on and that is older than this (seconds) has lost its message, or its end was not told.
AGE = 20.0
# At the start no more than so many actions are looked through, from the last one back.
LOOK_BACK = 5000

ATTACH, DETACH = "attach_volume", "detach_volume"
_EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "stop": "compute_stop_instance",
    "start": "compute_start_instance",
    "reboot": "compute_reboot_instance",
    "pause": "compute_pause_instance",
    "unpause": "compute_unpause_instance",
}
# What a server is when the action has been done; an end that was not told is read off that.
_RESULTS = {
    "create": states.ACTIVE,
    "delete": states.DELETED,
    "stop": states.STOPPED,
    "start": states.ACTIVE,
    "reboot": states.ACTIVE,
    "pause": states.PAUSED,
    "unpause": states.ACTIVE,
}


def found(host: ComputeHost) -> list[Action]:
    """The actions on servers of this host whose end should have been told by now. One statement.

    Each action is read once: those that are open are remembered until they have an end.
    """
    limit = db.utcnow() - datetime.timedelta(seconds=AGE)
    known = host.open_actions
    if known.seen is None:
        known.seen = max(0, actions.last_number(host.database) - LOOK_BACK)
    for one in actions.unended(host.database, known.seen, limit):
        known.seen = one.action.id
        if one.host == host.name and not one.ended:
            known.by_number[one.action.id] = one.action
    return [one for one in list(known.by_number.values()) if not host.server_locks.held(one.instance_uuid)]


def end(host: ComputeHost, action: Action) -> None:
    """Settle what the action was about and tell its end, or leave that to the next look.

    Raises what settling raises.
    """
    if not actions.is_open(host.database, action.id):
        # The daemon that had it was merely slow.
        host.open_actions.by_number.pop(action.id, None)
        return
    server = rows.get(host.database, action.instance_uuid, deleted=True)
    ctx = context.admin_context(request_id=action.request_id)
    if action.action in (ATTACH, DETACH) and not server.deleted:
        outcome = _settle_volumes(host, ctx, server)
        if outcome is None:
            return
        good = reconcile.Settled.FINISHED if action.action == ATTACH else reconcile.Settled.ENDED
        done = good in outcome
    elif server.task_state is not None and not server.deleted:
        # `recovery` goes on with the task, which tells the end.
        return
    else:
        done = server.vm_state == _RESULTS.get(action.action)
    _tell(host, ctx, action, done)
    host.open_actions.by_number.pop(action.id, None)


def _settle_volumes(host: ComputeHost, ctx: context.RequestContext, server: Server) -> set[reconcile.Settled] | None:
    """What became of the server's volumes; None while one of them is still on its way."""
    settled = set()
    for device in attachments.of_server(host.database, server.uuid):
        if device.connection_info is not None:
            settled.add(reconcile.settle(host, ctx, device))
    left = attachments.of_server(host.database, server.uuid)
    unfinished = any(one.connection_info is None or one.uuid in host.unfinished for one in left)
    return None if unfinished or reconcile.Settled.WAITING in settled else settled


def _tell(host: ComputeHost, ctx: context.RequestContext, action: Action, done: bool) -> None:
    why = None if done else str(errors.InterruptedAction(action=action.action, server=action.instance_uuid).message)
    LOG.warning("action %s of instance %s: its end was not told", action.action, action.instance_uuid)
    event = actions.Event(
        event=_EVENTS.get(action.action, f"compute_{action.action}"),
        start_time=action.start_time,
        finish_time=db.utcnow(),
        result=actions.SUCCESS if done else actions.ERROR,
        host=host.name,
        details=why,
        traceback=None,
    )
    actions.add_event(host.database, ctx, action.instance_uuid, event)
