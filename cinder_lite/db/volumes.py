"""Volume rows one at a time: read, insert, change, move between states, destroy.

Lists are in `volume_lists`, because they are read for answers, without a record for each row.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import models, quotas
from lite_common import db

TABLE = models.volumes
STATUS_COLUMNS = frozenset({"status", "attach_status"})
# The columns of `changes.Pending`, and the status before the change.
PENDING_NOTHING = {"extend_new_size": None, "retype_type_id": None, "previous_status": None}


@dataclass(frozen=True)
class Volume:
    """A volume as stored. `size` is in GiB, `host` is `host@backend#pool` or None before it was scheduled,
    `volume_type` the type's name, times are UTC."""

    id: str
    user_id: str | None
    project_id: str | None
    display_name: str | None
    display_description: str | None
    size: int
    status: str
    attach_status: str
    migration_status: str | None
    host: str | None
    cluster_name: str | None
    availability_zone: str | None
    volume_type_id: str
    volume_type: str | None
    multiattach: bool
    bootable: bool
    use_quota: bool
    snapshot_id: str | None
    source_volid: str | None
    encryption_key_id: str | None
    consistencygroup_id: str | None
    group_id: str | None
    replication_status: str | None
    provider_location: str | None
    provider_auth: str | None
    provider_id: str | None
    service_uuid: str | None
    shared_targets: bool | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    launched_at: datetime.datetime | None


COLUMNS = [
    models.volume_types.c.name.label("volume_type") if name == "volume_type" else TABLE.c[name]
    for name in Volume.__dataclass_fields__
]
WITH_TYPE = TABLE.join(models.volume_types, TABLE.c.volume_type_id == models.volume_types.c.id)


def visible(
    volume_id: str | sa.ColumnElement[str], project_id: str | sa.ColumnElement[str] | None
) -> list[sa.ColumnElement[bool]]:
    """Conditions for the live volume of that id which a caller of that project (None: any) may see."""
    found: list[sa.ColumnElement[bool]] = [TABLE.c.id == volume_id, TABLE.c.deleted.is_(False)]
    return found if project_id is None else [*found, TABLE.c.project_id == project_id]


def get(conn: sa.Connection, volume_id: str, project_id: str | None = None) -> Volume:
    """The volume. Raises errors.VolumeNotFound, also when it belongs to another project than `project_id`."""
    row = conn.execute(_get(project_id is not None), {"volume": volume_id, "project": project_id}).first()
    if row is None:
        raise errors.VolumeNotFound(volume_id=volume_id)
    return Volume(*row)


def bound(scoped: bool) -> list[sa.ColumnElement[bool]]:
    """`visible` for statements that are built once: of the parameters `volume` and, if scoped, `project`."""
    return visible(sa.bindparam("volume"), sa.bindparam("project") if scoped else None)


@functools.cache
def _get(scoped: bool) -> sa.Select[Any]:
    return sa.select(*COLUMNS).select_from(WITH_TYPE).where(*bound(scoped))


def belongs(backend: str) -> sa.ColumnElement[bool]:
    """The condition that a volume is on the backend `host@name`, whatever its pool."""
    # "$" sorts right after "#", so this is a range of the index and a backend's name may hold LIKE's wildcards.
    return sa.or_(TABLE.c.host == backend, sa.and_(TABLE.c.host > f"{backend}#", TABLE.c.host < f"{backend}$"))


def on_backend(conn: sa.Connection, backend: str) -> list[Volume]:
    """The volumes of the backend `host@name`, in every state but deleted."""
    statement = sa.select(*COLUMNS).select_from(WITH_TYPE).where(TABLE.c.deleted.is_(False), belongs(backend))
    return [Volume(*row) for row in conn.execute(statement)]


def in_status(
    conn: sa.Connection, *statuses: str, older_than: datetime.datetime, backend: str | None = None
) -> list[Volume]:
    """Volumes in one of the states whose row was last touched before that time (UTC): work somebody lost.

    Those of the backend `host@name`, or those that no backend has yet.
    """
    touched = sa.func.coalesce(TABLE.c.updated_at, TABLE.c.created_at)
    statement = (
        sa.select(*COLUMNS)
        .select_from(WITH_TYPE)
        .where(TABLE.c.deleted.is_(False), TABLE.c.status.in_(statuses), touched < older_than)
        .where(TABLE.c.host.is_(None) if backend is None else belongs(backend))
    )
    return [Volume(*row) for row in conn.execute(statement)]


def insert(conn: sa.Connection, values: Mapping[str, Any], metadata: Mapping[str, str]) -> datetime.datetime:
    """Add a volume in state `creating` with its metadata; returns created_at."""
    now = db.utcnow()
    first = {"status": states.CREATING, "attach_status": states.DETACHED, "created_at": now, "updated_at": None}
    conn.execute(TABLE.insert().values({**values, **first}))
    if metadata:
        rows = [
            {"volume_id": values["id"], "key": key, "value": value, "created_at": now}
            for key, value in metadata.items()
        ]
        conn.execute(models.volume_metadata.insert(), rows)
    return now


def update(conn: sa.Connection, volume_id: str, project_id: str | None = None, **values: Any) -> None:
    """Write columns other than the states. Raises errors.VolumeNotFound when there is no such volume (any more)."""
    if STATUS_COLUMNS & set(values):
        raise ValueError("states are written by move() only")
    statement = TABLE.update().where(*visible(volume_id, project_id))
    if conn.execute(statement.values({"updated_at": db.utcnow(), **values})).rowcount == 0:
        raise errors.VolumeNotFound(volume_id=volume_id)


def move(
    conn: sa.Connection,
    name: str,
    volume_id: str,
    *conditions: sa.ColumnElement[bool],
    project_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **values: Any,
) -> bool:
    """Make the move `states.VOLUME[name]` and write `values` with it; False when its state rules it out."""
    step = states.VOLUME[name]
    key = {"id": volume_id, "deleted": False} | ({} if project_id is None else {"project_id": project_id})
    written = {**step.values, **(PENDING_NOTHING if _ends_a_change(step) else {}), **values}
    return db.compare_and_swap(conn, TABLE, key, step.expected, written, *conditions, parameters=parameters)


def _ends_a_change(step: states.Move) -> bool:
    """Whether the move may lead out of `extending` or `retyping`: the volume is on its way to nothing then."""
    before = step.expected.get("status")
    if before is None:
        return "status" in step.values
    return bool(states.ENDS_BY_ITSELF & (before if isinstance(before, frozenset) else {before}))


def move_any(conn: sa.Connection, names: Sequence[str], volume_id: str, *, project_id: str | None = None) -> bool:
    """Make the first of the moves that the volume is in a state for; False when it is for none."""
    return any(move(conn, name, volume_id, project_id=project_id) for name in names)


def unreserve(conn: sa.Connection, volume_id: str, project_id: str | None = None) -> bool:
    """attaching -> in-use where an attachment is left, else available; decided inside the one UPDATE."""
    attachment = models.volume_attachment
    left = sa.exists().where(
        attachment.c.volume_id == volume_id,
        attachment.c.deleted.is_(False),
        attachment.c.attach_status != states.DETACHED,
    )
    status = sa.case((left, states.IN_USE), else_=states.AVAILABLE)
    return move(conn, "unreserve", volume_id, project_id=project_id, status=status)


def begin_deleting(conn: sa.Connection, volume_id: str, *, force: bool = False) -> bool:
    """Move to `deleting` unless the volume is attached, in use or migrating; with `force` from any state in which no
    attachment is `attached`. Whether it has snapshots is for `snapshots.begin_deleting_volume`, which holds its row."""
    loose = [TABLE.c.attach_status != states.ATTACHED]
    if force:
        # The volume's attach_status is that of the newest attachment; another guest may use the disk.
        attached = models.volume_attachment.alias()
        used = sa.exists().where(
            attached.c.volume_id == TABLE.c.id,
            attached.c.deleted.is_(False),
            attached.c.attach_status == states.ATTACHED,
        )
        loose.append(~used)
    name = "begin_deleting_forced" if force else "begin_deleting"
    return move(conn, name, volume_id, *loose, terminated_at=db.utcnow())


def destroy(database: db.Database, volume_id: str) -> bool:
    """Soft-delete the volume with its metadata and attachments and count its project's usage anew, in one
    transaction; False when it was gone already."""

    def work(conn: sa.Connection) -> bool:
        row = conn.execute(sa.select(TABLE.c.project_id).where(*visible(volume_id, None))).first()
        if row is None:
            return False
        quotas.lock(conn, row.project_id)
        gone = {"deleted": True, "deleted_at": db.utcnow()}
        ended = {"status": states.DELETED, "attach_status": states.DETACHED, "migration_status": None}
        done = conn.execute(TABLE.update().where(*visible(volume_id, None)).values(gone | ended)).rowcount == 1
        for table in (models.volume_metadata, models.volume_admin_metadata, models.volume_attachment):
            conn.execute(table.update().where(table.c.volume_id == volume_id, table.c.deleted.is_(False)).values(gone))
        quotas.store(conn, row.project_id)
        return done

    return database.run(work)
