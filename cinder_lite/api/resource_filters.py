"""/resource_filters (3.33): by what each list can be filtered."""

from __future__ import annotations

from typing import Any

from cinder_lite.api import listing
from cinder_lite.api.schemas import answers, queries
from lite_common.wsgi import expose

FILTERS = {
    "volume": listing.VOLUME_FILTERS,
    "snapshot": listing.SNAPSHOT_FILTERS,
    "attachment": listing.ATTACHMENT_FILTERS,
    "message": listing.MESSAGE_FILTERS,
    "pool": listing.POOL_FILTERS,
    "volume_type": listing.TYPE_FILTERS | {"is_public"},
}


class ResourceFiltersController:
    """The filters that users may give."""

    @expose.expose(since="3.33", query=queries.RESOURCE_FILTERS, answer=answers.RESOURCE_FILTERS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Those of all lists, or of the one named by `resource`."""
        wanted = request.value("resource")
        found = {name: filters for name, filters in FILTERS.items() if wanted in (None, name)}
        return {"resource_filters": [{"resource": name, "filters": sorted(filters)} for name, filters in found.items()]}
