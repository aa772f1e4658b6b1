"""All that this service knows of volumes and their attachments, rows and exports beside each other, for `nlite doctor`.

The rows are read here, what is really there is asked of the daemons: all at the same time and with a limit. A daemon
that does not answer is named, and the rest is told without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cinder_lite import errors
from cinder_lite.db import services, sides
from cinder_lite.db.sides import VolumeSide
from cinder_lite.volume import api
from cinder_lite.volume.attachments import require_host
from lite_common import asking, context, db

BINARY = "cinder-volume"


class VolumeDaemon(Protocol):
    """The part of the volume daemon's RPC client that is used here."""

    def inspect_exports(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_ids: list[str] | None,
        *,
        strays: bool = False,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """What there is of the exports."""

    def heal_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> dict[str, Any]:
        """Make the volume's sides agree."""


@dataclass(frozen=True)
class Seen:
    """Volumes with what was found of their exports, by id; exports of no volume, as (backend, volume id); and who did
    not answer: service, host, side and reason."""

    volumes: Sequence[VolumeSide]
    exports: dict[str, dict[str, Any]]
    strays: list[tuple[str, str]] = field(default_factory=list)
    unseen: list[dict[str, str]] = field(default_factory=list)


class SidesApi:
    """`down_after`: seconds without a heartbeat after which a backend counts as down and is not asked."""

    def __init__(self, database: db.Database, daemon: VolumeDaemon, down_after: float) -> None:
        self._db = database
        self._daemon = daemon
        self._down_after = down_after

    def look(
        self, ctx: context.RequestContext, *, volume_id: str | None, marker: str | None, limit: int, every: bool
    ) -> Seen:
        """A page of the volumes that the caller sees, or the one. With `every` those of all projects, and with the
        first page of them the exports that belong to no volume.

        Raises errors.VolumeNotFound for one that is not there.
        """
        project = None if every else str(ctx.project_id)
        if volume_id is not None:
            project = api.visible_project(ctx)
        with self._db.connection() as conn:
            found = sides.page(conn, project, volume_id=volume_id, marker=marker, limit=limit)
            backends = {one.host: one for one in services.listed(conn, binary=BINARY)}
        if volume_id is not None and not found:
            raise errors.VolumeNotFound(volume_id=volume_id)
        strays = every and volume_id is None and marker is None
        asked: dict[str, list[str]] = defaultdict(list)
        for one in found:
            if one.host is not None:
                asked[one.host.partition("#")[0]].append(one.id)
        for name in backends if strays else ():
            asked[name] = asked.get(name, [])
        return self._ask(ctx, found, asked, backends, strays)

    def heal(self, ctx: context.RequestContext, volume_id: str) -> dict[str, Any]:
        """Have the volume's daemon make its sides agree. Raises errors.VolumeNotFound for an id that never was one,
        errors.InvalidVolume for a volume without a backend, and what the bus raises."""
        with self._db.connection() as conn:
            host = sides.host_of(conn, volume_id)
            living = bool(sides.existing(conn, [volume_id]))
        if host is None and not living:
            raise errors.VolumeNotFound(volume_id=volume_id)
        return self._daemon.heal_volume(ctx, require_host(volume_id, host, "not on a backend"), volume_id)

    def _ask(
        self,
        ctx: context.RequestContext,
        found: Sequence[VolumeSide],
        asked: dict[str, list[str]],
        backends: dict[str, services.Service],
        strays: bool,
    ) -> Seen:
        silent = {name: why for name in asked if (why := self._down(backends.get(name)))}
        answers, late = asking.ask_all(
            [name for name in asked if name not in silent],
            lambda name: self._daemon.inspect_exports(ctx, name, asked[name], strays=strays, timeout=asking.LIMIT),
        )
        seen = Seen(found, {})
        for name, why in sorted((silent | late).items()):
            seen.unseen.append({"service": BINARY, "host": name, "side": "all", "reason": why})
        for name, told in sorted(answers.items()):
            seen.exports.update(told["exports"])
            seen.strays.extend((name, one) for one in told["strays"])
            seen.unseen.extend({"service": BINARY, "host": name, **one} for one in told["unseen"])
        return seen

    def _down(self, service: services.Service | None) -> str:
        if service is None:
            return "no such backend has ever reported"
        if service.is_up(self._down_after):
            return ""
        return f"it is down: last heard of at {service.updated_at or service.created_at}"
