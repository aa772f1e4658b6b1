"""What was done to a server, for those who may see it. Source: Nova API reference, "Servers actions"."""

from __future__ import annotations

from collections.abc import Sequence

from lite_common import context, db, errors
from nova_lite.compute import guard
from nova_lite.db import actions, servers


class ServerHistory:
    """What the REST controller of os-instance-actions calls; `deleted_too` shows servers that are gone as well."""

    def __init__(self, database: db.Database) -> None:
        self._database = database

    def list_actions(
        self, ctx: context.RequestContext, server_id: str, filters: actions.ActionFilters, *, deleted_too: bool
    ) -> list[actions.Action]:
        """A page of the server's actions, the last first. Raises ServerNotFound, errors.Invalid for the marker."""
        guard.visible(ctx, servers.get(self._database, server_id, deleted=deleted_too))
        found = actions.list_page(self._database, server_id, filters)
        if found is None:
            raise errors.Invalid(f"marker [{filters.marker}] not found")
        return found

    def get_action(
        self, ctx: context.RequestContext, server_id: str, request_id: str, *, deleted_too: bool
    ) -> tuple[actions.Action, Sequence[actions.Event]]:
        """One action with its events. Raises ServerNotFound, errors.NotFound."""
        guard.visible(ctx, servers.get(self._database, server_id, deleted=deleted_too))
        found = actions.get(self._database, server_id, request_id)
        if found is None:
            raise errors.NotFound(f"Action {request_id} not found")
        return found
