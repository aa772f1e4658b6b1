"""`/servers/{id}/metadata`: keys and values that users keep with a server.

Source: Nova API reference, "Server metadata".
"""

from __future__ import annotations

from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import server_metadata as schemas
from nova_lite.compute import server_changes


class ServerMetadataController:
    """Shows and changes all items or one."""

    def __init__(self, changes: server_changes.ServerChanges) -> None:
        self._changes = changes

    @expose.expose(answer=answers.METADATA)
    def index(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """All items."""
        return {"metadata": self._changes.metadata(request.context, server_id)}

    @expose.expose(body=schemas.ALL, media_types=types.MEDIA_TYPES, answer=answers.METADATA)
    def create(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """These items too; those that are there already get the new value."""
        asked = request.body["metadata"]
        return {"metadata": self._changes.change_metadata(request.context, server_id, lambda known: known | asked)}

    @expose.expose(body=schemas.ALL, media_types=types.MEDIA_TYPES, answer=answers.METADATA)
    def update_all(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """These items and no others."""
        asked = request.body["metadata"]
        return {"metadata": self._changes.change_metadata(request.context, server_id, lambda known: asked)}

    @expose.expose(answer=answers.META)
    def show(self, request: expose.ApiRequest, server_id: str, key: str) -> dict[str, Any]:
        """One item."""
        known = self._changes.metadata(request.context, server_id)
        return {"meta": {key: _item(known, key)}}

    @expose.expose(body=schemas.ITEM, media_types=types.MEDIA_TYPES, answer=answers.META)
    def update(self, request: expose.ApiRequest, server_id: str, key: str) -> dict[str, Any]:
        """One item with a new value, or a new one."""
        asked = request.body["meta"]
        if key not in asked:
            raise errors.Invalid("Request body and URI mismatch")
        self._changes.change_metadata(request.context, server_id, lambda known: known | asked)
        return {"meta": asked}

    @expose.expose(status=204)
    def delete(self, request: expose.ApiRequest, server_id: str, key: str) -> None:
        """One item less."""

        def without(known: dict[str, str]) -> dict[str, str]:
            _item(known, key)
            return {name: value for name, value in known.items() if name != key}

        self._changes.change_metadata(request.context, server_id, without, "delete metadata")


def _item(known: dict[str, str], key: str) -> str:
    if key not in known:
        raise errors.NotFound("Metadata item was not found")
    return known[key]
