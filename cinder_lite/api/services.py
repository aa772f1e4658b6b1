"""/os-services, /os-availability-zone and /scheduler-stats: who is there and what room they have."""

from __future__ import annotations

from typing import Any

from cinder_lite.api import listing, views
from cinder_lite.api.schemas import admin as schemas
from cinder_lite.api.schemas import answers, queries
from cinder_lite.volume import admin, api
from lite_common import errors
from lite_common.wsgi import expose

# Cinder's other actions, by the microversion that brought them.
UNSERVED = {
    "freeze": "3.0",
    "thaw": "3.0",
    "failover_host": "3.0",
    "failover": "3.26",
    "set-log": "3.32",
    "get-log": "3.32",
}


class ServicesController:
    """Daemons, zones and pools."""

    def __init__(self, operations: admin.AdminApi, volumes: api.VolumeApi) -> None:
        self._admin = operations
        self._volumes = volumes

    @expose.expose(query=queries.SERVICES, answer=answers.SERVICES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The daemons, up or down (admin)."""
        binary = request.value("binary") or request.value("service")
        found = self._admin.listed(request.value("host"), binary)
        return {"services": [views.service(one, self._admin.down_after, request) for one in found]}

    @expose.expose(body=schemas.SERVICE, answer=answers.SERVICE)
    def enable(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Let a daemon get new volumes again (admin)."""
        return self._set(request, disabled=False)

    @expose.expose(body=schemas.SERVICE, answer=answers.SERVICE)
    def disable(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Let a daemon get no new volumes (admin)."""
        return self._set(request, disabled=True)

    @expose.expose(body=schemas.SERVICE_REASON, answer=answers.SERVICE)
    def disable_log_reason(self, request: expose.ApiRequest) -> dict[str, Any]:
        """As disable, with a reason that others can read (admin)."""
        told = self._set(request, disabled=True)
        return told | {"disabled_reason": request.body["disabled_reason"]}

    @expose.expose()
    def unserved(self, request: expose.ApiRequest, action: str) -> None:
        """Replication, clusters and remote log levels are not served (admin)."""
        since = UNSERVED.get(action)
        if since is None or not request.at_least(since):
            raise errors.NotFound(f"Unknown action {action} of services.")
        raise errors.NotImplementedHere(f"Action {action} of services is not served here.")

    @expose.expose(answer=answers.ZONES)
    def zones(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Availability zones."""
        found = sorted(self._volumes.zones().items())
        return {
            "availabilityZoneInfo": [
                {"zoneName": name, "zoneState": {"available": available}} for name, available in found
            ]
        }

    @expose.expose(query=queries.POOLS, answer=answers.POOLS)
    def pools(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The backends' pools as the scheduler sees them (admin)."""
        detail = listing.flag(request.value("detail") or "false", "detail")
        asked = listing.pool_filters(request)
        found = self._admin.pools(request.context, asked.get("name"), asked.get("volume_type"))
        return {"pools": found if detail else [{"name": pool["name"]} for pool in found]}

    def _set(self, request: expose.ApiRequest, *, disabled: bool) -> dict[str, Any]:
        body = request.body
        binary = body.get("binary") or body["service"]
        changed = self._admin.set_disabled(body["host"], binary, disabled, body.get("disabled_reason"))
        if changed.host != body["host"]:
            raise errors.NotFound(f"Service {binary} on host {body['host']} could not be found.")
        return {
            "host": changed.host,
            "service": changed.binary,
            "binary": changed.binary,
            "disabled": changed.disabled,
            "status": "disabled" if changed.disabled else "enabled",
        }
