"""/messages (3.3): why something failed after its request had been accepted."""

from __future__ import annotations

from typing import Any

from cinder_lite.api import listing, views
from cinder_lite.api.schemas import answers, queries
from cinder_lite.db import messages as rows
from cinder_lite.db import paging
from cinder_lite.volume import api, messages
from lite_common.wsgi import expose

SINCE = "3.3"
# Filters, sorting and pages came with this version.
PAGED = "3.5"


class MessagesController:
    """User messages. `max_limit` is the longest page."""

    def __init__(self, operations: messages.MessageApi, max_limit: int) -> None:
        self._messages = operations
        self._max_limit = max_limit

    @expose.expose(since=SINCE, query=queries.MESSAGES, answer=answers.MESSAGES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The messages of the caller's project, newest first."""
        paged = request.at_least(PAGED)
        wanted = listing.page(request, self._max_limit) if paged else paging.Page(limit=self._max_limit)
        matches = listing.message_filters(request) if paged else paging.Matches()
        project = None if listing.everyone(request) else str(request.context.project_id)
        links = views.Links(request, "messages")
        items = [_view(one, links) for one in self._messages.page(project, matches, wanted)]
        more = expose.page_links(request, "marker", items, wanted.limit) if paged else []
        return {"messages": items} | ({"messages_links": more} if more else {})

    @expose.expose(since=SINCE, answer=answers.MESSAGE)
    def show(self, request: expose.ApiRequest, message_id: str) -> dict[str, Any]:
        """One message."""
        found = self._messages.get(message_id, api.visible_project(request.context))
        return {"message": _view(found, views.Links(request, "messages"))}

    @expose.expose(since=SINCE, status=204)
    def delete(self, request: expose.ApiRequest, message_id: str) -> None:
        """Remove a message."""
        self._messages.delete(message_id, api.visible_project(request.context))


def _view(one: rows.Message, links: views.Links) -> dict[str, Any]:
    answer = {
        "id": one.id,
        "event_id": one.event_id,
        "user_message": messages.text(one.action_id, one.detail_id),
        "message_level": one.message_level,
        "created_at": one.created_at,
        "guaranteed_until": one.expires_at,
        "request_id": one.request_id,
        "links": links.of(one.id),
    }
    about = {"resource_type": one.resource_type, "resource_uuid": one.resource_uuid}
    return answer | {name: value for name, value in about.items() if value}
