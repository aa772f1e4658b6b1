"""Which type a volume gets for which none was asked: the project's default (API 3.62), else the configured one."""

from __future__ import annotations

from typing import Any

from cinder_lite import errors
from cinder_lite.db import type_access, types
from lite_common import context, db
from lite_common import errors as common_errors


def visible_to(ctx: context.RequestContext) -> str | None:
    """The project whose private types the caller may use; None (all) for an admin."""
    return None if ctx.is_admin else str(ctx.project_id)


def resolve(conn: Any, ctx: context.RequestContext, asked: str | None, configured: str) -> types.VolumeType:
    """The type of that id or name, or the default where none is asked for.

    Raises errors.VolumeTypeNotFound, also for a private type of others; errors.DefaultTypeMissing.
    """
    if asked is not None:
        return types.get(conn, asked, visible_to(ctx))
    own = type_access.defaults(conn, str(ctx.project_id)).get(str(ctx.project_id))
    found = types.find(conn, own or configured)
    if found is None:
        raise errors.DefaultTypeMissing(name=configured)
    return found


class DefaultTypeApi:
    """The projects' default types; for administrators."""

    def __init__(self, database: db.Database) -> None:
        self._db = database

    def of_projects(self) -> dict[str, str]:
        """The default type's id by project."""
        with self._db.connection() as conn:
            return type_access.defaults(conn)

    def of_project(self, project_id: str) -> str:
        """The id of the project's default type. Raises errors.NotFound when it has none of its own."""
        with self._db.connection() as conn:
            found = type_access.defaults(conn, project_id).get(project_id)
        if found is None:
            raise common_errors.NotFound(f"Default type for project {project_id} not found.")
        return found

    def set(self, project_id: str, id_or_name: str) -> str:
        """Make the type the project's default; its id. Raises errors.VolumeTypeNotFound, also when the project may
        not use the type."""

        def work(conn: Any) -> str:
            found = types.get(conn, id_or_name, project_id)
            type_access.set_default(conn, project_id, found.id)
            return found.id

        return self._db.run(work)

    def unset(self, project_id: str) -> None:
        """Let the project have no default of its own; nothing happens when it has none."""
        with self._db.connection() as conn:
            type_access.unset_default(conn, project_id)
