"""/types and their extra specs."""

from __future__ import annotations

from typing import Any

from cinder_lite.api import policy, views
from cinder_lite.api.schemas import answers
from cinder_lite.api.schemas import types as schemas
from cinder_lite.volume import types
from lite_common import errors
from lite_common.wsgi import expose

MANAGE = "volume_extension:types_manage"
SPECS = "volume_extension:types_extra_specs"


class TypesController:
    """Volume types."""

    def __init__(self, operations: types.TypeApi) -> None:
        self._types = operations

    @expose.expose(answer=answers.TYPES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Every type."""
        return {"volume_types": [views.volume_type(one, request.context) for one in self._types.listed()]}

    @expose.expose(answer=answers.TYPE)
    def show(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """One type; `default` for the default one."""
        return {"volume_type": views.volume_type(self._types.get(type_id), request.context)}

    @expose.expose(body=schemas.CREATE, answer=answers.TYPE)
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A new type (admin)."""
        policy.require_admin(request.context, MANAGE)
        asked = request.body["volume_type"]
        made = self._types.create(
            asked["name"].strip(),
            asked.get("description"),
            asked.get(schemas.ACCESS, True),
            asked.get("extra_specs") or {},
        )
        return {"volume_type": views.volume_type(made, request.context)}

    @expose.expose(status=202)
    def delete(self, request: expose.ApiRequest, type_id: str) -> None:
        """Remove a type (admin)."""
        policy.require_admin(request.context, MANAGE)
        self._types.delete(type_id)

    @expose.expose(answer=answers.SPECS)
    def specs(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """The type's extra specs."""
        return {"extra_specs": views.volume_type(self._types.get(type_id), request.context)["extra_specs"]}

    @expose.expose(body=schemas.SPECS, answer=answers.SPECS)
    def set_specs(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """Add or replace extra specs (admin)."""
        policy.require_admin(request.context, SPECS)
        self._types.set_specs(type_id, request.body["extra_specs"])
        return {"extra_specs": request.body["extra_specs"]}

    @expose.expose(answer=answers.SPEC)
    def show_spec(self, request: expose.ApiRequest, type_id: str, key: str) -> dict[str, Any]:
        """One extra spec."""
        specs = views.volume_type(self._types.get(type_id), request.context)["extra_specs"]
        if key not in specs:
            raise errors.NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
        return {key: specs[key]}

    @expose.expose(body=schemas.SPEC, answer=answers.SPEC)
    def update_spec(self, request: expose.ApiRequest, type_id: str, key: str) -> dict[str, Any]:
        """Set one extra spec (admin); the key in the body must be the path's."""
        policy.require_admin(request.context, SPECS)
        if key not in request.body:
            raise errors.Invalid("Request body and URI mismatch")
        self._types.set_specs(type_id, request.body)
        return dict(request.body)

    @expose.expose(status=202)
    def delete_spec(self, request: expose.ApiRequest, type_id: str, key: str) -> None:
        """Remove one extra spec (admin)."""
        policy.require_admin(request.context, SPECS)
        self._types.drop_spec(type_id, key)
