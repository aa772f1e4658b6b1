"""Snapshots as answers need them: one or many with their metadata, at a constant number of statements."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cinder_lite.db import models, paging, snapshots, volume_lists

TABLE = models.snapshots
PAIRS = models.snapshot_metadata
EMPTY = sa.literal("")

SORT_KEYS: dict[str, sa.ColumnElement[Any]] = {
    "id": TABLE.c.id,
    "created_at": TABLE.c.created_at,
    "updated_at": sa.func.coalesce(TABLE.c.updated_at, TABLE.c.created_at),
    "status": TABLE.c.status,
    "volume_id": TABLE.c.volume_id,
    "size": TABLE.c.volume_size,
    "volume_size": TABLE.c.volume_size,
    "name": sa.func.coalesce(TABLE.c.display_name, EMPTY),
    "display_name": sa.func.coalesce(TABLE.c.display_name, EMPTY),
}


@dataclass(frozen=True)
class Filters:
    """Which snapshots: of a project (None: any), with these column values, names containing `like`, this metadata,
    times compared as in volume_lists.COMPARISONS, of volumes in the zone."""

    project_id: str | None
    equal: Mapping[str, Any] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    times: Sequence[tuple[str, str, datetime.datetime]] = ()
    availability_zone: str | None = None


@dataclass(frozen=True)
class Shown:
    """Snapshots with their metadata by id."""

    rows: list[snapshots.Snapshot]
    metadata: Mapping[str, dict[str, str]]


def one(conn: sa.Connection, snapshot_id: str, project_id: str | None) -> Shown:
    """One snapshot. Raises errors.SnapshotNotFound."""
    return Shown([snapshots.get(conn, snapshot_id, project_id)], snapshots.METADATA.of_many(conn, [snapshot_id]))


def page(conn: sa.Connection, filters: Filters, wanted: paging.Page) -> Shown:
    """A page of snapshots in two statements (three with a marker)."""
    statement = sa.select(*snapshots.COLUMNS).select_from(snapshots.WITH_VOLUME).where(*_where(filters))
    index = "ix_snapshots_page" if filters.project_id is None else "ix_snapshots_project_page"
    statement = paging.apply(conn, statement, wanted, SORT_KEYS, TABLE, index)
    rows = [snapshots.Snapshot(*row) for row in conn.execute(statement)]
    return Shown(rows, snapshots.METADATA.of_many(conn, [row.id for row in rows]))


def count(conn: sa.Connection, filters: Filters) -> int:
    """How many snapshots the filters let through."""
    statement = sa.select(sa.func.count()).select_from(snapshots.WITH_VOLUME)
    return int(conn.execute(statement.where(*_where(filters))).scalar_one())


def _where(filters: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [paging.is_not_deleted(TABLE)]
    if filters.project_id is not None:
        conditions.append(TABLE.c.project_id == filters.project_id)
    if filters.availability_zone is not None:
        conditions.append(models.volumes.c.availability_zone == filters.availability_zone)
    conditions += [TABLE.c[name] == value for name, value in filters.equal.items()]
    conditions += [TABLE.c[name].contains(text, autoescape=True) for name, text in filters.like.items()]
    conditions += [
        volume_lists.COMPARISONS[comparison](TABLE.c[name], moment) for name, comparison, moment in filters.times
    ]
    for key, value in filters.metadata.items():
        has = sa.exists().where(
            PAIRS.c.snapshot_id == TABLE.c.id, PAIRS.c.deleted.is_(False), PAIRS.c.key == key, PAIRS.c.value == value
        )
        conditions.append(has)
    return conditions
