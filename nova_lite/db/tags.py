"""Statements on `tags`: the words that users put on their servers."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from lite_common import db, errors
from nova_lite.db.models import tags as table

ATTEMPTS = 5


def of_servers(database: db.Database, server_ids: Collection[str]) -> dict[str, list[str]]:
    """The tags of many servers, in order, in one statement."""
    found: dict[str, list[str]] = {server_id: [] for server_id in server_ids}
    if not found:
        return found
    wanted = (
        sa.select(table.c.resource_id, table.c.tag)
        .where(table.c.resource_id.in_(list(found)))
        .order_by(table.c.resource_id, table.c.tag)
    )
    with database.connection() as conn:
        for server_id, tag in conn.execute(wanted):
            found[server_id].append(tag)
    return found


def replace(database: db.Database, server_id: str, tags: Collection[str]) -> None:
    """Let the server have these tags and no others."""
    rows = [{"resource_id": server_id, "tag": tag} for tag in set(tags)]

    def work(conn: sa.Connection) -> None:
        conn.execute(table.delete().where(table.c.resource_id == server_id))
        if rows:
            conn.execute(table.insert(), rows)

    for _ in range(ATTEMPTS):
        try:
            database.run(work)
            return
        except db.Duplicate:
            # Somebody gave the server one of them between the two statements.
            continue
    raise errors.Conflict(f"The tags of instance {server_id} are changed by others all the time. Try again.")


def add(database: db.Database, server_id: str, tag: str, *, at_most: int) -> bool | None:
    """Give the server the tag: True when it is new, False when it was there, None when there are `at_most` others."""
    mine = sa.select(sa.func.count()).select_from(table).where(table.c.resource_id == server_id)

    def work(conn: sa.Connection) -> bool | None:
        if conn.execute(mine.where(table.c.tag == tag)).scalar():
            return False
        if (conn.execute(mine).scalar() or 0) >= at_most:
            return None
        conn.execute(table.insert().values(resource_id=server_id, tag=tag))
        return True

    try:
        return database.run(work)
    except db.Duplicate:
        return False


def remove(database: db.Database, server_id: str, tag: str) -> bool:
    """Take the tag from the server; False when it was not there."""
    with database.connection() as conn:
        gone = conn.execute(table.delete().where(table.c.resource_id == server_id, table.c.tag == tag))
        return gone.rowcount == 1
