"""What is here and at which versions: the documents by which clients find their way before anything else.

Served without a token and without microversion headers. Source: Nova API reference, "API Versions"; Glance API
reference, "API versions".
"""

from __future__ import annotations

from typing import Any

from lite_common.wsgi import expose, microversion
from nova_lite.api.schemas import answers

COMPUTE = microversion.ApiKind("compute", (2, 1), (2, 101), "X-OpenStack-Nova-API-Version")
# The image API is read only; this is the version whose list and show it has.
IMAGE_VERSION = "v2.9"


class VersionsController:
    """Version documents of the compute API (`/`, `/v2`, `/v2.1`) and of the image API (`/image`, `/image/versions`)."""

    @expose.expose(answer=answers.VERSIONS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Every version of the compute API."""
        return {"versions": [_legacy(request.base_url), _current(request.base_url)]}

    @expose.expose(answer=answers.VERSION)
    def show_legacy(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The version without microversions."""
        return {"version": _detailed(_legacy(request.base_url), "2")}

    @expose.expose(answer=answers.VERSION)
    def show(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The version with microversions; clients read `version` and `min_version` here."""
        return {"version": _detailed(_current(request.base_url), "2.1")}

    @expose.expose(status=300, answer=answers.VERSIONS)
    def image_choices(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The versions of the image API, as its root tells them."""
        return _image_versions(request.base_url)

    @expose.expose(answer=answers.VERSIONS)
    def image_index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The versions of the image API."""
        return _image_versions(request.base_url)


def _legacy(base: str) -> dict[str, Any]:
    return {
        "id": "v2.0",
        "status": "DEPRECATED",
        "version": "",
        "min_version": "",
        "updated": "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/v2/"}],
    }


def _current(base: str) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": microversion.text(COMPUTE.maximum),
        "min_version": microversion.text(COMPUTE.minimum),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/v2.1/"}],
    }


def _detailed(entry: dict[str, Any], media_version: str) -> dict[str, Any]:
    described_by = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
    media_type = f"application/vnd.openstack.compute+json;version={media_version}"
    return entry | {
        "links": [*entry["links"], described_by],
        "media-types": [{"base": "application/json", "type": media_type}],
    }


def _image_versions(base: str) -> dict[str, Any]:
    link = {"rel": "self", "href": f"{base}/image/v2/"}
    return {"versions": [{"id": IMAGE_VERSION, "status": "CURRENT", "links": [link]}]}
