"""Which projects may use a private volume type, and which type is a project's default."""

from __future__ import annotations

import sqlalchemy as sa

from cinder_lite.db import models
from lite_common import db

ACCESS = models.volume_type_projects
DEFAULTS = models.default_volume_types


def usable(project_id: str | None) -> sa.ColumnElement[bool]:
    """The condition that a type is public, or that this project may use it (None: any type)."""
    types = models.volume_types
    if project_id is None:
        return sa.true()
    allowed = sa.exists().where(ACCESS.c.volume_type_id == types.c.id, ACCESS.c.project_id == project_id)
    return sa.or_(types.c.is_public.is_(True), allowed)


def projects(conn: sa.Connection, type_id: str) -> list[str]:
    """The projects that may use the type, the longest-standing first."""
    statement = sa.select(ACCESS.c.project_id).where(ACCESS.c.volume_type_id == type_id)
    return list(conn.execute(statement.order_by(ACCESS.c.id)).scalars())


def add(conn: sa.Connection, type_id: str, project_id: str) -> bool:
    """Let the project use the type; False when it might already."""
    try:
        conn.execute(
            ACCESS.insert().values(volume_type_id=type_id, project_id=project_id, created_at=db.utcnow(), deleted=False)
        )
    except db.Duplicate:
        return False
    return True


def remove(conn: sa.Connection, type_id: str, project_id: str) -> bool:
    """Let the project use the type no longer; False when it might not."""
    mine = sa.and_(ACCESS.c.volume_type_id == type_id, ACCESS.c.project_id == project_id)
    return conn.execute(ACCESS.delete().where(mine)).rowcount > 0


def forget(conn: sa.Connection, type_id: str) -> None:
    """Remove what is noted here of a type that is deleted."""
    conn.execute(ACCESS.delete().where(ACCESS.c.volume_type_id == type_id))


def defaults(conn: sa.Connection, project_id: str | None = None) -> dict[str, str]:
    """The default type's id by project, of one project or of all that have one of their own."""
    statement = sa.select(DEFAULTS.c.project_id, DEFAULTS.c.volume_type_id).order_by(DEFAULTS.c.project_id)
    if project_id is not None:
        statement = statement.where(DEFAULTS.c.project_id == project_id)
    return {row.project_id: row.volume_type_id for row in conn.execute(statement)}


def set_default(conn: sa.Connection, project_id: str, type_id: str) -> None:
    """Make the type the project's default."""
    mine = DEFAULTS.c.project_id == project_id
    now = db.utcnow()
    if conn.execute(DEFAULTS.update().where(mine).values(volume_type_id=type_id, updated_at=now)).rowcount:
        return
    row = {"project_id": project_id, "volume_type_id": type_id, "created_at": now, "deleted": False}
    try:
        conn.execute(DEFAULTS.insert().values(row))
    except db.Duplicate:
        conn.execute(DEFAULTS.update().where(mine).values(volume_type_id=type_id, updated_at=now))


def unset_default(conn: sa.Connection, project_id: str) -> None:
    """Let the project have no default type of its own."""
    conn.execute(DEFAULTS.delete().where(DEFAULTS.c.project_id == project_id))


def is_default(conn: sa.Connection, type_id: str) -> bool:
    """Whether the type is some project's default."""
    return (
        conn.execute(sa.select(DEFAULTS.c.project_id).where(DEFAULTS.c.volume_type_id == type_id)).first() is not None
    )
