"""/attachments (3.27): reserve, connect, complete (3.44), remove, list, show."""

from __future__ import annotations

from typing import Any

from cinder_lite.api import listing, views
from cinder_lite.api.schemas import answers, queries
from cinder_lite.api.schemas import attachments as schemas
from cinder_lite.volume import attachments
from lite_common import errors
from lite_common.wsgi import expose

SINCE = "3.27"


class AttachmentsController:
    """Attachments. `max_limit` is the longest page."""

    def __init__(self, operations: attachments.AttachmentApi, max_limit: int) -> None:
        self._attachments = operations
        self._max_limit = max_limit

    @expose.expose(since=SINCE, body=schemas.CREATE, answer=answers.ATTACHMENT)
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Reserve a volume for a server and, with a connector, connect it."""
        asked = request.body["attachment"]
        made = self._attachments.create(
            request.context,
            asked["volume_uuid"],
            asked.get("instance_uuid"),
            asked.get("connector"),
            asked.get("mode"),
        )
        return {"attachment": views.attachment_detail(made)}

    @expose.expose(since=SINCE, query=queries.ATTACHMENTS, answer=answers.ATTACHMENTS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of attachments in short."""
        return self._page(request, views.attachment_summary)

    @expose.expose(since=SINCE, query=queries.ATTACHMENTS, answer=answers.ATTACHMENTS_DETAIL)
    def detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of attachments with all fields."""
        return self._page(request, views.attachment_detail)

    @expose.expose(since=SINCE, answer=answers.ATTACHMENT)
    def show(self, request: expose.ApiRequest, attachment_id: str) -> dict[str, Any]:
        """One attachment."""
        return {"attachment": views.attachment_detail(self._attachments.show(request.context, attachment_id))}

    @expose.expose(since=SINCE, body=schemas.UPDATE, answer=answers.ATTACHMENT)
    def update(self, request: expose.ApiRequest, attachment_id: str) -> dict[str, Any]:
        """Connect the attachment's host."""
        connector = request.body["attachment"]["connector"]
        updated = self._attachments.update(request.context, attachment_id, connector)
        return {"attachment": views.attachment_detail(updated)}

    @expose.expose(since=SINCE, answer=answers.ATTACHMENTS)
    def delete(self, request: expose.ApiRequest, attachment_id: str) -> dict[str, Any]:
        """Remove an attachment; those that the volume has left."""
        left = self._attachments.delete(request.context, attachment_id)
        return {"attachments": [views.attachment_summary(one) for one in left]}

    @expose.expose(since="3.44", status=204, body=schemas.ACTION)
    def perform(self, request: expose.ApiRequest, attachment_id: str) -> None:
        """The one action there is: os-complete."""
        if "os-complete" not in request.body:
            raise errors.Invalid(f"There is no such action: {next(iter(request.body))}. Known: os-complete.")
        self._attachments.complete(request.context, attachment_id)

    def _page(self, request: expose.ApiRequest, view: Any) -> dict[str, Any]:
        wanted = listing.page(request, self._max_limit)
        project = None if listing.everyone(request) else str(request.context.project_id)
        if request.context.is_admin and request.value("project_id"):
            project = request.value("project_id")
        found = self._attachments.page(project, listing.attachment_filters(request), wanted)
        items = [view(one) for one in found]
        links = expose.page_links(request, "marker", items, wanted.limit)
        return {"attachments": items} | ({"attachments_links": links} if links else {})
