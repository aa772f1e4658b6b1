"""/types and their extra specs."""

from __future__ import annotations

from typing import Any

from cinder_lite.api import listing, views
from cinder_lite.api.schemas import answers, queries
from cinder_lite.api.schemas import type_access as access_schemas
from cinder_lite.api.schemas import types as schemas
from cinder_lite.volume import types
from lite_common import errors
from lite_common.wsgi import expose


class TypesController:
    """Volume types."""

    def __init__(self, operations: types.TypeApi, max_limit: int) -> None:
        self._types = operations
        self._max_limit = max_limit

    @expose.expose(answer=answers.TYPES, query=queries.TYPES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of the types that the caller may use."""
        wanted = listing.page(request, self._max_limit)
        found = self._types.page(listing.type_filters(request), wanted)
        items = [views.volume_type(one, request) for one in found]
        links = expose.page_links(request, "marker", items, wanted.limit)
        return {"volume_types": items} | ({"volume_type_links": links} if links else {})

    @expose.expose(answer=answers.TYPE)
    def show(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """One type; `default` for the default one."""
        return {"volume_type": views.volume_type(self._types.get(request.context, type_id), request)}

    @expose.expose(body=schemas.CREATE, answer=answers.TYPE_MADE)
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A new type (admin)."""
        asked = request.body["volume_type"]
        made = self._types.create(
            asked["name"].strip(),
            asked.get("description"),
            asked.get(schemas.ACCESS, True),
            asked.get("extra_specs") or {},
        )
        return {"volume_type": views.volume_type_made(made, request)}

    @expose.expose(body=access_schemas.UPDATE, answer=answers.TYPE_CHANGED)
    def update(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """Change a type's name, description or who may use it (admin)."""
        asked = request.body["volume_type"]
        values = {name: asked[name] for name in ("name", "description", "is_public") if asked.get(name) is not None}
        if not values:
            raise errors.Invalid("Specify volume type name, description, is_public or a combination thereof.")
        if "name" in values:
            values["name"] = values["name"].strip()
            if not values["name"]:
                raise errors.Invalid("Volume type name can not be empty.")
        if "is_public" in values:
            values["is_public"] = listing.flag(str(values["is_public"]), "is_public")
        return {"volume_type": views.volume_type_changed(self._types.update(type_id, values), request)}

    @expose.expose(status=202)
    def delete(self, request: expose.ApiRequest, type_id: str) -> None:
        """Remove a type (admin)."""
        self._types.delete(type_id)

    @expose.expose(answer=answers.SPECS)
    def specs(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """The type's extra specs."""
        found = self._types.get(request.context, type_id)
        return {"extra_specs": views.volume_type(found, request)["extra_specs"]}

    @expose.expose(body=schemas.SPECS, answer=answers.SPECS)
    def set_specs(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """Add or replace extra specs (admin)."""
        self._types.set_specs(type_id, request.body["extra_specs"])
        return {"extra_specs": request.body["extra_specs"]}

    @expose.expose(answer=answers.SPEC)
    def show_spec(self, request: expose.ApiRequest, type_id: str, key: str) -> dict[str, Any]:
        """One extra spec."""
        specs = views.volume_type(self._types.get(request.context, type_id), request)["extra_specs"]
        if key not in specs:
            raise errors.NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
        return {key: specs[key]}

    @expose.expose(body=schemas.SPEC, answer=answers.SPEC)
    def update_spec(self, request: expose.ApiRequest, type_id: str, key: str) -> dict[str, Any]:
        """Set one extra spec (admin); the key in the body must be the path's."""
        if key not in request.body:
            raise errors.Invalid("Request body and URI mismatch")
        self._types.set_specs(type_id, request.body)
        return dict(request.body)

    @expose.expose(status=202)
    def delete_spec(self, request: expose.ApiRequest, type_id: str, key: str) -> None:
        """Remove one extra spec (admin)."""
        self._types.drop_spec(type_id, key)
