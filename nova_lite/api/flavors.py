"""`/flavors`: the sizes a server can have. Read only."""

from __future__ import annotations

import operator
from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite import flavors
from nova_lite.api import paging, views
from nova_lite.api.schemas import answers
from nova_lite.api.schemas import flavors as schemas

SORT_KEYS = {
    "flavorid": "id",
    "id": "id",
    "name": "name",
    "memory_mb": "memory_mb",
    "vcpus": "vcpus",
    "root_gb": "root_gb",
    "ephemeral_gb": "ephemeral_gb",
    "swap": "swap_mb",
}


class FlavorsController:
    """Lists and shows flavors."""

    def __init__(self, table: flavors.FlavorTable, max_limit: int) -> None:
        self._table = table
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=answers.FLAVORS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Ids and names."""
        return self._listed(request, detailed=False)

    @expose.expose(query=schemas.LIST, answer=answers.FLAVORS_DETAIL)
    def detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """All there is to say."""
        return self._listed(request, detailed=True)

    @expose.expose(answer=answers.FLAVOR)
    def show(self, request: expose.ApiRequest, flavor_id: str) -> dict[str, Any]:
        """One flavor."""
        return {"flavor": views.flavor(request, self._table.get(flavor_id))}

    @expose.expose(answer=answers.SPECS)
    def extra_specs(self, request: expose.ApiRequest, flavor_id: str) -> dict[str, Any]:
        """What a scheduler would be told beyond the sizes."""
        return {"extra_specs": dict(self._table.get(flavor_id).extra_specs)}

    @expose.expose(answer=answers.SPEC)
    def extra_spec(self, request: expose.ApiRequest, flavor_id: str, key: str) -> dict[str, Any]:
        """One extra spec."""
        specs = self._table.get(flavor_id).extra_specs
        if key not in specs:
            raise errors.NotFound(f"Flavor {flavor_id} has no extra specs with key {key}.")
        return {key: specs[key]}

    def _listed(self, request: expose.ApiRequest, *, detailed: bool) -> dict[str, Any]:
        limit = paging.limit_of(request, self._max_limit)
        chosen = self._chosen(request)
        page = paging.page_of(chosen, request.value("marker"), limit, operator.attrgetter("id"))
        view = views.flavor if detailed else views.flavor_summary
        answer: dict[str, Any] = {"flavors": [view(request, flavor) for flavor in page]}
        if links := expose.page_links(request, "marker", answer["flavors"], limit):
            answer["flavors_links"] = links
        return answer

    def _chosen(self, request: expose.ApiRequest) -> list[flavors.Flavor]:
        memory, disk = _minimum(request, "minRam"), _minimum(request, "minDisk")
        found = [flavor for flavor in self._table.all() if flavor.memory_mb >= memory and flavor.root_gb >= disk]
        # Every flavor here is public, so an admin who asks for the others gets none.
        if request.context.is_admin and (request.value("is_public") or "").lower() in ("0", "f", "false", "no", "off"):
            return []
        key = SORT_KEYS.get(request.value("sort_key") or "")
        if key or request.value("sort_dir"):
            found.sort(key=operator.attrgetter(key or "id"), reverse=request.value("sort_dir") == "desc")
        return found


def _minimum(request: expose.ApiRequest, name: str) -> int:
    text = request.value(name)
    if text is None:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise errors.Invalid(f"Invalid {name} filter [{text}]")
    return int(text)
