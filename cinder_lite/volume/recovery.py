"""What keeps a backend from being stuck: set it up until that works, redo what was cut short, watch the target.

The rows say what is to be done (`creating`, `deleting`, attachments), every operation may be done twice, so nothing
is needed but to look: at the start, and on a timer for messages that were lost while the daemon ran.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable

from cinder_lite import states
from cinder_lite.db import snapshots, volumes
from cinder_lite.volume import change_work, delete, exports, snapshot_work
from cinder_lite.volume.backend import Backend, Scheduler
from lite_common import context, crew, db, errors

LOG = logging.getLogger(__name__)

# A message in the queue of a busy daemon is not lost; only rows untouched for so many seconds are taken up again. What
# is in hand is known by its lock, however long it takes.
LOST_AFTER = 20.0
# Does a job under its name: at once, or soon, on another thread.
Do = Callable[[str, crew.Job], bool]
_TAKEN_UP = (states.CREATING, states.DELETING, states.EXTENDING, states.RETYPING)


def set_up(backend: Backend) -> bool:
    """Make driver and target ready, and the exports complete; whether that worked. The reason is kept if not."""
    ctx = context.admin_context(overwrite=False)
    try:
        backend.driver.check_for_setup_error()
        backend.target.check_for_setup_error()
        restore_exports(backend, ctx)
    except errors.LiteError as err:
        if err.message != backend.trouble:
            LOG.error("backend %s is not ready: %s", backend.name, err.message)
        backend.trouble = err.message
        return False
    backend.trouble = ""
    backend.ready.set()
    LOG.info("backend %s is ready", backend.name)
    return True


def restore_exports(backend: Backend, ctx: context.RequestContext) -> None:
    """Make the exports complete and remember for which start of the target daemon that holds."""
    generation = backend.target.generation()
    exports.restore(backend, ctx)
    backend.generation = generation


def watch_target(backend: Backend) -> None:
    """Restore the exports when the target daemon was started anew, and show the sizes of volumes that are out of use
    since they grew. Cheap: one connection to its control socket."""
    if not backend.ready.is_set():
        return
    try:
        if backend.target.generation() != backend.generation:
            LOG.warning("the target daemon of backend %s was started anew; restoring its exports", backend.name)
            restore_exports(backend, context.admin_context(overwrite=False))
        backend.trouble = ""
        change_work.show_again(backend)
    except errors.Unavailable as err:
        if err.message != backend.trouble:
            LOG.error("%s", err.message)
        backend.trouble = err.message


def resume(backend: Backend, scheduler: Scheduler, untouched_for: float = LOST_AFTER, do: Do = crew.at_once) -> None:
    """Do again what rows of this backend ask for and nobody has touched for so many seconds."""
    if not backend.ready.is_set():
        return
    limit = db.utcnow() - datetime.timedelta(seconds=untouched_for)
    with backend.database.connection() as conn:
        found = volumes.in_status(conn, *_TAKEN_UP, older_than=limit, backend=backend.name)
        kept = snapshots.in_status(conn, backend.name, states.CREATING, states.DELETING, older_than=limit)
    for volume in found:
        if not backend.locks.held(volume.id):
            do(f"volume {volume.id}", functools.partial(_take_up, backend, scheduler, volume))
    for snapshot in kept:
        if not (backend.locks.held(snapshot.id) or backend.locks.held(snapshot.volume_id)):
            do(f"snapshot {snapshot.id}", functools.partial(_take_up_snapshot, backend, snapshot))


def drop_unneeded_exports(backend: Backend) -> None:
    """Remove exports that nobody needed at two looks in a row: one may belong to an attach that is under way."""
    if not backend.ready.is_set():
        return
    found = exports.unneeded(backend)
    for name in found & backend.suspects:
        exports.drop_unneeded(backend, name)
    backend.suspects = frozenset(found)


def _take_up(backend: Backend, scheduler: Scheduler, volume: volumes.Volume) -> None:
    LOG.warning("volume %s was left %s; taking it up again", volume.id, volume.status)
    ctx = context.admin_context(overwrite=False)
    # taskflow brings networkx along; a daemon that makes no volumes does not pay for it.
    from cinder_lite.volume import manager_create

    if volume.status == states.CREATING:
        manager_create.create_volume(backend, scheduler, ctx, volume.id, {}, {})
    elif volume.status == states.EXTENDING:
        change_work.extend_volume(backend, ctx, volume.id)
    elif volume.status == states.RETYPING:
        change_work.retype(backend, ctx, volume.id)
    else:
        delete.delete_volume(backend, ctx, volume.id)


def _take_up_snapshot(backend: Backend, snapshot: snapshots.Snapshot) -> None:
    LOG.warning("snapshot %s was left %s; taking it up again", snapshot.id, snapshot.status)
    ctx = context.admin_context(overwrite=False)
    if snapshot.status == states.CREATING:
        snapshot_work.create_snapshot(backend, ctx, snapshot.id)
    else:
        snapshot_work.delete_snapshot(backend, ctx, snapshot.id)
