"""Snapshot rows one at a time, and the deletion of a volume together with its snapshots.

A snapshot keeps its volume from being deleted; both sides of that rule lock the volume's row, so that neither can
overlook the other. Order of locks: the project's usage, the volume's row, its snapshots.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import models, pairs, quotas, volumes
from lite_common import db

TABLE = models.snapshots
METADATA = pairs.Pairs(models.snapshot_metadata, "snapshot_id")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as stored, with its volume's backend. `volume_size` is in GiB, times are UTC."""

    id: str
    volume_id: str
    user_id: str | None
    project_id: str | None
    display_name: str | None
    display_description: str | None
    status: str
    progress: str | None
    volume_size: int
    volume_type_id: str
    group_snapshot_id: str | None
    use_quota: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    host: str | None
    availability_zone: str | None


_OF_VOLUME = ("host", "availability_zone")
COLUMNS = [models.volumes.c[name] if name in _OF_VOLUME else TABLE.c[name] for name in Snapshot.__dataclass_fields__]
WITH_VOLUME = TABLE.join(models.volumes, TABLE.c.volume_id == models.volumes.c.id)


def get(conn: sa.Connection, snapshot_id: str, project_id: str | None = None) -> Snapshot:
    """The snapshot. Raises errors.SnapshotNotFound, also when it belongs to another project than `project_id`."""
    statement = (
        sa.select(*COLUMNS).select_from(WITH_VOLUME).where(TABLE.c.id == snapshot_id, TABLE.c.deleted.is_(False))
    )
    if project_id is not None:
        statement = statement.where(TABLE.c.project_id == project_id)
    row = conn.execute(statement).first()
    if row is None:
        raise errors.SnapshotNotFound(snapshot_id=snapshot_id)
    return Snapshot(*row)


def of_volume(conn: sa.Connection, volume_id: str) -> list[Snapshot]:
    """The volume's snapshots in every state, oldest first."""
    statement = sa.select(*COLUMNS).select_from(WITH_VOLUME)
    statement = statement.where(TABLE.c.volume_id == volume_id, TABLE.c.deleted.is_(False))
    return [Snapshot(*row) for row in conn.execute(statement.order_by(TABLE.c.created_at, TABLE.c.id))]


def in_status(conn: sa.Connection, backend: str, *statuses: str, older_than: datetime.datetime) -> list[Snapshot]:
    """Snapshots of volumes of the backend `host@name` in one of the states, last touched before that time (UTC)."""
    touched = sa.func.coalesce(TABLE.c.updated_at, TABLE.c.created_at)
    statement = (
        sa.select(*COLUMNS)
        .select_from(WITH_VOLUME)
        .where(TABLE.c.deleted.is_(False), TABLE.c.status.in_(statuses), touched < older_than)
        .where(volumes.belongs(backend))
    )
    return [Snapshot(*row) for row in conn.execute(statement)]


def insert(conn: sa.Connection, values: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Add a snapshot in state `creating` with its metadata. To be called inside a transaction."""
    first = {"status": states.CREATING, "progress": "0%", "created_at": db.utcnow(), "updated_at": None}
    conn.execute(TABLE.insert().values({**values, **first}))
    METADATA.insert(conn, values["id"], metadata)


def update(conn: sa.Connection, snapshot_id: str, **values: Any) -> None:
    """Write columns other than the status. Raises errors.SnapshotNotFound when it is gone."""
    if "status" in values:
        raise ValueError("the status is written by move() only")
    mine = sa.and_(TABLE.c.id == snapshot_id, TABLE.c.deleted.is_(False))
    if conn.execute(TABLE.update().where(mine).values({"updated_at": db.utcnow(), **values})).rowcount == 0:
        raise errors.SnapshotNotFound(snapshot_id=snapshot_id)


def move(conn: sa.Connection, name: str, snapshot_id: str, **values: Any) -> bool:
    """Make the move `states.SNAPSHOT[name]` and write `values` with it; False when its state rules it out."""
    step = states.SNAPSHOT[name]
    key = {"id": snapshot_id, "deleted": False}
    return db.compare_and_swap(conn, TABLE, key, step.expected, {**step.values, **values})


def destroy(database: db.Database, snapshot_id: str) -> bool:
    """Soft-delete the snapshot with its metadata and count its project's usage anew, in one transaction; False when
    it was gone already."""
    live = sa.and_(TABLE.c.id == snapshot_id, TABLE.c.deleted.is_(False))

    def work(conn: sa.Connection) -> bool:
        row = conn.execute(sa.select(TABLE.c.project_id).where(live)).first()
        if row is None:
            return False
        quotas.lock(conn, row.project_id)
        gone = {"deleted": True, "deleted_at": db.utcnow()}
        done = conn.execute(TABLE.update().where(live).values(gone | {"status": states.DELETED})).rowcount == 1
        mine = sa.and_(METADATA.owner == snapshot_id, METADATA.table.c.deleted.is_(False))
        conn.execute(METADATA.table.update().where(mine).values(gone))
        quotas.recount(conn, row.project_id)
        return done

    return database.run(work)


def lock_volume(conn: sa.Connection, volume_id: str, project_id: str | None = None) -> volumes.Volume:
    """The volume, whose row is held until the transaction ends. Raises errors.VolumeNotFound."""
    mine = volumes.visible(volume_id, project_id)
    conn.execute(sa.select(volumes.TABLE.c.id).where(*mine).with_for_update()).first()
    return volumes.get(conn, volume_id, project_id)


def begin_deleting_volume(database: db.Database, volume_id: str, *, cascade: bool, force: bool = False) -> bool:
    """Move the volume to `deleting`, with `cascade` its snapshots too; False, and nothing is changed, where its state
    or a snapshot rules that out: without `cascade` any, with it one in a state or of a project that forbids it."""

    class Refused(Exception):
        """Rolls the transaction back."""

    def work(conn: sa.Connection) -> bool:
        volume = lock_volume(conn, volume_id)
        found = of_volume(conn, volume_id)
        if found and not cascade:
            return False
        for snapshot in found:
            if snapshot.project_id != volume.project_id or not move(conn, "begin_deleting", snapshot.id):
                raise Refused
        if not volumes.begin_deleting(conn, volume_id, force=force):
            raise Refused
        return True

    try:
        return database.run(work)
    except Refused:
        return False


def undo_deleting_volume(database: db.Database, volume_id: str, status: str) -> None:
    """Put the volume back to `status`, and its snapshots to `available`, when nobody could be told to delete it."""

    def work(conn: sa.Connection) -> None:
        for snapshot in of_volume(conn, volume_id):
            move(conn, "delete_refused", snapshot.id)
        volumes.move(conn, "delete_refused", volume_id, status=status, terminated_at=None)

    database.run(work)
