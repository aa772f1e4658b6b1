"""Lists of attachments of a project, in one statement (two with a marker)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cinder_lite.db import attachments, models, paging

TABLE = models.volume_attachment

SORT_KEYS: dict[str, sa.ColumnElement[Any]] = {
    "id": TABLE.c.id,
    "created_at": TABLE.c.created_at,
    "attach_status": TABLE.c.attach_status,
    "volume_id": TABLE.c.volume_id,
    "instance_uuid": sa.func.coalesce(TABLE.c.instance_uuid, sa.literal("")),
}


def page(
    conn: sa.Connection, project_id: str | None, matches: paging.Matches, wanted: paging.Page
) -> list[attachments.Attachment]:
    """Attachments whose volume is of that project (None: any) and whose columns match."""
    volume = models.volumes
    statement = sa.select(*attachments.COLUMNS).where(TABLE.c.deleted.is_(False))
    if project_id is not None:
        joined = TABLE.join(volume, volume.c.id == TABLE.c.volume_id)
        statement = statement.select_from(joined).where(volume.c.project_id == project_id)
    statement = statement.where(*matches.conditions(TABLE))
    statement = paging.apply(conn, statement, wanted, SORT_KEYS, TABLE)
    return [attachments.record(row) for row in conn.execute(statement)]
