"""/os-volume-sides: volumes, their attachments and what is really there of their exports. Of this service alone:
upstream has nothing like it."""

from __future__ import annotations

from typing import Any

from cinder_lite import policies
from cinder_lite.api import listing
from cinder_lite.api.schemas import sides as schemas
from cinder_lite.db.sides import AttachmentSide, VolumeSide
from cinder_lite.volume import sides
from lite_common.wsgi import expose


class VolumeSidesController:
    """Volumes as every part of this service sees them. `max_limit` is the longest page."""

    def __init__(self, operations: sides.SidesApi, max_limit: int) -> None:
        self._sides = operations
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=schemas.SIDES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """See all sides of attachments: rows and exports of one volume, or of a page of them.

        A backend that does not answer is named in `unseen`, and the rest is told. `all_tenants`, and where
        things are on a host, are for administrators.
        """
        limit = min(int(request.value("limit") or 0) or self._max_limit, self._max_limit)
        every = listing.everyone(request)
        seen = self._sides.look(
            request.context,
            volume_id=request.value("volume_id"),
            marker=request.value("marker"),
            limit=limit,
            every=every,
        )
        places = request.may(policies.HOST_ATTRIBUTE)
        items = [_volume(one, seen.exports.get(one.id), places) for one in seen.volumes]
        links = [] if request.value("volume_id") else expose.page_links(request, "marker", items, limit)
        return {
            "volume_sides": items,
            "strays": [{"host": host, "volume_id": volume_id} for host, volume_id in seen.strays],
            "unseen": [one if places else one | {"host": None} for one in seen.unseen],
        } | ({"volume_sides_links": links} if links else {})

    @expose.expose(body=schemas.HEAL, answer=schemas.HEALED)
    def heal(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Have the volume's daemon finish or undo what was left of its attachments and exports (admin).

        The answer tells what it did, and what it left as it is and why.
        """
        return {"heal": self._sides.heal(request.context, request.body["heal"]["volume_id"])}


def _volume(one: VolumeSide, export: dict[str, Any] | None, places: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "project_id": one.project_id,
        "status": one.status,
        "attach_status": one.attach_status,
        "migration_status": one.migration_status,
        "size": one.size,
        "host": one.host if places else None,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "attachments": [_attachment(held, places) for held in one.attachments],
        "export": export if places or export is None else _without_places(export),
    }


def _attachment(side: AttachmentSide, places: bool) -> dict[str, Any]:
    one = side.attachment
    connector = one.connector or {}
    return {
        "id": one.id,
        "status": one.attach_status,
        "server_id": one.instance_uuid,
        "host": one.attached_host if places else None,
        "initiator": connector.get("initiator"),
        "connected": one.connection_info is not None or one.connector is not None,
        "device": one.mountpoint,
        "mode": one.attach_mode,
        "created_at": side.created_at,
        "updated_at": side.updated_at,
    }


def _without_places(export: dict[str, Any]) -> dict[str, Any]:
    hidden = dict(export)
    if export["target"] is not None and export["target"].get("path"):
        hidden["target"] = export["target"] | {"path": "(hidden)"}
    if export["bytes"] is not None:
        hidden["bytes"] = export["bytes"] | {"path": "(hidden)"}
    return hidden
