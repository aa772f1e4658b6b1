"""Limits of quota classes. The class `default` holds for every project, where it has no limit of its own."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from cinder_lite.db import models
from lite_common import db

TABLE = models.quota_classes
DEFAULT = "default"


def limits(conn: sa.Connection, class_name: str = DEFAULT) -> dict[str, int]:
    """The limits that were set for the class, by resource; -1: none."""
    statement = sa.select(TABLE.c.resource, TABLE.c.hard_limit).where(TABLE.c.class_name == class_name)
    return {row.resource: -1 if row.hard_limit is None else row.hard_limit for row in conn.execute(statement)}


def set_limits(conn: sa.Connection, class_name: str, values: Mapping[str, int]) -> None:
    """Set the class's limits of these resources. To be called inside a transaction."""
    for resource, limit in values.items():
        mine = sa.and_(TABLE.c.class_name == class_name, TABLE.c.resource == resource)
        now = db.utcnow()
        if conn.execute(TABLE.update().where(mine).values(hard_limit=limit, updated_at=now)).rowcount == 0:
            row = {"class_name": class_name, "resource": resource, "hard_limit": limit, "created_at": now}
            conn.execute(TABLE.insert().values({**row, "deleted": False}))
