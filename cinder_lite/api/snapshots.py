"""/snapshots: create, list, show, update, delete, metadata, actions."""

from __future__ import annotations

from typing import Any

from cinder_lite import errors
from cinder_lite.api import listing, snapshot_views
from cinder_lite.api.schemas import answers, queries
from cinder_lite.api.schemas import snapshots as schemas
from cinder_lite.api.schemas import volumes as volume_schemas
from cinder_lite.volume import snapshots
from lite_common import errors as common_errors
from lite_common.wsgi import expose

# The first version at which an attached volume needs no force, and may not be refused by it.
FORCED_SINCE = "3.66"
ACTIONS = ("os-reset_status", "os-force_delete", "os-update_snapshot_status")


class SnapshotsController:
    """Snapshots. `max_limit` is the longest page."""

    def __init__(self, operations: snapshots.SnapshotApi, max_limit: int) -> None:
        self._snapshots = operations
        self._max_limit = max_limit

    @expose.expose(status=202, body=schemas.CREATE, answer=answers.SNAPSHOT_MADE)
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Begin to make a snapshot."""
        asked = request.body["snapshot"]
        wanted = snapshots.CreateRequest(
            volume_id=str(asked["volume_id"]),
            attached=_attached(request, asked),
            name=_text(asked, "name"),
            description=_text(asked, "description"),
            metadata=asked.get("metadata") or {},
        )
        shown = self._snapshots.create(request.context, wanted)
        return {"snapshot": snapshot_views.every(request, shown)[0]}

    @expose.expose(answer=answers.SNAPSHOTS, query=queries.SNAPSHOTS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of snapshots."""
        return self._page(request, extended=False)

    @expose.expose(answer=answers.SNAPSHOTS_DETAIL, query=queries.SNAPSHOTS)
    def detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of snapshots with all fields."""
        return self._page(request, extended=True)

    @expose.expose(answer=answers.SNAPSHOT)
    def show(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, Any]:
        """One snapshot."""
        shown = self._snapshots.show(request.context, snapshot_id)
        return {"snapshot": snapshot_views.every(request, shown, extended=True)[0]}

    @expose.expose(body=schemas.UPDATE, answer=answers.SNAPSHOT_MADE)
    def update(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, Any]:
        """Change name and description."""
        asked = request.body["snapshot"]
        columns = {
            f"display_{key}": _text(asked, key)
            for key in ("name", "description")
            if key in asked or f"display_{key}" in asked
        }
        shown = self._snapshots.update(request.context, snapshot_id, columns)
        return {"snapshot": snapshot_views.every(request, shown)[0]}

    @expose.expose(status=202)
    def delete(self, request: expose.ApiRequest, snapshot_id: str) -> None:
        """Begin to delete a snapshot."""
        self._snapshots.delete(request.context, snapshot_id)

    @expose.expose(status=202, body=schemas.ACTION)
    def perform(self, request: expose.ApiRequest, snapshot_id: str) -> None:
        """An action: os-reset_status and os-force_delete of administrators, os-update_snapshot_status."""
        [(name, value)] = request.body.items()
        if name == "os-reset_status":
            self._snapshots.reset(request.context, snapshot_id, value["status"])
        elif name == "os-force_delete":
            self._snapshots.delete(request.context, snapshot_id, force=True)
        elif name == "os-update_snapshot_status":
            self._snapshots.tell(request.context, snapshot_id, value["status"], value.get("progress"))
        elif name == "os-unmanage":
            raise common_errors.NotImplementedHere(f"Action {name} is not served here.")
        else:
            raise common_errors.Invalid(f"There is no such action: {name}. Known: {', '.join(ACTIONS)}.")

    @expose.expose(answer=answers.METADATA)
    def metadata(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, Any]:
        """The snapshot's metadata."""
        return {"metadata": self._metadata(request, snapshot_id)}

    @expose.expose(body=volume_schemas.METADATA, answer=answers.METADATA)
    def merge_metadata(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, Any]:
        """Add pairs to the metadata."""
        pairs = request.body["metadata"]
        return {"metadata": self._snapshots.write_metadata(request.context, snapshot_id, pairs, replace=False)}

    @expose.expose(body=volume_schemas.METADATA, answer=answers.METADATA)
    def replace_metadata(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, Any]:
        """Replace the whole metadata."""
        pairs = request.body["metadata"]
        return {"metadata": self._snapshots.write_metadata(request.context, snapshot_id, pairs, replace=True)}

    @expose.expose(answer=answers.META)
    def show_meta(self, request: expose.ApiRequest, snapshot_id: str, key: str) -> dict[str, Any]:
        """One pair."""
        pairs = self._metadata(request, snapshot_id)
        if key not in pairs:
            raise errors.SnapshotMetadataKeyNotFound(snapshot_id=snapshot_id, key=key)
        return {"meta": {key: pairs[key]}}

    @expose.expose(body=volume_schemas.META, answer=answers.META)
    def update_meta(self, request: expose.ApiRequest, snapshot_id: str, key: str) -> dict[str, Any]:
        """Set one pair; the key in the body must be the path's."""
        pairs = request.body["meta"]
        if key not in pairs:
            raise common_errors.Invalid("Request body and URI mismatch")
        self._snapshots.write_metadata(request.context, snapshot_id, pairs, replace=False)
        return {"meta": pairs}

    @expose.expose()
    def delete_meta(self, request: expose.ApiRequest, snapshot_id: str, key: str) -> None:
        """Remove one pair."""
        self._snapshots.drop_metadata(request.context, snapshot_id, key)

    def _metadata(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, str]:
        return dict(self._snapshots.show(request.context, snapshot_id).metadata.get(snapshot_id, {}))

    def _page(self, request: expose.ApiRequest, *, extended: bool) -> dict[str, Any]:
        wanted = listing.page(request, self._max_limit)
        filters = listing.snapshot_filters(request)
        items = snapshot_views.every(request, self._snapshots.page(filters, wanted), extended=extended)
        answer: dict[str, Any] = {"snapshots": items}
        links = expose.page_links(request, "marker", items, wanted.limit)
        if links:
            answer["snapshots_links"] = links
        if request.at_least("3.45") and listing.flag(request.value("with_count") or "false", "with_count"):
            answer["count"] = self._snapshots.count(filters)
        return answer


def _attached(request: expose.ApiRequest, asked: dict[str, Any]) -> bool:
    """Whether the volume may be in use. Raises errors.InvalidInput for a force that says otherwise from 3.66 on."""
    given = asked.get("force")
    forced = given is not None and listing.flag(str(given), "force")
    if not request.at_least(FORCED_SINCE):
        return forced
    if given is not None and not forced:
        raise errors.InvalidInput(
            reason="force is always on from microversion 3.66: leave it out, or do not set it to false."
        )
    return True


def _text(asked: dict[str, Any], key: str) -> str | None:
    """The text under its name or its old name, without surrounding blanks."""
    found = asked.get(key, asked.get(f"display_{key}"))
    return found.strip() if isinstance(found, str) else found
