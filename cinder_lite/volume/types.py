"""Volume types: read by everybody, made and changed by administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder_lite.db import types
from lite_common import db, errors


class TypeApi:
    """Operations on volume types. `default` is the name of the type used where none is asked for."""

    def __init__(self, database: db.Database, default: str) -> None:
        self._db = database
        self._default = default

    def listed(self) -> list[types.VolumeType]:
        """Every type."""
        with self._db.connection() as conn:
            return types.all_types(conn)

    def get(self, id_or_name: str) -> types.VolumeType:
        """The type of that id or name; `default` finds the default type. Raises errors.VolumeTypeNotFound."""
        with self._db.connection() as conn:
            return types.get(conn, self._default if id_or_name == "default" else id_or_name)

    def create(self, name: str, description: str | None, is_public: bool, specs: Mapping[str, str]) -> types.VolumeType:
        """A new type. Raises errors.Conflict when the name is taken."""

        def work(conn: Any) -> str:
            if types.find(conn, name) is not None:
                raise errors.Conflict(f"Volume Type {name} already exists.")
            return types.insert(conn, name, description, is_public, specs)

        return self.get(self._db.run(work))

    def delete(self, type_id: str) -> None:
        """Remove a type. Raises errors.Invalid for the default type and for one that volumes have."""

        def work(conn: Any) -> None:
            found = types.get(conn, type_id)
            if found.name == self._default:
                raise errors.Invalid(f"Volume type {found.name} is the default type and cannot be deleted.")
            if types.in_use(conn, found.id):
                raise errors.Invalid(f"Volume type {found.name} is in use: there are volumes of this type.")
            types.destroy(conn, found.id)

        self._db.run(work)

    def set_specs(self, type_id: str, specs: Mapping[str, str]) -> None:
        """Add or replace extra specs. Raises errors.Invalid while a volume has the type."""

        def work(conn: Any) -> None:
            found = self._changeable(conn, type_id)
            types.set_specs(conn, found.id, specs)

        self._db.run(work)

    def drop_spec(self, type_id: str, key: str) -> None:
        """Remove an extra spec. Raises errors.NotFound, errors.Invalid while a volume has the type."""

        def work(conn: Any) -> None:
            found = self._changeable(conn, type_id)
            if not types.drop_specs(conn, found.id, [key]):
                raise errors.NotFound(f"Volume Type {found.id} has no extra specs with key {key}.")

        self._db.run(work)

    def _changeable(self, conn: Any, type_id: str) -> types.VolumeType:
        found = types.get(conn, type_id)
        if types.in_use(conn, found.id):
            raise errors.Invalid(
                f"Volume type {found.name} is in use; its extra specs cannot be changed while there are volumes of it."
            )
        return found
