"""Volumes as answers need them: one or many with attachments and metadata, at a constant number of statements."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import metadata, models, paging, volumes

TABLE = models.volumes
ATTACHMENTS = models.volume_attachment
TYPES = models.volume_types

Row = Mapping[str, Any]

SHOWN = (
    "id", "user_id", "project_id", "display_name", "display_description", "size", "status", "migration_status", "host",
    "availability_zone", "volume_type_id", "multiattach", "bootable", "snapshot_id", "source_volid",
    "encryption_key_id", "consistencygroup_id", "group_id", "replication_status", "provider_id", "cluster_name",
    "service_uuid", "shared_targets", "use_quota", "_name_id", "created_at", "updated_at",
)  # fmt: skip
COLUMNS = [*(TABLE.c[name] for name in SHOWN), TYPES.c.name.label("volume_type")]
ATTACHMENT_SHOWN = ("id", "volume_id", "instance_uuid", "attached_host", "mountpoint", "attach_time")
ATTACHMENT_COLUMNS = [ATTACHMENTS.c[name] for name in ATTACHMENT_SHOWN]
EMPTY = sa.literal("")

SORT_KEYS: dict[str, sa.ColumnElement[Any]] = {
    "id": TABLE.c.id,
    "created_at": TABLE.c.created_at,
    "updated_at": sa.func.coalesce(TABLE.c.updated_at, TABLE.c.created_at),
    "size": TABLE.c.size,
    "status": TABLE.c.status,
    "name": sa.func.coalesce(TABLE.c.display_name, EMPTY),
    "display_name": sa.func.coalesce(TABLE.c.display_name, EMPTY),
    "availability_zone": sa.func.coalesce(TABLE.c.availability_zone, EMPTY),
    "bootable": TABLE.c.bootable,
    "host": sa.func.coalesce(TABLE.c.host, EMPTY),
}
COMPARISONS = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}


@dataclass(frozen=True)
class Filters:
    """Which volumes: of a project (None: any), with these column values, names containing `like`, this metadata,
    and times compared as in COMPARISONS."""

    project_id: str | None
    equal: Mapping[str, Any] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    times: Sequence[tuple[str, str, datetime.datetime]] = ()


@dataclass(frozen=True)
class Shown:
    """Rows of volumes with their attached attachments and metadata by volume id."""

    rows: list[Row]
    attachments: Mapping[str, list[Row]]
    metadata: Mapping[str, dict[str, str]]


def one(conn: sa.Connection, volume_id: str, project_id: str | None) -> Shown:
    """One volume; one statement, and another when it has metadata. Raises errors.VolumeNotFound."""
    parameters = {"volume": volume_id, "project": project_id}
    rows = conn.execute(_one(project_id is not None), parameters).mappings().all()
    if not rows:
        raise errors.VolumeNotFound(volume_id=volume_id)
    found: list[Row] = [
        {name: row[f"a_{name}"] for name in ATTACHMENT_SHOWN} for row in rows if row["a_id"] is not None
    ]
    texts = metadata.shown_of_many(conn, [volume_id]) if rows[0]["has_metadata"] else {}
    return Shown([dict(rows[0])], {volume_id: found}, texts)


@functools.cache
def _one(scoped: bool) -> sa.Select[Any]:
    has_metadata = sa.or_(
        *(
            sa.exists().where(pairs.c.volume_id == TABLE.c.id, pairs.c.deleted.is_(False))
            for pairs in (models.volume_metadata, models.volume_admin_metadata)
        )
    )
    attached = sa.and_(ATTACHMENTS.c.volume_id == TABLE.c.id, *_attached())
    renamed = [column.label(f"a_{column.name}") for column in ATTACHMENT_COLUMNS]
    return (
        sa.select(*COLUMNS, has_metadata.label("has_metadata"), *renamed)
        .select_from(volumes.WITH_TYPE.outerjoin(ATTACHMENTS, attached))
        .where(*volumes.bound(scoped))
        .order_by(ATTACHMENTS.c.created_at)
    )


def page(conn: sa.Connection, filters: Filters, wanted: paging.Page) -> Shown:
    """A page of volumes in three statements (four with a marker)."""
    statement = sa.select(*COLUMNS).select_from(volumes.WITH_TYPE).where(*_where(filters))
    statement = paging.apply(conn, statement, wanted, SORT_KEYS, TABLE, _index(filters))
    rows: list[Row] = _dicts(conn.execute(statement))
    ids = [row["id"] for row in rows]
    return Shown(rows, _attachments(conn, ids), metadata.shown_of_many(conn, ids))


def names(conn: sa.Connection, filters: Filters, wanted: paging.Page) -> list[Row]:
    """Ids and names of a page of volumes."""
    statement = sa.select(TABLE.c.id, TABLE.c.display_name).where(*_where(filters))
    return _dicts(conn.execute(paging.apply(conn, statement, wanted, SORT_KEYS, TABLE, _index(filters))))


def count(conn: sa.Connection, filters: Filters) -> tuple[int, int]:
    """How many volumes there are in all and their size in GiB together."""
    total = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(TABLE.c.size), 0)).select_from(TABLE)
    number, size = conn.execute(total.where(*_where(filters))).one()
    return number, int(size)


def distinct_metadata(conn: sa.Connection, filters: Filters) -> dict[str, list[str]]:
    """All values of each key of the volumes' metadata."""
    pairs = models.volume_metadata
    statement = (
        sa.select(pairs.c.key, pairs.c.value)
        .select_from(pairs.join(TABLE, pairs.c.volume_id == TABLE.c.id))
        .where(pairs.c.deleted.is_(False), *_where(filters))
        .distinct()
        .order_by(pairs.c.key, pairs.c.value)
    )
    found: dict[str, list[str]] = {}
    for key, value in conn.execute(statement):
        found.setdefault(key, []).append(value)
    return found


def _attached() -> tuple[sa.ColumnElement[bool], ...]:
    return ATTACHMENTS.c.deleted.is_(False), ATTACHMENTS.c.attach_status == states.ATTACHED


def _attachments(conn: sa.Connection, ids: Sequence[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    if not ids:
        return found
    statement = sa.select(*ATTACHMENT_COLUMNS).where(ATTACHMENTS.c.volume_id.in_(ids), *_attached())
    for row in _dicts(conn.execute(statement.order_by(ATTACHMENTS.c.created_at))):
        found.setdefault(row["volume_id"], []).append(row)
    return found


def _dicts(result: sa.CursorResult[Any]) -> list[Row]:
    keys = tuple(result.keys())
    return [dict(zip(keys, row, strict=True)) for row in result]


def _index(filters: Filters) -> str:
    """What holds the project's volumes, or all of them, in the order in which they were made."""
    return "ix_volumes_page" if filters.project_id is None else "ix_volumes_project_page"


def _where(filters: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [paging.is_not_deleted(TABLE)]
    if filters.project_id is not None:
        conditions.append(TABLE.c.project_id == filters.project_id)
    for name, value in filters.equal.items():
        column = TABLE.c[name]
        conditions.append(column.in_(value) if isinstance(value, list) else column == value)
    for name, text in filters.like.items():
        conditions.append(TABLE.c[name].contains(text, autoescape=True))
    for name, comparison, moment in filters.times:
        conditions.append(COMPARISONS[comparison](TABLE.c[name], moment))
    pairs = models.volume_metadata
    for key, value in filters.metadata.items():
        has = sa.exists().where(
            pairs.c.volume_id == TABLE.c.id, pairs.c.deleted.is_(False), pairs.c.key == key, pairs.c.value == value
        )
        conditions.append(has)
    return conditions
