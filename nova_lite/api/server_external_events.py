"""`os-server-external-events`: what another service tells of a server. Cinder tells that a volume has grown."""

from __future__ import annotations

from typing import Any

from lite_common.wsgi import expose
from nova_lite.api.schemas import answers
from nova_lite.api.schemas import server_external_events as schemas
from nova_lite.compute import external_events


class ServerExternalEventsController:
    """Takes events of services and administrators."""

    def __init__(self, events: external_events.ExternalEventApi) -> None:
        self._events = events

    @expose.expose(also=(207,), body=schemas.CREATE, answer=answers.EVENTS)
    def create(self, request: expose.ApiRequest) -> Any:
        """Pass the events on; 200 when all were taken, else 207 with the code of each."""
        told = []
        for event in request.body["events"]:
            status = event.get("status", "completed")
            code = self._events.dispatch(request.context, event["name"], event["server_uuid"], event.get("tag"))
            told.append({**event, "status": status if code == external_events.TAKEN else "failed", "code": code})
        taken = all(one["code"] == external_events.TAKEN for one in told)
        return expose.Reply({"events": told}, status=200 if taken else 207)
