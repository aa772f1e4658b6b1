"""Checks that nova-api makes before it begins anything, in Nova's words (Nova API guide, "Faults")."""

from __future__ import annotations

from lite_common import context
from nova_lite import errors, states
from nova_lite.db.servers import Server
from nova_lite.db.services import ServiceRecord


def visible(ctx: context.RequestContext, server: Server) -> Server:
    """The server, if the caller may see it; else ServerNotFound, so that nobody learns what others have."""
    if not ctx.owns(server.project_id):
        raise errors.ServerNotFound(server=server.uuid)
    return server


def check_unlocked(ctx: context.RequestContext, server: Server) -> None:
    """Raises ServerLocked for a locked server, unless the caller is an admin."""
    if server.locked and not ctx.is_admin:
        raise errors.ServerLocked(server=server.uuid)


def check_move(server: Server, move: str, action: str) -> None:
    """Raises ServerInvalidState when the server's states do not allow the named move."""
    refused = states.refusal(states.MOVES[move], server.state_columns)
    if refused is not None:
        attribute, state = refused
        raise errors.ServerInvalidState(action=action, server=server.uuid, attribute=attribute, state=state)


def check_not_shelved(server: Server, action: str) -> None:
    """Raises ServerInvalidState for a shelved server; clients from before microversion 2.20 expect that."""
    if server.vm_state in (states.SHELVED, states.SHELVED_OFFLOADED):
        raise errors.ServerInvalidState(action=action, server=server.uuid, attribute="vm_state", state=server.vm_state)


def check_volume_state(server: Server, action: str) -> None:
    """Raises ServerInvalidState or ServerNeverLaunched when nothing may be plugged into or pulled out of the server."""
    if server.vm_state not in states.VOLUME_STATES:
        raise errors.ServerInvalidState(action=action, server=server.uuid, attribute="vm_state", state=server.vm_state)
    if server.task_state is not None:
        raise errors.ServerInvalidState(
            action=action, server=server.uuid, attribute="task_state", state=server.task_state
        )
    if server.launched_at is None:
        raise errors.ServerNeverLaunched(action=action, server=server.uuid)


def live_host(server: Server, service: ServiceRecord | None, down_time: float) -> str:
    """The host that has the server. Raises HostDown when its nova-compute does not report."""
    if server.host is not None and service is not None and service.is_up(down_time):
        return server.host
    if service is None or service.age is None:
        seen = "has never reported"
    elif service.forced_down:
        seen = "is forced down"
    else:
        seen = f"last reported {service.age:.0f} s ago"
    raise errors.HostDown(host=server.host, server=server.uuid, seen=seen)
