"""`/image/v2/images`: as much of the Image service API as clients need to turn an image's name into its id. Read only.

Served beside the compute API so that a machine without an image service is enough. Source: Image service API v2
reference, "List images" and "Show image".
"""

from __future__ import annotations

import datetime
import operator
from typing import Any
from urllib import parse

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite import images
from nova_lite.api import paging
from nova_lite.api.schemas import answers
from nova_lite.api.schemas import images as schemas

PAGE = 25
NOT_FILTERS = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "size_min", "size_max"})
SORT_KEYS = frozenset({"name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"})


class ImagesController:
    """Lists and shows images."""

    def __init__(self, store: images.ImageStore, max_limit: int) -> None:
        self._store = store
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=answers.IMAGES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The images that match the filters, sorted, a page at a time."""
        found = [shown for shown in map(_view, self._store.all()) if _matches(shown, request.query)]
        for key, reverse in reversed(_order(request)):
            found.sort(key=operator.itemgetter(key), reverse=reverse)
        limit = min(int(request.value("limit") or PAGE), self._max_limit)
        page = paging.page_of(found, request.value("marker"), limit, lambda shown: str(shown["id"]))
        answer = {"images": page, "schema": "/v2/schemas/images", "first": _link(request, None)}
        if page and page[-1] is not found[-1]:
            answer["next"] = _link(request, page[-1]["id"])
        return answer

    @expose.expose(answer=answers.IMAGE)
    def show(self, request: expose.ApiRequest, image_id: str) -> dict[str, Any]:
        """One image."""
        return _view(self._store.get(image_id))


def _view(image: images.Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "name": image.name,
        "status": "active",
        "visibility": "public",
        "protected": True,
        "os_hidden": False,
        "owner": None,
        "container_format": "bare",
        "disk_format": image.disk_format,
        "size": image.size,
        "virtual_size": None,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "created_at": _text(image.created_at),
        "updated_at": _text(image.updated_at),
        "tags": [],
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }


def _text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _matches(shown: dict[str, Any], query: dict[str, list[str]]) -> bool:
    """Whether the image passes every filter; `in:a,b` is any of them, a property that no image has matches none."""
    for name, values in query.items():
        if name in NOT_FILTERS:
            continue
        if name == "tag":
            return False
        wanted = values[-1]
        options = wanted[3:].split(",") if wanted.startswith("in:") else [wanted]
        if name == "visibility" and wanted == "all":
            continue
        value = shown.get(name)
        if (str(value).lower() if isinstance(value, bool) else str(value)) not in options:
            return False
    return _within(shown["size"], query)


def _within(size: int, query: dict[str, list[str]]) -> bool:
    for name, keeps in (("size_min", lambda bound: size >= bound), ("size_max", lambda bound: size <= bound)):
        text = query.get(name, ["0"])[-1]
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise errors.Invalid(f"Invalid value for option {name}: {text}")
        if name in query and not keeps(int(text)):
            return False
    return True


def _order(request: expose.ApiRequest) -> list[tuple[str, bool]]:
    """Keys to sort by with whether each goes down, the first one first. Raises errors.Invalid for an unknown one."""
    if text := request.value("sort"):
        pairs = [part.strip().partition(":")[::2] for part in text.split(",")]
    else:
        directions = request.query.get("sort_dir") or ["desc"]
        pairs = [
            (key, directions[min(place, len(directions) - 1)])
            for place, key in enumerate(request.query.get("sort_key") or ["created_at"])
        ]
    for key, direction in pairs:
        if key not in SORT_KEYS:
            raise errors.Invalid(
                f"Invalid sort key: {key}. It must be one of the following: {', '.join(sorted(SORT_KEYS))}."
            )
        if direction not in ("", "asc", "desc"):
            raise errors.Invalid(f"Invalid sort direction: {direction}. It must be asc or desc.")
    return [(key, direction != "asc") for key, direction in pairs]


def _link(request: expose.ApiRequest, marker: str | None) -> str:
    query = {name: values for name, values in request.query.items() if name != "marker"}
    if marker:
        query["marker"] = [marker]
    return f"/v2/images?{parse.urlencode(query, doseq=True)}".rstrip("?")
