"""Delete a volume: export, bytes, row, usage, in this order, so that a daemon killed anywhere just does it again."""

from __future__ import annotations

import logging
import time

from cinder_lite import errors, states
from cinder_lite.db import exports as rows
from cinder_lite.db import volumes
from cinder_lite.volume import exports, snapshot_work
from cinder_lite.volume.backend import Backend, volume_name
from lite_common import context, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)

# Seconds for which a deletion is tried again while a program of this host has the device open.
BUSY_LIMIT = 600.0


@trace.operation("delete", "deleted", about="volume", volume="volume_id")
def delete_volume(backend: Backend, ctx: context.RequestContext, volume_id: str) -> None:
    """Delete a volume in state `deleting`; one that is gone, or in another state, is left alone.

    In use: back to `available`, errors.VolumeIsBusy; where only a program of this host has the device open (a scan,
    a backup), that is after it was tried again for BUSY_LIMIT seconds. A part that it needs is down, or the bytes are
    wiped and cannot be let go yet: stays `deleting` and is tried again by `recovery`. Any other failure:
    `error_deleting`. The project's usage sinks in the row's own transaction. Snapshots in state `deleting` go first.
    """
    with backend.work_on(ctx, volume_id, "delete_volume"):
        with trace.step("delete_volume", volume=volume_id):
            try:
                with backend.database.connection() as conn:
                    found = rows.find(conn, volume_id)
            except errors.VolumeNotFound:
                return
            if found.volume.status != states.DELETING:
                LOG.warning("volume %s is %s, not deleting; it is left alone", volume_id, found.volume.status)
                return
            _delete(backend, found)


def _delete(backend: Backend, found: rows.Exported) -> None:
    volume = found.volume
    name = volume_name(volume.id)
    try:
        if volume.attach_status == states.ATTACHED:
            raise errors.VolumeIsBusy(volume_id=volume.id, reason="it is attached. Detach it first.")
        if volume.provider_location is not None or name in backend.target.exported():
            exports.drop(backend, volume)
        snapshot_work.delete_all(backend, volume.id)
        backend.driver.delete_volume(name)
    except errors.VolumeIsBusy as err:
        since = backend.busy_since.setdefault(volume.id, time.monotonic())
        if isinstance(err, errors.DeviceIsBusy) and time.monotonic() - since < BUSY_LIMIT:
            raise common_errors.Unavailable(f"{err.message} The deletion is tried again.") from err
        backend.busy_since.pop(volume.id, None)
        _move(backend, "delete_refused", volume.id)
        raise
    except common_errors.Unavailable:
        # Worth another try without anybody asking; error_deleting would need an administrator.
        raise
    except common_errors.LiteError:
        _move(backend, "delete_failed", volume.id)
        raise
    backend.busy_since.pop(volume.id, None)
    volumes.destroy(backend.database, volume.id)


def _move(backend: Backend, name: str, volume_id: str) -> None:
    snapshot_work.settle_all(backend, volume_id, name)
    with backend.database.connection() as conn:
        volumes.move(conn, name, volume_id)
