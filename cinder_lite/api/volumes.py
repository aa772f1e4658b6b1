"""/volumes: create, list, show, update, delete, metadata."""

from __future__ import annotations

from typing import Any

from cinder_lite import errors, policies
from cinder_lite.api import listing, views
from cinder_lite.api.schemas import answers, queries
from cinder_lite.api.schemas import volumes as schemas
from cinder_lite.db import volume_lists
from cinder_lite.volume import api, requests
from lite_common import errors as common_errors
from lite_common.wsgi import expose

# What a volume could be made from in Cinder, and what it is called there. None of it exists here.
ABSENT_SOURCES = {
    "backup_id": "Backup",
    "group_id": "Group",
    "consistencygroup_id": "ConsistencyGroup",
}
UNSERVED_SOURCES = ("imageRef", "image_id")


class VolumesController:
    """Volumes. `max_limit` is the longest page."""

    def __init__(self, volumes: api.VolumeApi, max_limit: int) -> None:
        self._volumes = volumes
        self._max_limit = max_limit

    @expose.expose(status=202, body=schemas.CREATE, answer=answers.VOLUME_MADE)
    def create(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Begin to make a volume."""
        asked = request.body["volume"]
        hints = request.body.get(schemas.HINTS) or {}
        self._refuse_sources(request, asked)
        wanted = requests.CreateRequest(
            size=asked.get("size"),
            name=_text(asked, "name"),
            description=_text(asked, "description"),
            volume_type=asked.get("volume_type") or None,
            availability_zone=asked.get("availability_zone") or None,
            metadata=asked.get("metadata") or {},
            scheduler_hints=hints,
            snapshot_id=asked.get("snapshot_id") or None,
            source_volid=asked.get("source_volid") or None,
        )
        return {"volume": _one(request, self._volumes.create(request.context, wanted), extended=False)}

    @expose.expose(query=queries.VOLUMES, answer=answers.VOLUMES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of ids and names."""
        return self._page(request, detail=False)

    @expose.expose(query=queries.VOLUMES, answer=answers.VOLUMES_DETAIL)
    def detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of volumes with all fields."""
        return self._page(request, detail=True)

    @expose.expose(since="3.12", query=queries.SUMMARY, answer=answers.SUMMARY)
    def summary(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Number and size of the project's volumes."""
        filters = listing.volume_filters(request)
        number, size = self._volumes.count(filters)
        told: dict[str, Any] = {"total_count": number, "total_size": size}
        if request.at_least("3.36"):
            told["metadata"] = self._volumes.distinct_metadata(filters)
        return {"volume-summary": told}

    @expose.expose(answer=answers.VOLUME)
    def show(self, request: expose.ApiRequest, volume_id: str) -> dict[str, Any]:
        """One volume."""
        return {"volume": _one(request, self._volumes.show(request.context, volume_id), extended=True)}

    @expose.expose(body=schemas.UPDATE, answer=answers.VOLUME_MADE)
    def update(self, request: expose.ApiRequest, volume_id: str) -> dict[str, Any]:
        """Change name, description, metadata."""
        asked = request.body["volume"]
        columns = {
            f"display_{key}": _text(asked, key)
            for key in ("name", "description")
            if key in asked or f"display_{key}" in asked
        }
        pairs = asked.get("metadata")
        return {
            "volume": _one(request, self._volumes.update(request.context, volume_id, columns, pairs), extended=False)
        }

    @expose.expose(status=202, query=queries.DELETE)
    def delete(self, request: expose.ApiRequest, volume_id: str) -> None:
        """Begin to delete a volume."""
        cascade, force = (listing.flag(request.value(name) or "false", name) for name in ("cascade", "force"))
        force = force and request.at_least("3.23")
        if force:
            request.require(policies.FORCE_DELETE)
        self._volumes.delete(request.context, volume_id, cascade=cascade, force=force)

    @expose.expose(answer=answers.METADATA)
    def metadata(self, request: expose.ApiRequest, volume_id: str) -> dict[str, Any]:
        """The volume's metadata."""
        return {"metadata": self._volumes.metadata(request.context, volume_id)}

    @expose.expose(body=schemas.METADATA, answer=answers.METADATA)
    def merge_metadata(self, request: expose.ApiRequest, volume_id: str) -> dict[str, Any]:
        """Add pairs to the metadata."""
        pairs = request.body["metadata"]
        return {"metadata": self._volumes.write_metadata(request.context, volume_id, pairs, replace=False)}

    @expose.expose(body=schemas.METADATA, answer=answers.METADATA)
    def replace_metadata(self, request: expose.ApiRequest, volume_id: str) -> dict[str, Any]:
        """Replace the whole metadata."""
        pairs = request.body["metadata"]
        return {"metadata": self._volumes.write_metadata(request.context, volume_id, pairs, replace=True)}

    @expose.expose(answer=answers.META)
    def show_meta(self, request: expose.ApiRequest, volume_id: str, key: str) -> dict[str, Any]:
        """One pair."""
        pairs = self._volumes.metadata(request.context, volume_id)
        if key not in pairs:
            raise errors.MetadataKeyNotFound(key=key, volume_id=volume_id)
        return {"meta": {key: pairs[key]}}

    @expose.expose(body=schemas.META, answer=answers.META)
    def update_meta(self, request: expose.ApiRequest, volume_id: str, key: str) -> dict[str, Any]:
        """Set one pair; the key in the body must be the path's."""
        pairs = request.body["meta"]
        if key not in pairs:
            raise common_errors.Invalid("Request body and URI mismatch")
        self._volumes.write_metadata(request.context, volume_id, pairs, replace=False)
        return {"meta": pairs}

    @expose.expose()
    def delete_meta(self, request: expose.ApiRequest, volume_id: str, key: str) -> None:
        """Remove one pair."""
        self._volumes.drop_metadata(request.context, volume_id, key)

    def _page(self, request: expose.ApiRequest, *, detail: bool) -> dict[str, Any]:
        wanted = listing.page(request, self._max_limit)
        filters = listing.volume_filters(request)
        shown = self._volumes.page(filters, wanted, detail=detail)
        view = views.VolumeView(request)
        items = view.detail(shown) if detail else view.summary(shown)
        answer: dict[str, Any] = {"volumes": items}
        links = expose.page_links(request, "marker", items, wanted.limit)
        if links:
            answer["volumes_links"] = links
        if request.at_least("3.45") and listing.flag(request.value("with_count") or "false", "with_count"):
            answer["count"] = self._volumes.count(filters)[0]
        return answer

    def _refuse_sources(self, request: expose.ApiRequest, asked: dict[str, Any]) -> None:
        if asked.get("multiattach") and listing.flag(str(asked["multiattach"]), "multiattach"):
            raise common_errors.Invalid(
                "multiattach parameter has been removed. Use a volume type with the extra spec multiattach='<is> True'."
            )
        for key, kind in ABSENT_SOURCES.items():
            if asked.get(key):
                raise common_errors.NotFound(f"{kind} {asked[key]} could not be found.")
        for key in UNSERVED_SOURCES:
            if asked.get(key):
                raise common_errors.Invalid(
                    f"Volumes cannot be made from {key} {asked[key]} here. Leave it out to get an empty volume."
                )


def _one(request: expose.ApiRequest, shown: volume_lists.Shown, *, extended: bool) -> dict[str, Any]:
    return views.VolumeView(request, extended=extended).detail(shown)[0]


def _text(asked: dict[str, Any], key: str) -> str | None:
    """The text under its name or its old name, without surrounding blanks."""
    found = asked.get(key, asked.get(f"display_{key}"))
    return found.strip() if isinstance(found, str) else found
