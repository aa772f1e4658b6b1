"""What the volume service's database says of attachments: its side of what `nlite doctor` compares, and the few writes
by which an administrator has it made true again.

Volumes come by their id, in pages, each with its living attachments: two statements a page.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cinder_lite import states
from cinder_lite.db import attachments, volumes
from lite_common import db

VOLUMES, ATTACHMENTS = volumes.TABLE, attachments.TABLE


@dataclass(frozen=True)
class AttachmentSide:
    """A living attachment; times are UTC."""

    attachment: attachments.Attachment
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None


@dataclass(frozen=True)
class VolumeSide:
    """A volume as its row tells it, with its living attachments, oldest first."""

    id: str
    name: str | None
    project_id: str | None
    status: str
    attach_status: str
    migration_status: str | None
    size: int
    host: str | None
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None
    attachments: tuple[AttachmentSide, ...] = ()


_COLUMNS = [
    VOLUMES.c.display_name.label("name") if name == "name" else VOLUMES.c[name]
    for name in VolumeSide.__dataclass_fields__
    if name != "attachments"
]


def page(
    conn: sa.Connection,
    project_id: str | None,
    *,
    volume_id: str | None = None,
    marker: str | None = None,
    limit: int = 1000,
) -> list[VolumeSide]:
    """At most `limit` volumes of the project (None: any) in order of their ids, those after `marker`; or the one."""
    wanted = sa.select(*_COLUMNS).where(VOLUMES.c.deleted.is_(False)).order_by(VOLUMES.c.id).limit(limit)
    if project_id is not None:
        wanted = wanted.where(VOLUMES.c.project_id == project_id)
    if volume_id is not None:
        wanted = wanted.where(VOLUMES.c.id == volume_id)
    if marker is not None:
        wanted = wanted.where(VOLUMES.c.id > marker)
    rows = conn.execute(wanted).all()
    held = _attachments(conn, [row[0] for row in rows])
    return [VolumeSide(**row._mapping, attachments=tuple(held.get(row[0], ()))) for row in rows]


def _attachments(conn: sa.Connection, ids: Sequence[str]) -> dict[str, list[AttachmentSide]]:
    found: dict[str, list[AttachmentSide]] = {}
    if ids:
        wanted = sa.select(*attachments.COLUMNS, ATTACHMENTS.c.created_at, ATTACHMENTS.c.updated_at)
        wanted = wanted.where(ATTACHMENTS.c.volume_id.in_(ids), ATTACHMENTS.c.deleted.is_(False))
        for row in conn.execute(wanted.order_by(ATTACHMENTS.c.created_at, ATTACHMENTS.c.id)):
            one = attachments.record(row)
            found.setdefault(one.volume_id, []).append(AttachmentSide(one, row[-2], row[-1]))
    return found


def host_of(conn: sa.Connection, volume_id: str) -> str | None:
    """The `host` of the volume, also of one that is deleted; None when there never was one, or nobody has it."""
    return conn.execute(sa.select(VOLUMES.c.host).where(VOLUMES.c.id == volume_id)).scalar()


def existing(conn: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that living volumes have."""
    wanted = sa.select(VOLUMES.c.id).where(VOLUMES.c.id.in_(list(ids)), VOLUMES.c.deleted.is_(False))
    return {row[0] for row in conn.execute(wanted)} if ids else set()


def on_backend(conn: sa.Connection, backend: str) -> list[str]:
    """The ids of all living volumes of the backend `host@name`."""
    wanted = sa.select(VOLUMES.c.id).where(VOLUMES.c.deleted.is_(False), volumes.belongs(backend))
    return [row[0] for row in conn.execute(wanted)]


def restore_attachment(database: db.Database, volume_id: str, attachment_id: str) -> bool:
    """Let an attachment that was removed live again, `attached`, and its volume be in use; False when the volume has
    another one, or is in a state in which it may not be had."""

    def work(conn: sa.Connection) -> bool:
        other = ATTACHMENTS.alias()
        alone = ~sa.exists().where(other.c.volume_id == volume_id, other.c.deleted.is_(False))
        free = {"deleted": False, "status": frozenset({states.AVAILABLE, states.IN_USE, states.DETACHING})}
        taken = {"status": states.IN_USE, "attach_status": states.ATTACHED}
        if not db.compare_and_swap(conn, VOLUMES, {"id": volume_id}, free, taken, alone):
            return False
        again = {"deleted": False, "deleted_at": None, "detach_time": None, "attach_status": states.ATTACHED}
        key = {"id": attachment_id, "volume_id": volume_id}
        if not db.compare_and_swap(conn, ATTACHMENTS, key, {"deleted": True}, again):
            raise _Gone
        return True

    try:
        return database.run(work)
    except _Gone:
        return False


class _Gone(Exception):
    """The attachment is not there (any more), so that the volume must not be taken for it."""


def match_status(database: db.Database, volume_id: str, seen: str) -> str | None:
    """Give the volume the status that its attachments say, if it still has the one that was `seen`; the new one."""

    def work(conn: sa.Connection) -> str | None:
        row = conn.execute(
            sa.select(VOLUMES.c.status, VOLUMES.c.migration_status)
            .where(VOLUMES.c.id == volume_id, VOLUMES.c.deleted.is_(False))
            .with_for_update()
        ).first()
        if row is None or row.status != seen:
            return None
        living = sa.select(ATTACHMENTS.c.attach_status).where(
            ATTACHMENTS.c.volume_id == volume_id, ATTACHMENTS.c.deleted.is_(False)
        )
        status, attach_status = states.after_detach(
            [one[0] for one in conn.execute(living)], row.status, row.migration_status
        )
        values = {"status": status, "attach_status": attach_status}
        if status == seen or not db.compare_and_swap(conn, VOLUMES, {"id": volume_id}, {"status": seen}, values):
            return None
        return status

    return database.run(work)


def removed(conn: sa.Connection, volume_id: str, attachment_id: str) -> bool:
    """Whether the volume had this attachment and has it no more."""
    wanted = sa.select(ATTACHMENTS.c.id).where(
        ATTACHMENTS.c.id == attachment_id, ATTACHMENTS.c.volume_id == volume_id, ATTACHMENTS.c.deleted.is_(True)
    )
    return conn.execute(wanted).first() is not None
