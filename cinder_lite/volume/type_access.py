"""Who may use a private volume type. Administrators only; public types have no list."""

from __future__ import annotations

from typing import Any

from cinder_lite.db import type_access as rows
from cinder_lite.db import types
from lite_common import db, errors


class TypeAccessApi:
    """Operations on the projects of private types."""

    def __init__(self, database: db.Database) -> None:
        self._db = database

    def projects(self, type_id: str) -> tuple[str, list[str]]:
        """The type's id and the projects that may use it. Raises errors.NotFound, also for a public type."""
        with self._db.connection() as conn:
            found = types.get(conn, type_id)
            if found.is_public:
                raise errors.NotFound("Access list not available for public volume types.")
            return found.id, rows.projects(conn, found.id)

    def add(self, type_id: str, project_id: str) -> None:
        """Let the project use the type. Raises errors.Invalid for a public type, errors.Conflict when it may."""
        with self._db.connection() as conn:
            found = self._private(conn, type_id)
            if not rows.add(conn, found.id, project_id):
                raise errors.Conflict(f"Volume type access for {found.id} / {project_id} combination already exists.")

    def remove(self, type_id: str, project_id: str) -> None:
        """Let the project use the type no longer. Raises errors.Invalid for a public type, errors.NotFound."""
        with self._db.connection() as conn:
            found = self._private(conn, type_id)
            if not rows.remove(conn, found.id, project_id):
                raise errors.NotFound(f"Volume type access not found for {found.id} / {project_id} combination.")

    def _private(self, conn: Any, type_id: str) -> types.VolumeType:
        found = types.get(conn, type_id)
        if found.is_public:
            raise errors.Invalid("Type access modification is not applicable to public volume type.")
        return found
