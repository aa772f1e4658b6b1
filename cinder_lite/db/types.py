"""Volume types and their extra specs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cinder_lite import errors
from cinder_lite.db import models, type_access
from lite_common import db

TABLE = models.volume_types
SPECS = models.volume_type_extra_specs


@dataclass(frozen=True)
class VolumeType:
    """A volume type as stored; `extra_specs` are what backends must offer, and `multiattach`."""

    id: str
    name: str
    description: str | None
    is_public: bool
    qos_specs_id: str | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)

    @property
    def multiattach(self) -> bool:
        """Whether volumes of this type may be attached more than once."""
        return self.extra_specs.get("multiattach", "").strip().lower() == "<is> true"

    @property
    def zones(self) -> list[str]:
        """The availability zones that volumes of this type may be in; empty: any."""
        return [
            zone.strip() for zone in self.extra_specs.get("RESKEY:availability_zones", "").split(",") if zone.strip()
        ]


COLUMNS = (TABLE.c.id, TABLE.c.name, TABLE.c.description, TABLE.c.is_public, TABLE.c.qos_specs_id)


def find(conn: sa.Connection, id_or_name: str, project_id: str | None = None) -> VolumeType | None:
    """The type of that id, else of that name, else None, also for one that `project_id` (None: any) may not use."""
    named = sa.or_(TABLE.c.id == id_or_name, TABLE.c.name == id_or_name)
    statement = _query().where(named, type_access.usable(project_id))
    found = _read(conn, statement)
    return next((one for one in found if one.id == id_or_name), found[0] if found else None)


def get(conn: sa.Connection, id_or_name: str, project_id: str | None = None) -> VolumeType:
    """As find(). Raises errors.VolumeTypeNotFound."""
    found = find(conn, id_or_name, project_id)
    if found is None:
        raise errors.VolumeTypeNotFound(volume_type_id=id_or_name)
    return found


def names(conn: sa.Connection) -> list[str]:
    """The names of all types."""
    return list(
        conn.execute(sa.select(TABLE.c.name).where(TABLE.c.deleted.is_(False)).order_by(TABLE.c.name)).scalars()
    )


def of_ids(conn: sa.Connection, ids: Sequence[str]) -> list[VolumeType]:
    """The types of these ids, in no order."""
    return _read(conn, _query().where(TABLE.c.id.in_(ids))) if ids else []


def update(conn: sa.Connection, type_id: str, values: Mapping[str, Any]) -> None:
    """Write columns of the type."""
    conn.execute(TABLE.update().where(TABLE.c.id == type_id).values({**values, "updated_at": db.utcnow()}))


def insert(conn: sa.Connection, name: str, description: str | None, is_public: bool, specs: Mapping[str, str]) -> str:
    """Add a type; its id. To be called inside a transaction."""
    type_id, now = str(uuid.uuid4()), db.utcnow()
    row = {"id": type_id, "name": name, "description": description, "is_public": is_public, "created_at": now}
    conn.execute(TABLE.insert().values(row))
    set_specs(conn, type_id, specs)
    return type_id


def set_specs(conn: sa.Connection, type_id: str, specs: Mapping[str, str]) -> None:
    """Add these extra specs, replacing those of the same keys. To be called inside a transaction."""
    if not specs:
        return
    drop_specs(conn, type_id, list(specs))
    now = db.utcnow()
    rows = [{"volume_type_id": type_id, "key": key, "value": value, "created_at": now} for key, value in specs.items()]
    conn.execute(SPECS.insert(), rows)


def drop_specs(conn: sa.Connection, type_id: str, keys: list[str]) -> bool:
    """Remove these extra specs; whether there was one."""
    mine = sa.and_(SPECS.c.volume_type_id == type_id, SPECS.c.key.in_(keys), SPECS.c.deleted.is_(False))
    return conn.execute(SPECS.update().where(mine).values(deleted=True, deleted_at=db.utcnow())).rowcount > 0


def in_use(conn: sa.Connection, type_id: str) -> bool:
    """Whether a live volume has this type."""
    volumes = models.volumes
    statement = sa.select(volumes.c.id).where(volumes.c.volume_type_id == type_id, volumes.c.deleted.is_(False))
    return conn.execute(statement.limit(1)).first() is not None


def destroy(conn: sa.Connection, type_id: str) -> None:
    """Soft-delete the type."""
    conn.execute(TABLE.update().where(TABLE.c.id == type_id).values(deleted=True, deleted_at=db.utcnow()))


def _query() -> sa.Select:
    specs = sa.and_(SPECS.c.volume_type_id == TABLE.c.id, SPECS.c.deleted.is_(False))
    return (
        sa.select(*COLUMNS, SPECS.c.key, SPECS.c.value)
        .select_from(TABLE.outerjoin(SPECS, specs))
        .where(TABLE.c.deleted.is_(False))
        .order_by(TABLE.c.created_at.desc(), TABLE.c.id, SPECS.c.key)
    )


def _read(conn: sa.Connection, statement: sa.Select) -> list[VolumeType]:
    plain: dict[str, Sequence[Any]] = {}
    specs: dict[str, dict[str, str]] = {}
    for *columns, key, value in conn.execute(statement):
        plain[columns[0]] = tuple(columns)
        mine = specs.setdefault(columns[0], {})
        if key is not None:
            mine[key] = value
    return [VolumeType(*[*columns, specs[type_id]]) for type_id, columns in plain.items()]
