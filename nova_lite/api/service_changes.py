"""Changes to `/os-services`: close a host to new servers and open it, say that it is dead, forget it. For admins.

Source: Nova API reference, "Compute services"; microversions 2.11, 2.53.
"""

from __future__ import annotations

from typing import Any

from lite_common import db, errors
from lite_common.wsgi import expose
from nova_lite.api import views
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import services as schemas
from nova_lite.db import services
from nova_lite.db.services import ServiceRecord

BY_UUID = "2.53"


class ServiceChangesController:
    """Changes and forgets daemons; `down_time` is after how many silent seconds one counts as down."""

    def __init__(self, database: db.Database, down_time: float) -> None:
        self._database = database
        self._down_time = down_time

    @expose.expose(body=schemas.UPDATE, media_types=types.MEDIA_TYPES, answer=answers.SERVICE)
    def update(self, request: expose.ApiRequest, named: str) -> dict[str, Any]:
        """The daemon as changed. Before 2.53 `named` is what to do, since then the daemon."""
        if not request.at_least(BY_UUID):
            return self._act(request, named)
        service = self._find(request, named)
        values = _values(request.body)
        if service.binary != services.COMPUTE:
            raise errors.Invalid(
                f"Updating a {service.binary} service is not supported. Only nova-compute services can be updated."
            )
        services.change(self._database, service, **values)
        return {"service": views.service(request, self._find(request, named), self._down_time)}

    @expose.expose(status=204)
    def delete(self, request: expose.ApiRequest, named: str) -> None:
        """Forget a daemon that is no more."""
        if not services.forget(self._database, self._find(request, named)):
            raise errors.Conflict(
                "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
            )

    def _act(self, request: expose.ApiRequest, action: str) -> dict[str, Any]:
        asked = request.body
        told: dict[str, Any] = {"host": asked["host"], "binary": asked["binary"]}
        if action in ("enable", "disable"):
            values: dict[str, Any] = {"disabled": action == "disable", "disabled_reason": None}
            told["status"] = f"{action}d"
        elif action == "disable-log-reason":
            reason = _required(asked, "disabled_reason")
            values = {"disabled": True, "disabled_reason": reason}
            told |= {"status": "disabled", "disabled_reason": reason}
        elif action == "force-down" and request.at_least("2.11"):
            values = {"forced_down": types.is_true(_required(asked, "forced_down"))}
            told |= values
        else:
            raise errors.NotFound("Unknown action")
        found = services.list_all(self._database, host=asked["host"], binary=asked["binary"])
        if not found:
            raise errors.NotFound(f"Could not find binary {asked['binary']} on host {asked['host']}.")
        services.change(self._database, found[0], **values)
        return {"service": told}

    def _find(self, request: expose.ApiRequest, named: str) -> ServiceRecord:
        by_uuid = request.at_least(BY_UUID)
        if by_uuid and not expose.is_uuid(named):
            raise errors.Invalid(f"Invalid uuid {named}")
        for service in services.list_all(self._database):
            if named == (service.uuid if by_uuid else str(service.id)):
                return service
        raise errors.NotFound(f"Service {named} could not be found.")


def _values(asked: dict[str, Any]) -> dict[str, Any]:
    """The columns that a request writes. Raises errors.Invalid for one that says nothing, or a reason for nothing."""
    if "disabled_reason" in asked and asked.get("status") != "disabled":
        raise errors.Invalid("Specifying disabled_reason requires that status is 'disabled'.")
    values: dict[str, Any] = {}
    if "status" in asked:
        values = {"disabled": asked["status"] == "disabled", "disabled_reason": asked.get("disabled_reason")}
    if "forced_down" in asked:
        values["forced_down"] = types.is_true(asked["forced_down"])
    if not values:
        raise errors.Invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    return values


def _required(asked: dict[str, Any], name: str) -> Any:
    if name not in asked:
        raise errors.Invalid(f"Missing {name} field")
    return asked[name]
