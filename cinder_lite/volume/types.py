"""Volume types: read by everybody, made and changed by administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder_lite.db import paging, type_access, type_lists, types
from cinder_lite.volume import default_types
from lite_common import context, db, errors


class TypeApi:
    """Operations on volume types. `default` is the name of the type used where none is asked for."""

    def __init__(self, database: db.Database, default: str) -> None:
        self._db = database
        self._default = default

    def page(self, filters: type_lists.Filters, wanted: paging.Page) -> list[types.VolumeType]:
        """A page of types."""
        with self._db.connection() as conn:
            return type_lists.page(conn, filters, wanted)

    def get(self, ctx: context.RequestContext, id_or_name: str) -> types.VolumeType:
        """The type of that id or name; `default` finds the default type of the caller's project.

        Raises errors.VolumeTypeNotFound, also for a private type that the caller may not use.
        """
        with self._db.connection() as conn:
            if id_or_name == "default":
                return default_types.resolve(conn, ctx, None, self._default)
            return types.get(conn, id_or_name, default_types.visible_to(ctx))

    def create(self, name: str, description: str | None, is_public: bool, specs: Mapping[str, str]) -> types.VolumeType:
        """A new type. Raises errors.Conflict when the name is taken."""

        def work(conn: Any) -> str:
            if types.find(conn, name) is not None:
                raise errors.Conflict(f"Volume Type {name} already exists.")
            _refuse_cached_and_shared(specs)
            return types.insert(conn, name, description, is_public, specs)

        return self._of_id(self._db.run(work))

    def update(self, type_id: str, values: Mapping[str, Any]) -> types.VolumeType:
        """Write name, description, is_public, as far as given; the type afterwards.

        Raises errors.Conflict when the name is taken, errors.Invalid for a new name of the default type, by which the
        configuration knows it.
        """

        def work(conn: Any) -> str:
            found = types.get(conn, type_id)
            name = values.get("name", found.name)
            if name != found.name and found.name == self._default:
                raise errors.Invalid(
                    f"Volume type {found.name} is the default type: the option default_volume_type names it, "
                    "so it keeps its name."
                )
            if name != found.name and types.find(conn, name) is not None:
                raise errors.Conflict(f"Volume Type {name} already exists.")
            types.update(conn, found.id, values)
            return found.id

        return self._of_id(self._db.run(work))

    def delete(self, type_id: str) -> None:
        """Remove a type. Raises errors.Invalid for the default type and for one that volumes have."""

        def work(conn: Any) -> None:
            found = types.get(conn, type_id)
            if found.name == self._default:
                raise errors.Invalid(f"Volume type {found.name} is the default type and cannot be deleted.")
            if type_access.is_default(conn, found.id):
                raise errors.Invalid(
                    f"Volume type {found.name} is the default type of a project and cannot be deleted."
                )
            if types.in_use(conn, found.id):
                raise errors.Invalid(f"Volume type {found.name} is in use: there are volumes of this type.")
            types.destroy(conn, found.id)
            type_access.forget(conn, found.id)

        self._db.run(work)

    def set_specs(self, type_id: str, specs: Mapping[str, str]) -> None:
        """Add or replace extra specs. Raises errors.Invalid while a volume has the type."""

        def work(conn: Any) -> None:
            found = self._changeable(conn, type_id)
            _refuse_cached_and_shared({**found.extra_specs, **specs})
            types.set_specs(conn, found.id, specs)

        self._db.run(work)

    def drop_spec(self, type_id: str, key: str) -> None:
        """Remove an extra spec. Raises errors.NotFound, errors.Invalid while a volume has the type."""

        def work(conn: Any) -> None:
            found = self._changeable(conn, type_id)
            if not types.drop_specs(conn, found.id, [key]):
                raise errors.NotFound(f"Volume Type {found.id} has no extra specs with key {key}.")

        self._db.run(work)

    def _of_id(self, type_id: str) -> types.VolumeType:
        with self._db.connection() as conn:
            return types.get(conn, type_id)

    def _changeable(self, conn: Any, type_id: str) -> types.VolumeType:
        found = types.get(conn, type_id)
        if types.in_use(conn, found.id):
            raise errors.Invalid(
                f"Volume type {found.name} is in use; its extra specs cannot be changed while there are volumes of it."
            )
        return found


def _refuse_cached_and_shared(specs: Mapping[str, str]) -> None:
    if all(specs.get(key, "").strip().lower() == "<is> true" for key in ("cacheable", "multiattach")):
        raise errors.Invalid("cacheable cannot be set with multiattach.")
