"""`/servers/{id}/tags`: words by which servers are found, from 2.26 on. Source: Nova API reference, "Server tags"."""

from __future__ import annotations

import re
from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import server_metadata as schemas
from nova_lite.compute import server_changes

SINCE = "2.26"


class ServerTagsController:
    """Shows and changes all tags or one."""

    def __init__(self, changes: server_changes.ServerChanges) -> None:
        self._changes = changes

    @expose.expose(since=SINCE, answer=answers.TAGS)
    def index(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """All tags, in order."""
        return {"tags": self._changes.tags(request.context, server_id)}

    @expose.expose(since=SINCE, body=schemas.TAGS, media_types=types.MEDIA_TYPES, answer=answers.TAGS)
    def update_all(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """These tags and no others."""
        self._changes.replace_tags(request.context, server_id, request.body["tags"])
        return {"tags": sorted(set(request.body["tags"]))}

    @expose.expose(status=204, since=SINCE)
    def delete_all(self, request: expose.ApiRequest, server_id: str) -> None:
        """No tags."""
        self._changes.replace_tags(request.context, server_id, (), "delete tags")

    @expose.expose(status=204, since=SINCE)
    def show(self, request: expose.ApiRequest, server_id: str, tag: str) -> None:
        """Whether the server has the tag."""
        if tag not in self._changes.tags(request.context, server_id):
            raise _missing(server_id, tag)

    @expose.expose(status=201, also=(204,), since=SINCE)
    def update(self, request: expose.ApiRequest, server_id: str, tag: str) -> expose.Reply:
        """One tag more; 204 when it is there already."""
        if len(tag) > types.TAG["maxLength"] or not re.search(types.TAG["pattern"], tag):
            raise errors.Invalid(
                f"Tag '{tag}' is invalid. It must be a non empty string without characters '/' and ','. "
                f"Validation error message: it has 1 to {types.TAG['maxLength']} characters"
            )
        if not self._changes.add_tag(request.context, server_id, tag):
            return expose.Reply(status=204)
        return expose.Reply(headers={"Location": request.path_url})

    @expose.expose(status=204, since=SINCE)
    def delete(self, request: expose.ApiRequest, server_id: str, tag: str) -> None:
        """One tag less."""
        if not self._changes.remove_tag(request.context, server_id, tag):
            raise _missing(server_id, tag)


def _missing(server_id: str, tag: str) -> errors.NotFound:
    return errors.NotFound(f"Server {server_id} has no tag '{tag}'")
