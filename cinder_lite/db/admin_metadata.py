"""What the services and administrators note of a volume and users see beside their own metadata: `readonly` ("True" or
"False") and, while it is attached by os-attach, `attached_mode` ("rw" or "ro")."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from cinder_lite import states
from cinder_lite.db import models, volumes
from lite_common import db

TABLE = models.volume_admin_metadata
READONLY, ATTACHED_MODE = "readonly", "attached_mode"
TRUE, FALSE = "True", "False"


def get(conn: sa.Connection, volume_id: str) -> dict[str, str]:
    """The volume's notes."""
    statement = sa.select(TABLE.c.key, TABLE.c.value).where(TABLE.c.volume_id == volume_id, TABLE.c.deleted.is_(False))
    return {key: value for key, value in conn.execute(statement.order_by(TABLE.c.id))}


def set_values(conn: sa.Connection, volume_id: str, values: Mapping[str, str]) -> None:
    """Write these notes, replacing those of the same keys. To be called in a transaction that holds the volume."""
    drop(conn, volume_id, values)
    now = db.utcnow()
    rows = [{"volume_id": volume_id, "key": key, "value": value, "created_at": now} for key, value in values.items()]
    conn.execute(TABLE.insert(), rows)


def drop(conn: sa.Connection, volume_id: str, keys: Collection[str]) -> None:
    """Remove the notes of these keys, if there are any."""
    mine = sa.and_(TABLE.c.volume_id == volume_id, TABLE.c.key.in_(list(keys)), TABLE.c.deleted.is_(False))
    conn.execute(TABLE.update().where(mine).values(deleted=True, deleted_at=db.utcnow()))


def noted(key: str, value: str | None = None) -> sa.Exists:
    """The condition that a row of `volumes` has this note (of this value)."""
    conditions = [TABLE.c.volume_id == volumes.TABLE.c.id, TABLE.c.deleted.is_(False), TABLE.c.key == key]
    return sa.exists().where(*conditions, *([] if value is None else [TABLE.c.value == value]))


def set_readonly(database: db.Database, volume_id: str, project_id: str | None, readonly: bool) -> bool:
    """Note whether the volume may only be read; False when it is not `available` (or not there).

    The volume's row is held meanwhile, so that no attach slips in between.
    """

    def work(conn: sa.Connection) -> bool:
        key = {"id": volume_id, "deleted": False} | ({} if project_id is None else {"project_id": project_id})
        if not db.compare_and_swap(conn, volumes.TABLE, key, {"status": states.AVAILABLE}, {}):
            return False
        set_values(conn, volume_id, {READONLY: TRUE if readonly else FALSE})
        return True

    return database.run(work)
