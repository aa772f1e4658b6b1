"""`/servers/{id}/os-instance-actions`: what was done to a server, by which request, and how it ended.

The only place where a user learns why an attach failed after it was accepted. Source: Nova API reference, "Servers
actions"; microversions 2.21, 2.51, 2.58, 2.62, 2.66, 2.84.
"""

from __future__ import annotations

from typing import Any
from urllib import parse

from lite_common.wsgi import expose
from nova_lite import policies
from nova_lite.api import paging, server_filters, views
from nova_lite.api.schemas import answers
from nova_lite.api.schemas import instance_actions as schemas
from nova_lite.compute import history
from nova_lite.db import actions

# From here on servers that are deleted still tell of themselves.
DELETED_TOO = "2.21"
PAGED = "2.58"


class InstanceActionsController:
    """Lists and shows actions."""

    def __init__(self, past: history.ServerHistory, max_limit: int) -> None:
        self._past = past
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=answers.INSTANCE_ACTIONS)
    def index(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """The server's actions, the last one first; in pages from 2.58 on."""
        filters = self._filters(request) if request.at_least(PAGED) else actions.ActionFilters()
        found = self._past.list_actions(request.context, server_id, filters, deleted_too=request.at_least(DELETED_TOO))
        answer: dict[str, Any] = {"instanceActions": [_action(request, action) for action in found]}
        if found and filters.limit is not None and len(found) >= filters.limit:
            answer["links"] = [_next(request, found[-1].request_id or "")]
        return answer

    @expose.expose(answer=answers.INSTANCE_ACTION)
    def show(self, request: expose.ApiRequest, server_id: str, request_id: str) -> dict[str, Any]:
        """One action, with its events for admins, and from 2.51 on for everybody."""
        action, events = self._past.get_action(
            request.context, server_id, request_id, deleted_too=request.at_least(DELETED_TOO)
        )
        shown = _action(request, action)
        if request.at_least("2.51") or request.may(policies.EVENTS):
            shown["events"] = [_event(request, event, action.project_id) for event in events]
        return {"instanceAction": shown}

    def _filters(self, request: expose.ApiRequest) -> actions.ActionFilters:
        since = server_filters.moment(request.value("changes-since"), "changes-since")
        before = server_filters.moment(request.value("changes-before"), "changes-before")
        server_filters.check_span(since, before)
        return actions.ActionFilters(
            changes_since=since,
            changes_before=before,
            marker=request.value("marker"),
            limit=paging.limit_of(request, self._max_limit),
        )


def _action(request: expose.ApiRequest, action: actions.Action) -> dict[str, Any]:
    shown = {
        "action": action.action,
        "instance_uuid": action.instance_uuid,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": views.moment_exact(action.start_time),
        "message": action.message,
    }
    if request.at_least(PAGED):
        shown["updated_at"] = views.moment_exact(action.updated_at)
    return shown


def _event(request: expose.ApiRequest, event: actions.Event, project_id: str | None) -> dict[str, Any]:
    """An event; hosts, failures in words and tracebacks are for admins."""
    shown = {
        "event": event.event,
        "start_time": views.moment_exact(event.start_time),
        "finish_time": views.moment_exact(event.finish_time),
        "result": event.result,
    }
    if request.at_least("2.62"):
        shown["hostId"] = views.host_id(project_id, event.host)
    if request.may(policies.EVENTS):
        shown["traceback"] = event.traceback
        if request.at_least("2.62"):
            shown["host"] = event.host
    if request.at_least("2.84") and request.may(policies.EVENTS_DETAILS):
        shown["details"] = event.details
    return shown


def _next(request: expose.ApiRequest, marker: str) -> dict[str, str]:
    query = request.query | {"marker": [marker]}
    return {"rel": "next", "href": f"{request.path_url}?{parse.urlencode(query, doseq=True)}"}
