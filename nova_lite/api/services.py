"""`/os-services` and `/os-availability-zone`: which daemons report, and where guests can run. Read only."""

from __future__ import annotations

from typing import Any

from lite_common import db
from lite_common.wsgi import expose
from nova_lite.api import views
from nova_lite.api.schemas import answers
from nova_lite.api.schemas import services as schemas
from nova_lite.db import services


class ServicesController:
    """Lists daemons and availability zones; `down_time` is after how many silent seconds a daemon counts as down."""

    def __init__(self, database: db.Database, down_time: float) -> None:
        self._database = database
        self._down_time = down_time

    @expose.expose(query=schemas.LIST, answer=answers.SERVICES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The daemons, for admins."""
        found = services.list_all(
            self._database, host=request.value("host") or None, binary=request.value("binary") or None
        )
        return {"services": [views.service(request, record, self._down_time) for record in found]}

    @expose.expose(answer=answers.ZONES)
    def zones(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The one zone that guests run in, and whether there is a host up in it."""
        found = services.list_all(self._database)
        up = any(views.zone_of(record) == views.ZONE and record.is_up(self._down_time) for record in found)
        return {"availabilityZoneInfo": [_zone(views.ZONE, up, None)]}

    @expose.expose(answer=answers.ZONES)
    def zones_detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Every zone with its hosts, for admins."""
        zones: dict[str, dict[str, Any]] = {}
        for record in services.list_all(self._database):
            hosts = zones.setdefault(views.zone_of(record), {})
            hosts.setdefault(record.host, {})[record.binary] = {
                "active": not record.disabled,
                "available": record.is_up(self._down_time),
                "updated_at": views.moment_exact(record.last_seen_up),
            }
        return {"availabilityZoneInfo": [_zone(name, True, hosts) for name, hosts in zones.items()]}


def _zone(name: str, available: bool, hosts: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": hosts}
