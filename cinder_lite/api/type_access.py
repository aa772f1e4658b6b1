"""Who may use a private type, a project's default type, and the encryption of types, which is not served."""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import answers
from cinder_lite.api.schemas import type_access as schemas
from cinder_lite.volume import default_types, type_access, types
from lite_common import errors
from lite_common.wsgi import expose

DEFAULTS_SINCE = "3.62"


class TypeAccessController:
    """Projects of private types."""

    def __init__(self, operations: type_access.TypeAccessApi) -> None:
        self._access = operations

    @expose.expose(answer=answers.TYPE_ACCESS)
    def index(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """The projects that may use the type (admin)."""
        found, projects = self._access.projects(type_id)
        return {"volume_type_access": [{"volume_type_id": found, "project_id": project} for project in projects]}

    @expose.expose(status=202, body=schemas.ACTION)
    def perform(self, request: expose.ApiRequest, type_id: str) -> None:
        """Let a project use the type, or no longer (admin)."""
        [(name, value)] = request.body.items()
        perform = {"addProjectAccess": self._access.add, "removeProjectAccess": self._access.remove}.get(name)
        if perform is None:
            raise errors.Invalid(f"There is no such action: {name}. Known: addProjectAccess, removeProjectAccess.")
        perform(type_id, value["project"])


class DefaultTypesController:
    """/default-types (3.62)."""

    def __init__(self, operations: default_types.DefaultTypeApi) -> None:
        self._defaults = operations

    @expose.expose(since=DEFAULTS_SINCE, answer=answers.DEFAULT_TYPES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The default types of all projects that have one of their own (admin)."""
        found = self._defaults.of_projects().items()
        return {"default_types": [_default(project, type_id) for project, type_id in found]}

    @expose.expose(since=DEFAULTS_SINCE, answer=answers.DEFAULT_TYPE)
    def show(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """The project's default type (admin)."""
        return {"default_type": _default(project, self._defaults.of_project(project))}

    @expose.expose(since=DEFAULTS_SINCE, body=schemas.DEFAULT, answer=answers.DEFAULT_TYPE)
    def update(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """Set it (admin)."""
        wanted = request.body["default_type"]["volume_type"]
        return {"default_type": _default(project, self._defaults.set(project, wanted))}

    @expose.expose(since=DEFAULTS_SINCE, status=204)
    def delete(self, request: expose.ApiRequest, project: str) -> None:
        """Let the project have none (admin)."""
        self._defaults.unset(project)


class TypeEncryptionController:
    """No type is encrypted: there is nothing to show, and none can be made."""

    def __init__(self, operations: types.TypeApi) -> None:
        self._types = operations

    @expose.expose(answer=answers.NO_ENCRYPTION)
    def show(self, request: expose.ApiRequest, type_id: str) -> dict[str, Any]:
        """How the type's volumes are encrypted: not at all (admin)."""
        self._types.get(request.context, type_id)
        return {}

    @expose.expose(body={"type": "object"})
    def create(self, request: expose.ApiRequest, type_id: str) -> None:
        """Refused (admin)."""
        self._types.get(request.context, type_id)
        raise errors.NotImplementedHere(
            "Encrypted volumes are not served: no type can have an encryption. Encrypt inside the server."
        )

    @expose.expose()
    def absent(self, request: expose.ApiRequest, type_id: str, what: str) -> None:
        """One part of it, or a change of it: there is none (admin)."""
        self._types.get(request.context, type_id)
        raise errors.NotFound(f"Volume type encryption for type {type_id} does not exist, so there is no {what} of it.")


def _default(project: str, type_id: str) -> dict[str, str]:
    return {"project_id": project, "volume_type_id": type_id}
