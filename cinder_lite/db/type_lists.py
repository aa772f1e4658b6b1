"""Lists of volume types: a page of ids in one statement (two with a marker), the types of the page in another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cinder_lite.db import paging, type_access, types

TABLE = types.TABLE
SORT_KEYS: dict[str, sa.ColumnElement[Any]] = {
    "id": TABLE.c.id,
    "name": sa.func.coalesce(TABLE.c.name, ""),
    "description": sa.func.coalesce(TABLE.c.description, ""),
    "is_public": TABLE.c.is_public,
    "created_at": TABLE.c.created_at,
    "updated_at": sa.func.coalesce(TABLE.c.updated_at, TABLE.c.created_at),
}


@dataclass(frozen=True)
class Filters:
    """Which types: usable by a project (None: any), public or not (None: both), with these extra specs and columns.

    Public ones include, as in Cinder, the private ones that the project may use."""

    project_id: str | None
    is_public: bool | None = True
    equal: Mapping[str, Any] = field(default_factory=dict)
    extra_specs: Mapping[str, str] = field(default_factory=dict)


def page(conn: sa.Connection, filters: Filters, wanted: paging.Page) -> list[types.VolumeType]:
    """A page of types with their extra specs."""
    statement = sa.select(TABLE.c.id).where(TABLE.c.deleted.is_(False), *_where(filters))
    statement = paging.apply(conn, statement, wanted, SORT_KEYS, TABLE)
    ids = list(conn.execute(statement).scalars())
    found = {one.id: one for one in types.of_ids(conn, ids)}
    return [found[one] for one in ids if one in found]


def _where(filters: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [TABLE.c[name] == value for name, value in filters.equal.items()]
    if filters.is_public is True:
        conditions.append(type_access.usable(filters.project_id or ""))
    elif filters.is_public is False:
        conditions.append(TABLE.c.is_public.is_(False))
    specs = types.SPECS
    for key, value in filters.extra_specs.items():
        has = sa.exists().where(
            specs.c.volume_type_id == TABLE.c.id, specs.c.deleted.is_(False), specs.c.key == key, specs.c.value == value
        )
        conditions.append(has)
    return conditions
