"""`/os-attachment-sides`: attachments as rows, guests, hosts and sessions see them. Of this service alone: upstream has
nothing like it."""

from __future__ import annotations

from typing import Any

from lite_common.wsgi import expose
from nova_lite import policies
from nova_lite.api import paging, views
from nova_lite.api.schemas import sides as schemas
from nova_lite.api.schemas import types
from nova_lite.compute import sides
from nova_lite.db.sides import RowSide
from nova_lite.volume import connection_info as connection_information


class AttachmentSidesController:
    """Attachments as every part of this service sees them. `max_limit` is the longest page."""

    def __init__(self, operations: sides.SidesApi, max_limit: int) -> None:
        self._sides = operations
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=schemas.SIDES)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """See all sides of attachments: rows, guests and hosts, of one server, of one volume, or of a page of all.

        A host that does not answer is named in `unseen`, and the rest is told. `all_tenants` and the names of hosts
        are for administrators.
        """
        limit = paging.limit_of(request, self._max_limit)
        every = bool(request.context.is_admin and types.is_true(request.value("all_tenants") or "false"))
        seen = self._sides.look(
            request.context,
            server_id=request.value("server_id"),
            volume_id=request.value("volume_id"),
            marker=request.value("marker"),
            limit=limit,
            every=every,
        )
        places = request.may(policies.EXTENDED_ATTRIBUTES)
        items = [_row(one, seen.compute.get(one.device.uuid), places) for one in seen.rows]
        links = expose.page_links(request, "marker", items, limit)
        hidden = {} if places else {"host": None}
        return {
            "attachment_sides": items,
            "strays": [one | hidden for one in seen.strays],
            "unseen": [one | hidden for one in seen.unseen],
        } | ({"attachment_sides_links": links} if links else {})

    @expose.expose(body=schemas.HEAL, media_types=types.MEDIA_TYPES, answer=schemas.HEALED)
    def heal(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Have the server's nova-compute finish or undo what was left of the attachment (admin).

        The answer tells what it did, and what it left as it is and why.
        """
        asked = request.body["heal"]
        return {"heal": self._sides.heal(request.context, asked["server_id"], asked["volume_id"])}


def _row(one: RowSide, compute: dict[str, Any] | None, places: bool) -> dict[str, Any]:
    device = one.device
    info = device.connection_info
    return {
        "id": device.uuid,
        "server_id": device.instance_uuid,
        "server_name": one.server_name,
        "volume_id": device.volume_id,
        "attachment_id": device.attachment_id,
        "project_id": one.project_id,
        "host": one.host if places else None,
        "vm_state": one.vm_state,
        "task_state": one.task_state,
        "device": device.device_name,
        "connected": info is not None,
        "device_path": connection_information.device_path(info) if info is not None else None,
        "created_at": views.moment_exact(one.created_at),
        "updated_at": views.moment_exact(one.updated_at),
        "compute": compute,
    }
