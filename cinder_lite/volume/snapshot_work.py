"""Make and delete snapshots: bytes, row, usage, in this order, so that a daemon killed anywhere just does it again.

Order of locks: the volume's, then the snapshot's.
"""

from __future__ import annotations

import logging

from cinder_lite import errors, states
from cinder_lite.db import snapshots
from cinder_lite.volume import messages
from cinder_lite.volume.backend import Backend, snapshot_name, volume_name
from lite_common import context, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


@trace.operation("create", "available", about="snapshot", snapshot="snapshot_id")
def create_snapshot(backend: Backend, ctx: context.RequestContext, snapshot_id: str) -> None:
    """Make a snapshot in state `creating`; one that is gone, or in another state, is left alone.

    A part that it needs is down: it stays `creating` and is tried again by `recovery`. Any other failure: `error`.
    """
    volume_id = _volume_of(backend, snapshot_id)
    if volume_id is None:
        return
    with (
        backend.work_on(ctx, volume_id, "create_snapshot"),
        backend.locks.hold(snapshot_id, "create_snapshot"),
        trace.step("create_snapshot", volume=volume_id, snapshot=snapshot_id),
    ):
        if not _is(backend, snapshot_id, states.CREATING):
            return
        try:
            backend.driver.create_snapshot(snapshot_name(snapshot_id), volume_name(volume_id))
        except common_errors.Unavailable:
            raise
        except common_errors.LiteError:
            _move(backend, "create_failed", snapshot_id)
            _tell(backend, ctx, volume_id, snapshot_id, messages.SNAPSHOT_CREATE, messages.SNAPSHOT_CREATE_ERROR)
            raise
        # Where that fails it was told to go meanwhile (os-force_delete), and the deletion waits for the lock.
        _move(backend, "created", snapshot_id)


@trace.operation("delete", "deleted", about="snapshot", snapshot="snapshot_id")
def delete_snapshot(backend: Backend, ctx: context.RequestContext, snapshot_id: str) -> None:
    """Delete a snapshot in state `deleting`; one that is gone, or in another state, is left alone.

    In use: back to `available`, errors.VolumeIsBusy. A part that it needs is down: stays `deleting` and is tried
    again by `recovery`. Any other failure: `error_deleting`.
    """
    with backend.work_on(ctx, snapshot_id, "delete_snapshot"), trace.step("delete_snapshot", snapshot=snapshot_id):
        if not _is(backend, snapshot_id, states.DELETING):
            return
        try:
            backend.driver.delete_snapshot(snapshot_name(snapshot_id))
        except errors.VolumeIsBusy:
            _move(backend, "delete_refused", snapshot_id)
            volume_id = _volume_of(backend, snapshot_id) or ""
            _tell(backend, ctx, volume_id, snapshot_id, messages.SNAPSHOT_DELETE, messages.SNAPSHOT_IS_BUSY)
            raise
        except common_errors.Unavailable:
            raise
        except common_errors.LiteError:
            _move(backend, "delete_failed", snapshot_id)
            volume_id = _volume_of(backend, snapshot_id) or ""
            _tell(backend, ctx, volume_id, snapshot_id, messages.SNAPSHOT_DELETE, messages.SNAPSHOT_DELETE_ERROR)
            raise
        snapshots.destroy(backend.database, snapshot_id)


def delete_all(backend: Backend, volume_id: str) -> None:
    """Delete the snapshots that go with their volume. The caller holds the volume's lock and settles, with
    `settle_all`, what becomes of the rest when one fails with the driver's error."""
    with backend.database.connection() as conn:
        found = snapshots.of_volume(conn, volume_id)
    for snapshot in found:
        with backend.locks.hold(snapshot.id, "delete_snapshot"), trace.step("delete_snapshot", snapshot=snapshot.id):
            if _is(backend, snapshot.id, states.DELETING):
                backend.driver.delete_snapshot(snapshot_name(snapshot.id))
                snapshots.destroy(backend.database, snapshot.id)


def settle_all(backend: Backend, volume_id: str, move: str) -> None:
    """Make the move that ended their volume's deletion for the snapshots that are left, too."""
    with backend.database.connection() as conn:
        for snapshot in snapshots.of_volume(conn, volume_id):
            snapshots.move(conn, move, snapshot.id)


def _tell(
    backend: Backend,
    ctx: context.RequestContext,
    volume_id: str,
    snapshot_id: str,
    action: messages.Code,
    detail: messages.Code,
) -> None:
    backend.messages.tell(ctx, volume_id, action, detail, resource_type=messages.SNAPSHOT, resource_uuid=snapshot_id)


def _volume_of(backend: Backend, snapshot_id: str) -> str | None:
    with backend.database.connection() as conn:
        try:
            return snapshots.get(conn, snapshot_id).volume_id
        except errors.SnapshotNotFound:
            return None


def _is(backend: Backend, snapshot_id: str, status: str) -> bool:
    """Whether the row still says that; a message may come twice, or late."""
    with backend.database.connection() as conn:
        try:
            found = snapshots.get(conn, snapshot_id)
        except errors.SnapshotNotFound:
            return False
    if found.status != status:
        LOG.warning("snapshot %s is %s, not %s; it is left alone", snapshot_id, found.status, status)
    return found.status == status


def _move(backend: Backend, name: str, snapshot_id: str) -> None:
    with backend.database.connection() as conn:
        snapshots.move(conn, name, snapshot_id)
