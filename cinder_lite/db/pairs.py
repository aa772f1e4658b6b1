"""Key-value pairs that users keep with a thing: of volumes and of snapshots, in tables of one form."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from lite_common import db


class Pairs:
    """The pairs in `table`, whose column `owner` names the thing that has them."""

    def __init__(self, table: sa.Table, owner: str) -> None:
        self.table = table
        self.owner = table.c[owner]

    def get(self, conn: sa.Connection, owner_id: str) -> dict[str, str]:
        """The pairs of one thing."""
        return self.of_many(conn, [owner_id]).get(owner_id, {})

    def of_many(self, conn: sa.Connection, owner_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """Pairs by thing, in one statement; things without any are absent."""
        found: dict[str, dict[str, str]] = {}
        if not owner_ids:
            return found
        columns = (self.owner, self.table.c.key, self.table.c.value)
        statement = sa.select(*columns).where(self.owner.in_(owner_ids), self.table.c.deleted.is_(False))
        for owner_id, key, value in conn.execute(statement.order_by(self.table.c.id)):
            found.setdefault(owner_id, {})[key] = value
        return found

    def insert(self, conn: sa.Connection, owner_id: str, values: Mapping[str, str]) -> None:
        """Add the pairs of a thing that has none of these keys."""
        if values:
            now = db.utcnow()
            rows = [
                {self.owner.name: owner_id, "key": key, "value": value, "created_at": now}
                for key, value in values.items()
            ]
            conn.execute(self.table.insert(), rows)

    def write(self, conn: sa.Connection, owner_id: str, values: Mapping[str, str], *, replace: bool) -> dict[str, str]:
        """Set these pairs and, with `replace`, drop all others; returns the whole set.

        To be called inside a transaction that holds the thing's row.
        """
        before = self.get(conn, owner_id)
        stale = [
            key for key in before if (key in values and values[key] != before[key]) or (replace and key not in values)
        ]
        if stale:
            self.drop(conn, owner_id, stale)
        self.insert(conn, owner_id, {key: value for key, value in values.items() if before.get(key) != value})
        return dict(values) if replace else {**before, **values}

    def drop(self, conn: sa.Connection, owner_id: str, keys: Collection[str]) -> bool:
        """Remove these keys; whether there was one."""
        mine = sa.and_(self.owner == owner_id, self.table.c.key.in_(keys), self.table.c.deleted.is_(False))
        gone = {"deleted": True, "deleted_at": db.utcnow()}
        return conn.execute(self.table.update().where(mine).values(gone)).rowcount > 0
