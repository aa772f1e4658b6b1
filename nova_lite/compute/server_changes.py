"""What nova-api changes about a server without asking its host: names, locks, metadata, tags.

Nothing here touches a guest or a volume. Source of the rules: Nova API reference, "Servers", "Server metadata",
"Server tags".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from lite_common import context, db, errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.compute import action_records, guard
from nova_lite.db import servers, tags
from nova_lite.db.servers import Server

MAX_TAGS = 50
MAX_METADATA = 128
# States in which metadata and tags may be changed.
CHANGEABLE = frozenset((states.ACTIVE, states.PAUSED, states.SUSPENDED, states.STOPPED))
ATTEMPTS = 10


class ServerChanges:
    """What the REST controllers of servers, metadata and tags call. Every method raises ServerNotFound."""

    def __init__(self, database: db.Database) -> None:
        self._database = database

    def update(self, ctx: context.RequestContext, server_id: str, values: Mapping[str, Any]) -> Server:
        """The server with other descriptions: columns of `instances` that only tell something."""
        server = self._server(ctx, server_id)
        if not values:
            return server
        servers.describe(self._database, server_id, values)
        return self._server(ctx, server_id)

    def lock(self, ctx: context.RequestContext, server_id: str, reason: str | None = None) -> None:
        """Let nobody but admins change the server. Its owner cannot lock it twice, so an admin's lock stays his."""
        server = self._server(ctx, server_id)
        owner = server.project_id == ctx.project_id
        if server.locked and owner:
            return
        values = {"locked": True, "locked_by": "owner" if owner else "admin", "locked_reason": reason}
        with action_records.done_here(self._database, ctx, server_id, "lock"):
            servers.describe(self._database, server_id, values)

    def unlock(self, ctx: context.RequestContext, server_id: str, *, override: bool) -> None:
        """Take the lock away. Raises errors.Forbidden where somebody else has locked it, unless `override`."""
        server = self._server(ctx, server_id)
        mine = "owner" if server.project_id == ctx.project_id else "admin"
        if server.locked_by not in (None, mine) and not override:
            raise errors.Forbidden(
                "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed."
            )
        with action_records.done_here(self._database, ctx, server_id, "unlock"):
            servers.describe(self._database, server_id, {"locked": False, "locked_by": None, "locked_reason": None})

    def reset_state(self, ctx: context.RequestContext, server_id: str, state: str) -> None:
        """Say that the server is `active` or in `error` and that nothing is being done to it, whatever is true."""
        self._server(ctx, server_id)
        if not servers.move(self._database, server_id, f"reset_to_{state}"):
            raise nova_errors.ServerNotFound(server=server_id)

    def metadata(self, ctx: context.RequestContext, server_id: str) -> dict[str, str]:
        """What the server's owner has written on it."""
        return self._server(ctx, server_id).instance_metadata

    def change_metadata(
        self,
        ctx: context.RequestContext,
        server_id: str,
        change: Callable[[dict[str, str]], dict[str, str]],
        action: str = "update metadata",
    ) -> dict[str, str]:
        """The metadata after `change`, which may run several times and may raise; others' changes are not lost.

        Raises ServerLocked, ServerInvalidState, TooMuchMetadata.
        """
        for _ in range(ATTEMPTS):
            server = self._server(ctx, server_id)
            changed = change(dict(server.instance_metadata))
            guard.check_unlocked(ctx, server)
            _check_changeable(server, action)
            if server.task_state is not None:
                raise nova_errors.ServerInvalidState(
                    action=action, server=server_id, attribute="task_state", state=server.task_state
                )
            if len(changed) > MAX_METADATA:
                raise nova_errors.TooMuchMetadata(maximum=MAX_METADATA)
            if servers.swap_metadata(self._database, server, changed):
                return changed
        raise errors.Conflict(f"The metadata of instance {server_id} is changed by others all the time. Try again.")

    def tags(self, ctx: context.RequestContext, server_id: str) -> list[str]:
        """The server's tags, in order."""
        self._server(ctx, server_id)
        return tags.of_servers(self._database, [server_id])[server_id]

    def replace_tags(
        self, ctx: context.RequestContext, server_id: str, wanted: Collection[str], action: str = "update tags"
    ) -> None:
        """Let the server have these tags and no others. Raises ServerInvalidState, TooManyTags."""
        _check_changeable(self._server(ctx, server_id), action)
        if len(set(wanted)) > MAX_TAGS:
            raise nova_errors.TooManyTags(maximum=MAX_TAGS)
        tags.replace(self._database, server_id, wanted)

    def add_tag(self, ctx: context.RequestContext, server_id: str, tag: str) -> bool:
        """Give the server the tag; False when it has it. Raises ServerInvalidState, TooManyTags."""
        _check_changeable(self._server(ctx, server_id), "update tag")
        added = tags.add(self._database, server_id, tag, at_most=MAX_TAGS)
        if added is None:
            raise nova_errors.TooManyTags(maximum=MAX_TAGS)
        return added

    def remove_tag(self, ctx: context.RequestContext, server_id: str, tag: str) -> bool:
        """Take the tag from the server; False when it does not have it. Raises ServerInvalidState."""
        _check_changeable(self._server(ctx, server_id), "delete tag")
        return tags.remove(self._database, server_id, tag)

    def _server(self, ctx: context.RequestContext, server_id: str) -> Server:
        return guard.visible(ctx, servers.get(self._database, server_id))


def _check_changeable(server: Server, action: str) -> None:
    if server.vm_state not in CHANGEABLE:
        raise nova_errors.ServerInvalidState(
            action=action, server=server.uuid, attribute="vm_state", state=server.vm_state
        )
