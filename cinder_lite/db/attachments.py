"""Attachment rows, and the transactions in which an attachment and its volume change state together.

Order of locks: the volume's row first, then the attachment's.
"""

from __future__ import annotations

import datetime
import functools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import admin_metadata, models, volumes
from lite_common import db

TABLE = models.volume_attachment


@dataclass(frozen=True)
class Attachment:
    """An attachment as stored. `connection_info` (flat) and `connector` are decoded; None before there are any."""

    id: str
    volume_id: str
    instance_uuid: str | None
    attached_host: str | None
    mountpoint: str | None
    attach_time: datetime.datetime | None
    detach_time: datetime.datetime | None
    attach_status: str
    attach_mode: str | None
    connection_info: dict[str, Any] | None
    connector: dict[str, Any] | None


COLUMNS = [TABLE.c[name] for name in Attachment.__dataclass_fields__]
WIDTH = len(COLUMNS)

# Statements of every attach are built once: building one costs more than running it.
_LIVE = (TABLE.c.id == sa.bindparam("attachment"), TABLE.c.deleted.is_(False))
_GET = sa.select(*COLUMNS).where(*_LIVE)
_RESERVED = TABLE.insert().values(
    {
        name: sa.bindparam(name, type_=TABLE.c[name].type)
        for name in ("id", "volume_id", "instance_uuid", "attach_status", "attach_mode", "created_at")
    }
)
_CONNECTABLE = sa.exists().where(
    *_LIVE, TABLE.c.attach_status.in_(states.ATTACHMENT["connect"].expected["attach_status"])
)
_VOLUME_OF_COMPLETABLE = models.volumes.c.id == (
    sa.select(TABLE.c.volume_id)
    .where(*_LIVE, TABLE.c.attach_status.in_(states.ATTACHMENT["complete"].expected["attach_status"]))
    .scalar_subquery()
)


@dataclass(frozen=True)
class Found:
    """An attachment with what its volume says; `other_connected`: another one of the volume has a connection."""

    attachment: Attachment
    volume_status: str
    host: str | None
    multiattach: bool
    other_connected: bool


def record(row: Sequence[Any]) -> Attachment:
    """The record of a row of COLUMNS."""
    return Attachment(*[*row[: WIDTH - 2], *map(_decoded, row[WIDTH - 2 : WIDTH])])


def _decoded(text: str | None) -> dict[str, Any] | None:
    return orjson.loads(text) if text else None


def _encoded(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


def get(conn: sa.Connection, attachment_id: str) -> Attachment:
    """The attachment. Raises errors.VolumeAttachmentNotFound when it is unknown or gone."""
    row = conn.execute(_GET, {"attachment": attachment_id}).first()
    if row is None:
        raise errors.VolumeAttachmentNotFound(attachment_id=attachment_id)
    return record(row)


def of_volume(conn: sa.Connection, volume_id: str) -> list[Attachment]:
    """The volume's live attachments in any state, oldest first."""
    statement = sa.select(*COLUMNS).where(TABLE.c.volume_id == volume_id, TABLE.c.deleted.is_(False))
    return [record(row) for row in conn.execute(statement.order_by(TABLE.c.created_at, TABLE.c.id))]


def find(conn: sa.Connection, attachment_id: str, project_id: str | None) -> Found:
    """The attachment and its volume's side in one statement.

    Raises errors.VolumeAttachmentNotFound, also when the volume belongs to another project.
    """
    parameters = {"attachment": attachment_id, "project": project_id}
    row = conn.execute(_find(project_id is not None), parameters).first()
    if row is None:
        raise errors.VolumeAttachmentNotFound(attachment_id=attachment_id)
    return Found(record(row[:WIDTH]), row[WIDTH], row[WIDTH + 1], bool(row[WIDTH + 2]), bool(row[WIDTH + 3]))


@functools.cache
def _find(scoped: bool) -> sa.Select[Any]:
    other = TABLE.alias()
    connected = sa.exists().where(
        other.c.volume_id == TABLE.c.volume_id,
        other.c.id != TABLE.c.id,
        other.c.deleted.is_(False),
        other.c.connection_info.is_not(None),
    )
    volume = models.volumes
    return (
        sa.select(*COLUMNS, volume.c.status, volume.c.host, volume.c.multiattach, connected)
        .select_from(TABLE.join(volume, volume.c.id == TABLE.c.volume_id))
        .where(*_LIVE, *volumes.bound(scoped)[1:])
    )


def reserve(
    database: db.Database, volume_id: str, project_id: str | None, instance_uuid: str | None, mode: str | None
) -> str | None:
    """Take the volume and add a reserved attachment; its id, or None when the volume's state does not allow it.

    A volume that this instance already has reserved or attached needs no taking (a resize to the same host).
    """
    attachment_id = str(uuid.uuid4())

    def work(conn: sa.Connection) -> str | None:
        taken = volumes.move_any(conn, ("reserve", "reserve_shared"), volume_id, project_id=project_id)
        if not taken and not _held_by(conn, volume_id, project_id, instance_uuid):
            return None
        row = {
            "id": attachment_id,
            "volume_id": volume_id,
            "instance_uuid": instance_uuid,
            "attach_status": states.RESERVED,
            "attach_mode": mode,
            "created_at": db.utcnow(),
        }
        conn.execute(_RESERVED, row)
        return attachment_id

    return database.run(work)


def _held_by(conn: sa.Connection, volume_id: str, project_id: str | None, instance_uuid: str | None) -> bool:
    if instance_uuid is None:
        return False
    volume = models.volumes
    statement = (
        sa.select(volume.c.id)
        .where(*volumes.visible(volume_id, project_id), volume.c.status.in_((states.IN_USE, states.RESERVED)))
        .where(
            sa.exists().where(
                TABLE.c.volume_id == volume_id,
                TABLE.c.deleted.is_(False),
                TABLE.c.instance_uuid == instance_uuid,
            )
        )
        .with_for_update()
    )
    return conn.execute(statement).first() is not None


def connect(
    database: db.Database,
    volume_id: str,
    attachment_id: str,
    *,
    connector: Mapping[str, Any],
    connection_info: Mapping[str, Any],
    mode: str,
    exported: Mapping[str, str] | None = None,
) -> bool:
    """Store what the attachment's host and connection are and move both to `attaching`; False when it is gone or
    the volume is in no state for it. An attachment already attached stays so (a repeated request).

    `exported` are columns of the volume that tell where its export is, stored in the same statement."""
    values = {
        "connector": _encoded(connector),
        "connection_info": _encoded(connection_info),
        "attached_host": connector.get("host"),
        "mountpoint": connector.get("mountpoint") or "na",
        "attach_mode": mode,
    }
    now = db.utcnow()
    parameters = {"attachment": attachment_id}

    def work(conn: sa.Connection) -> bool:
        if volumes.move(conn, "connect", volume_id, _CONNECTABLE, parameters=parameters, **(exported or {})):
            return move(conn, "connect", attachment_id, attach_time=now, **values)
        if exported:
            volumes.update(conn, volume_id, **exported)
        again = {"deleted": False, "attach_status": states.ATTACHED}
        return db.compare_and_swap(conn, TABLE, {"id": attachment_id}, again, values)

    return database.run(work)


def complete(database: db.Database, attachment_id: str, project_id: str | None) -> bool:
    """Move the attachment to `attached` and its volume to in-use; False when one of them is in no state for it,
    or does not exist for this project."""
    key = {"deleted": False} | ({} if project_id is None else {"project_id": project_id})
    parameters = {"attachment": attachment_id}

    def work(conn: sa.Connection) -> bool:
        step = states.VOLUME["complete"]
        which = _VOLUME_OF_COMPLETABLE
        if not db.compare_and_swap(conn, models.volumes, key, step.expected, step.values, which, parameters=parameters):
            return False
        return move(conn, "complete", attachment_id)

    return database.run(work)


def move(conn: sa.Connection, name: str, attachment_id: str, **values: Any) -> bool:
    """Make the move `states.ATTACHMENT[name]`; False when the attachment is not in a state for it."""
    step = states.ATTACHMENT[name]
    return db.compare_and_swap(
        conn, TABLE, {"id": attachment_id}, {"deleted": False, **step.expected}, {**step.values, **values}
    )


def remove(database: db.Database, volume_id: str, attachment_id: str) -> list[Attachment]:
    """Soft-delete the attachment and set the volume's states by what is left; returns what is left.

    One transaction with the volume's row and all its attachments locked. Removing one already gone changes nothing.
    """

    def work(conn: sa.Connection) -> list[Attachment]:
        volume = models.volumes
        live = sa.and_(TABLE.c.volume_id == volume.c.id, TABLE.c.deleted.is_(False))
        statement = (
            sa.select(
                *COLUMNS,
                volume.c.status,
                volume.c.attach_status,
                volume.c.migration_status,
                admin_metadata.noted(admin_metadata.ATTACHED_MODE),
            )
            .select_from(volume.outerjoin(TABLE, live))
            .where(volume.c.id == volume_id, volume.c.deleted.is_(False))
            .order_by(TABLE.c.created_at, TABLE.c.id)
        )
        rows = conn.execute(statement.with_for_update()).all()
        found = [record(row[:WIDTH]) for row in rows if row[0] is not None]
        left = [one for one in found if one.id != attachment_id]
        if len(left) == len(found):
            return left
        now = db.utcnow()
        move(conn, "remove", attachment_id, detach_time=now, deleted=True, deleted_at=now)
        if rows[0][WIDTH + 3] and not left:
            admin_metadata.drop(conn, volume_id, [admin_metadata.ATTACHED_MODE])
        before = tuple(rows[0][WIDTH : WIDTH + 2])
        after = states.after_detach((one.attach_status for one in left), before[0], rows[0][WIDTH + 2])
        if after != before:
            values = {"status": after[0], "attach_status": after[1]}
            db.compare_and_swap(conn, volume, {"id": volume_id}, {}, values)
        return left

    return database.run(work)


def attach(database: db.Database, volume_id: str, values: Mapping[str, Any]) -> str | None:
    """The old flow's os-attach: add an attached row (`instance_uuid`, `attached_host`, `mountpoint`, `attach_mode`,
    ...) and move the volume to in-use; the new attachment's id, or None when the volume's state does not allow it.

    A row of the same instance or host that is already there is returned instead of a second one. Raises
    errors.InvalidVolumeAttachMode when the volume may only be read and the mode is another.
    """
    mode = str(values.get("attach_mode") or "rw")
    attachment_id = str(uuid.uuid4())

    def work(conn: sa.Connection) -> str | None:
        held = _held_as(conn, volume_id, values)
        names = ("attach", "attach_shared")
        if not volumes.move_any(conn, names, volume_id):
            return held
        notes = admin_metadata.get(conn, volume_id)
        readonly = notes.get(admin_metadata.READONLY, admin_metadata.FALSE)
        if readonly == admin_metadata.TRUE and mode != "ro":
            raise errors.InvalidVolumeAttachMode(mode=mode, volume_id=volume_id)
        # As in Cinder: both show in the volume's metadata from here on.
        admin_metadata.set_values(
            conn, volume_id, {admin_metadata.READONLY: readonly, admin_metadata.ATTACHED_MODE: mode}
        )
        if held is None:
            now = db.utcnow()
            first = {"id": attachment_id, "volume_id": volume_id, "attach_status": states.ATTACHED}
            encoded = {key: _encoded(value) if isinstance(value, Mapping) else value for key, value in values.items()}
            conn.execute(TABLE.insert().values({**encoded, **first, "attach_time": now, "created_at": now}))
        return held or attachment_id

    return database.run(work)


def _held_as(conn: sa.Connection, volume_id: str, values: Mapping[str, Any]) -> str | None:
    """The id of the attached row of this instance, or of this host where the attachment is to a host."""
    instance = values.get("instance_uuid")
    same = (
        TABLE.c.instance_uuid == instance
        if instance
        else sa.and_(TABLE.c.instance_uuid.is_(None), TABLE.c.attached_host == values.get("attached_host"))
    )
    statement = sa.select(TABLE.c.id).where(
        TABLE.c.volume_id == volume_id, TABLE.c.deleted.is_(False), TABLE.c.attach_status == states.ATTACHED, same
    )
    return conn.execute(statement).scalar()


def release(database: db.Database, volume_id: str) -> None:
    """os-detach of a volume without attachments: a volume left in detaching or in-use becomes available."""

    def work(conn: sa.Connection) -> None:
        none_left = ~sa.exists().where(TABLE.c.volume_id == volume_id, TABLE.c.deleted.is_(False))
        volumes.move(conn, "release", volume_id, none_left)

    database.run(work)
