"""The user's key-value pairs of a volume."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from cinder_lite.db import models
from lite_common import db

TABLE = models.volume_metadata


def get(conn: sa.Connection, volume_id: str) -> dict[str, str]:
    """The volume's metadata."""
    return of_many(conn, [volume_id]).get(volume_id, {})


def of_many(conn: sa.Connection, volume_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Metadata by volume id, in one statement; volumes without any are absent."""
    found: dict[str, dict[str, str]] = {}
    if not volume_ids:
        return found
    columns = (TABLE.c.volume_id, TABLE.c.key, TABLE.c.value)
    statement = sa.select(*columns).where(TABLE.c.volume_id.in_(volume_ids), TABLE.c.deleted.is_(False))
    for volume_id, key, value in conn.execute(statement.order_by(TABLE.c.id)):
        found.setdefault(volume_id, {})[key] = value
    return found


def shown_of_many(conn: sa.Connection, volume_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """As of_many, with what the services noted of the volumes (`readonly`, `attached_mode`), as volumes are shown."""
    found: dict[str, dict[str, str]] = {}
    if not volume_ids:
        return found
    notes = models.volume_admin_metadata
    parts = [
        sa.select(sa.literal(origin).label("origin"), table.c.id, table.c.volume_id, table.c.key, table.c.value).where(
            table.c.volume_id.in_(volume_ids), table.c.deleted.is_(False)
        )
        for origin, table in enumerate((TABLE, notes))
    ]
    both = sa.union_all(*parts)
    for _, _, volume_id, key, value in conn.execute(both.order_by("origin", "id")):
        found.setdefault(volume_id, {})[key] = value
    return found


def write(conn: sa.Connection, volume_id: str, values: Mapping[str, str], *, replace: bool) -> dict[str, str]:
    """Set these pairs and, with `replace`, drop all others; returns the whole set.

    To be called inside a transaction that holds the volume's row.
    """
    before = get(conn, volume_id)
    stale = [key for key in before if (key in values and values[key] != before[key]) or (replace and key not in values)]
    if stale:
        drop(conn, volume_id, stale)
    now = db.utcnow()
    fresh = [
        {"volume_id": volume_id, "key": key, "value": value, "created_at": now}
        for key, value in values.items()
        if before.get(key) != value
    ]
    if fresh:
        conn.execute(TABLE.insert(), fresh)
    return dict(values) if replace else {**before, **values}


def drop(conn: sa.Connection, volume_id: str, keys: Collection[str]) -> bool:
    """Remove these keys; whether there was one."""
    mine = sa.and_(TABLE.c.volume_id == volume_id, TABLE.c.key.in_(keys), TABLE.c.deleted.is_(False))
    return conn.execute(TABLE.update().where(mine).values(deleted=True, deleted_at=db.utcnow())).rowcount > 0
