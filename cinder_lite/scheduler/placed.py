"""Work on volumes that have a backend: may it go on there? Nothing is chosen, and nothing is moved to another one.

When the backend cannot take it, what was begun goes back (a volume) or to `error` (a snapshot).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cinder_lite import errors, states
from cinder_lite.db import changes, snapshots, types, volumes
from cinder_lite.scheduler import filters
from cinder_lite.scheduler.core import Scheduler
from cinder_lite.volume import messages
from lite_common import context, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


@trace.operation("extend", "extended", about="volume", last=False, volume="volume_id")
def extend_volume(scheduler: Scheduler, ctx: context.RequestContext, volume_id: str) -> None:
    """Hand a volume in state `extending` to its backend, or back, with errors.NoValidBackend, when that has no room."""
    with trace.step("schedule_extend_volume", volume=volume_id):
        with scheduler.database.connection() as conn:
            volume = volumes.get(conn, volume_id)
            new_size = changes.pending(conn, volume_id).new_size
            of_type = types.get(conn, volume.volume_type_id)
        if volume.status != states.EXTENDING or new_size is None:
            return
        request = filters.Request(size=new_size - volume.size, extra_specs=of_type.extra_specs)
        try:
            _require(scheduler, volume.host, request)
        except errors.NoValidBackend:
            changes.finish(scheduler.database, "extend_refused", volume_id)
            scheduler.messages.tell(ctx, volume_id, messages.EXTEND_VOLUME, messages.NO_BACKEND_AVAILABLE)
            raise
        scheduler.states.consume(str(volume.host), f"growth of {volume_id}", request.size)
        _tell(lambda: scheduler.volume.extend_volume(ctx, str(volume.host), volume_id), f"volume {volume_id}")


@trace.operation("create", "available", about="snapshot", last=False, snapshot="snapshot_id")
def create_snapshot(scheduler: Scheduler, ctx: context.RequestContext, snapshot_id: str) -> None:
    """Hand a snapshot in state `creating` to its volume's backend, or move it to `error`, with errors.NoValidBackend,
    when that has no room."""
    with trace.step("schedule_create_snapshot", snapshot=snapshot_id):
        with scheduler.database.connection() as conn:
            snapshot = snapshots.get(conn, snapshot_id)
            of_type = types.get(conn, snapshot.volume_type_id)
        if snapshot.status != states.CREATING:
            return
        request = filters.Request(size=snapshot.volume_size, extra_specs=of_type.extra_specs)
        try:
            _require(scheduler, snapshot.host, request)
        except errors.NoValidBackend:
            with scheduler.database.connection() as conn:
                snapshots.move(conn, "create_failed", snapshot_id)
            raise
        scheduler.states.consume(str(snapshot.host), snapshot_id, request.size)
        _tell(lambda: scheduler.volume.create_snapshot(ctx, str(snapshot.host), snapshot_id), f"snapshot {snapshot_id}")


@trace.operation("retype", "retyped", about="volume", last=False, volume="volume_id")
def retype(scheduler: Scheduler, ctx: context.RequestContext, volume_id: str, migration_policy: str) -> None:
    """Hand a volume in state `retyping` to its backend, or back, with errors.NoValidBackend, when that does not offer
    what the new type demands.

    Another backend that does is not looked for: `migration_policy` on-demand would move the volume there in Cinder.
    """
    with trace.step("schedule_retype", volume=volume_id):
        with scheduler.database.connection() as conn:
            volume = volumes.get(conn, volume_id)
            new_type_id = changes.pending(conn, volume_id).new_type_id
            new = types.find(conn, new_type_id) if new_type_id else None
        if volume.status != states.RETYPING or new_type_id is None:
            return
        try:
            if new is None:
                raise errors.NoValidBackend(reason=f"Volume type {new_type_id} was deleted.")
            _require(scheduler, volume.host, filters.Request(0, new.extra_specs, new.zones))
        except errors.NoValidBackend as err:
            changes.finish(scheduler.database, "retype_refused", volume_id)
            why = "migration not allowed" if migration_policy == "never" else "migration is not served"
            name = new.name if new else new_type_id
            raise errors.NoValidBackend(
                reason=f"Current host not valid for volume {volume_id} with type {name}, {why}: {err.message}"
            ) from err
        _tell(lambda: scheduler.volume.retype(ctx, str(volume.host), volume_id), f"volume {volume_id}")


def _require(scheduler: Scheduler, host: str | None, request: filters.Request) -> None:
    """Return when the pool `host` can take it. Raises errors.NoValidBackend that says why not."""
    pool = next((one for one in scheduler.states.pools(scheduler.members()) if one.name == host), None)
    if pool is None:
        raise errors.NoValidBackend(reason=f"{host} is disabled, not alive or has not reported.")
    reason = next((found for one in scheduler.options.filters if (found := one(pool, request))), None)
    if reason is not None:
        raise errors.NoValidBackend(reason=f"{pool.name} {reason}.")


def _tell(cast: Callable[[], None], what: str) -> None:
    try:
        cast()
    except common_errors.Unavailable as err:
        # The row says what is to be done, and the backend's daemon looks for such rows by itself.
        LOG.warning("%s waits for the bus: %s", what, err.message)
