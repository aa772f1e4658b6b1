"""The version documents, by which clients find out what is served here. They need no token.

Source: Block Storage API reference, "API versions".
"""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import answers
from lite_common.wsgi import expose, microversion

KIND = microversion.ApiKind("volume", (3, 0), (3, 71))


class VersionsController:
    """`/` and `/v3`."""

    @expose.expose(status=300, answer=answers.VERSIONS)
    def choices(self, request: expose.ApiRequest) -> dict[str, Any]:
        """All versions, at the root."""
        return _document(request.base_url)

    @expose.expose(answer=answers.VERSIONS)
    def show(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Version 3, in the same form."""
        return _document(request.base_url)


def _document(base: str) -> dict[str, Any]:
    version = {
        "id": "v3.0",
        "status": "CURRENT",
        "version": microversion.text(KIND.maximum),
        "min_version": microversion.text(KIND.minimum),
        "updated": "2023-08-31T00:00:00Z",
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{base}/v3/"},
        ],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }
    return {"versions": [version]}
