"""All that this service knows of attachments, rows and hosts beside each other, for `nlite doctor`.

The rows are read here, what is really there is asked of the hosts: all at the same time and with a limit. A host that
does not answer is named, and the rest is told without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lite_common import asking, context, db, errors
from nova_lite import errors as nova_errors
from nova_lite.compute import guard
from nova_lite.compute.rpcapi import ComputeRpc
from nova_lite.db import servers, services, sides
from nova_lite.db.services import ServiceRecord
from nova_lite.db.sides import RowSide


@dataclass(frozen=True)
class Seen:
    """Rows with what their hosts see of them, by block device; disks and sessions that no row knows, each with its
    host; and who did not answer: service, host, side and reason."""

    rows: Sequence[RowSide]
    compute: dict[str, dict[str, Any]]
    strays: list[dict[str, Any]] = field(default_factory=list)
    unseen: list[dict[str, str]] = field(default_factory=list)


class SidesApi:
    """`service_down_time`: seconds without a report after which a host counts as down and is not asked."""

    def __init__(self, database: db.Database, rpc: ComputeRpc, *, service_down_time: float) -> None:
        self._database = database
        self._rpc = rpc
        self._down_time = service_down_time

    def look(
        self,
        ctx: context.RequestContext,
        *,
        server_id: str | None = None,
        volume_id: str | None = None,
        marker: str | None = None,
        limit: int | None = None,
        every: bool = False,
    ) -> Seen:
        """A page of the attachments that the caller sees: of the server, of the volume, or (with `every`) of all
        projects. Strays come with the first page; a stray whose project is not known is for admins.

        Raises ServerNotFound for a server that the caller may not see or that never was.
        """
        project: str | None = None if every else ctx.project_id
        if server_id is not None:
            guard.visible(ctx, servers.get(self._database, server_id, deleted=True))
        if server_id is not None or volume_id is not None:
            project = None if ctx.is_admin else ctx.project_id
        rows = sides.page(
            self._database, project_id=project, server_id=server_id, volume_id=volume_id, marker=marker, limit=limit
        )
        known = {one.host: one for one in services.list_all(self._database, binary=services.COMPUTE)}
        asked = {one.host for one in rows if one.host is not None}
        if server_id is not None:
            asked |= {one.host for one in sides.owners(self._database, [server_id]).values() if one.host is not None}
        elif marker is None:
            # A disk or a session that no row knows may be anywhere.
            asked |= {name for name, one in known.items() if one.is_up(self._down_time) or project is None}
        silent = {name: why for name in asked if (why := self._down(known.get(name)))}
        answers, late = asking.ask_all(
            sorted(asked - set(silent)),
            lambda name: self._rpc.inspect_attachments(ctx, name, server_id, volume_id, timeout=asking.LIMIT),
        )
        seen = Seen(rows, {})
        for name, why in sorted((silent | late).items()):
            seen.unseen.append({"service": services.COMPUTE, "host": name, "side": "all", "reason": why})
        for name, told in sorted(answers.items()):
            seen.compute.update(told["attachments"])
            seen.unseen.extend({"service": services.COMPUTE, "host": name, **one} for one in told["unseen"])
            if marker is None:
                seen.strays.extend({"host": name, **one} for one in told["strays"])
        self._keep_visible(ctx, seen, project)
        return seen

    def heal(self, ctx: context.RequestContext, server_id: str | None, volume_id: str) -> dict[str, Any]:
        """Have the hosts make the sides of the attachment agree; what was done and what was left.

        The server's host is asked; for a disk or session of no known server, each that has one. Raises
        ServerNotFound, errors.NotFound when nobody has anything of it, HostDown, and what the bus raises.
        """
        if server_id is not None:
            owner = sides.owners(self._database, [server_id]).get(server_id)
            if owner is not None and owner.host is not None:
                self._require_up(owner.host, server_id)
                return self._rpc.heal_attachment(ctx, owner.host, server_id, volume_id)
        seen = self.look(ctx, volume_id=volume_id, every=True)
        hosts = {one["host"] for one in seen.strays if server_id == one["server_id"]}
        if not hosts:
            raise errors.NotFound(f"No host has anything of volume {volume_id} in server {server_id or '(none)'}.")
        told: dict[str, Any] = {"done": [], "left": []}
        for host in sorted(hosts):
            one = self._rpc.heal_attachment(ctx, host, server_id, volume_id)
            told = {key: [*told[key], *one[key]] for key in told}
        return told

    def _require_up(self, host: str, server_id: str) -> None:
        found = services.list_all(self._database, host=host, binary=services.COMPUTE)
        why = self._down(found[0] if found else None)
        if why:
            raise nova_errors.HostDown(host=host, server=server_id, seen=why)

    def _down(self, service: ServiceRecord | None) -> str:
        if service is None or service.age is None:
            return "has never reported"
        if service.forced_down:
            return "is forced down"
        if service.is_up(self._down_time):
            return ""
        return f"is down: last reported {service.age:.0f} s ago"

    def _keep_visible(self, ctx: context.RequestContext, seen: Seen, project: str | None) -> None:
        """Strays that the caller may see, each with the project of its server as far as there ever was one."""
        named = {one["server_id"] for one in seen.strays if one["server_id"] is not None}
        owners = sides.owners(self._database, named)
        for one in seen.strays:
            owner = owners.get(one["server_id"])
            one["project_id"] = owner.project_id if owner is not None else None
        if project is not None:
            seen.strays[:] = [one for one in seen.strays if one["project_id"] == project]
