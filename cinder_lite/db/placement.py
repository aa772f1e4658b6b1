"""Which backend a volume in `creating` belongs to: given by the scheduler, given back by a backend that failed."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from cinder_lite import states
from cinder_lite.db import models, volumes
from lite_common import db

TABLE = models.volumes


def place(database: db.Database, volume_id: str, host: str, availability_zone: str) -> bool:
    """Give the volume to `host` (host@backend#pool); False when it is not waiting for a backend (any more)."""
    values = {"host": host, "availability_zone": availability_zone, "scheduled_at": db.utcnow()}
    with database.connection() as conn:
        return db.compare_and_swap(conn, TABLE, {"id": volume_id}, _waiting(None), values)


def give_back(database: db.Database, volume_id: str, host: str) -> bool:
    """Take the volume from `host`, so that the scheduler may give it to another; False when it is not there."""
    with database.connection() as conn:
        values = {"host": None, "scheduled_at": None}
        return db.compare_and_swap(conn, TABLE, {"id": volume_id}, _waiting(host), values)


def waiting(conn: sa.Connection, untouched_for: float) -> list[volumes.Volume]:
    """Volumes that nobody gave to a backend for so many seconds: their message was lost."""
    limit = db.utcnow() - datetime.timedelta(seconds=untouched_for)
    return volumes.in_status(conn, states.CREATING, older_than=limit)


def allocated_gb(conn: sa.Connection, backend: str) -> int:
    """The sizes of all volumes of the backend `host@name` together."""
    total = sa.select(sa.func.coalesce(sa.func.sum(TABLE.c.size), 0))
    return int(conn.execute(total.where(TABLE.c.deleted.is_(False), volumes.belongs(backend))).scalar_one())


def _waiting(host: str | None) -> dict[str, object]:
    return {"status": states.CREATING, "host": host, "deleted": False}
