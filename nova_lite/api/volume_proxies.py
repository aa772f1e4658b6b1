"""`/os-volumes` and `/os-snapshots` (until 2.35): Cinder's volumes and snapshots for clients that know Nova only.

Source: Nova API reference, "Volume extension (os-volumes, os-snapshots) (DEPRECATED)".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lite_common.wsgi import expose
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import volume_proxies as schemas
from nova_lite.volume import proxy

LAST = "2.35"
VOLUMES, SNAPSHOTS = "volumes", "snapshots"
NAMES = {"display_name": "name", "display_description": "description"}


class VolumeProxiesController:
    """Passes requests on, and turns the answers into Nova's form of them."""

    def __init__(self, cinder: proxy.VolumeProxy) -> None:
        self._cinder = cinder

    @expose.expose(until=LAST, query=schemas.LIST, answer=answers.PROXY_VOLUMES)
    def volumes(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The project's volumes."""
        return self._listed(request, VOLUMES, _volume)

    @expose.expose(until=LAST, query=schemas.LIST, answer=answers.PROXY_VOLUMES)
    def volumes_detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The same: both lists tell everything."""
        return self._listed(request, VOLUMES, _volume)

    @expose.expose(until=LAST, answer=answers.PROXY_VOLUME)
    def show_volume(self, request: expose.ApiRequest, volume_id: str) -> dict[str, Any]:
        """One volume."""
        return {"volume": _volume(self._cinder.shown(request.context, VOLUMES, volume_id))}

    @expose.expose(until=LAST, body=schemas.CREATE_VOLUME, media_types=types.MEDIA_TYPES, answer=answers.PROXY_VOLUME)
    def create_volume(self, request: expose.ApiRequest) -> expose.Reply:
        """Begin to make a volume."""
        asked = {NAMES.get(name, name): value for name, value in request.body["volume"].items()}
        made = self._cinder.made(request.context, VOLUMES, asked)
        headers = {"Location": f"{request.path_url}/{made['id']}"}
        return expose.Reply({"volume": _volume(made)}, headers=headers)

    @expose.expose(status=202, until=LAST)
    def delete_volume(self, request: expose.ApiRequest, volume_id: str) -> None:
        """Begin to delete a volume."""
        self._cinder.deleted(request.context, VOLUMES, volume_id)

    @expose.expose(until=LAST, query=schemas.LIST, answer=answers.PROXY_SNAPSHOTS)
    def snapshots(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The project's snapshots."""
        return self._listed(request, SNAPSHOTS, _snapshot)

    @expose.expose(until=LAST, query=schemas.LIST, answer=answers.PROXY_SNAPSHOTS)
    def snapshots_detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The same."""
        return self._listed(request, SNAPSHOTS, _snapshot)

    @expose.expose(until=LAST, answer=answers.PROXY_SNAPSHOT)
    def show_snapshot(self, request: expose.ApiRequest, snapshot_id: str) -> dict[str, Any]:
        """One snapshot."""
        return {"snapshot": _snapshot(self._cinder.shown(request.context, SNAPSHOTS, snapshot_id))}

    @expose.expose(
        until=LAST, body=schemas.CREATE_SNAPSHOT, media_types=types.MEDIA_TYPES, answer=answers.PROXY_SNAPSHOT
    )
    def create_snapshot(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Begin to make a snapshot; `force` allows one of a volume in use."""
        asked = {NAMES.get(name, name): value for name, value in request.body["snapshot"].items()}
        asked["force"] = types.is_true(asked.get("force", False))
        return {"snapshot": _snapshot(self._cinder.made(request.context, SNAPSHOTS, asked))}

    @expose.expose(status=202, until=LAST)
    def delete_snapshot(self, request: expose.ApiRequest, snapshot_id: str) -> None:
        """Begin to delete a snapshot."""
        self._cinder.deleted(request.context, SNAPSHOTS, snapshot_id)

    def _listed(
        self, request: expose.ApiRequest, kind: str, view: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        # In Nova's older kind of paging, 0 asks for nothing special.
        page = {name: int(request.value(name) or 0) for name in ("limit", "offset")}
        found = self._cinder.listed(request.context, kind, {name: number for name, number in page.items() if number})
        return {kind: [view(one) for one in found]}


def _volume(shown: dict[str, Any]) -> dict[str, Any]:
    attached = shown.get("attachments") or []
    return _common(shown) | {
        "availabilityZone": shown["availability_zone"],
        "volumeType": shown["volume_type"],
        "snapshotId": shown["snapshot_id"],
        "metadata": shown["metadata"],
        # Nova tells the first one only, and an empty one where there is none.
        "attachments": [_attachment(shown["id"], attached[0]) if attached else {}],
    }


def _attachment(volume_id: str, attached: dict[str, Any]) -> dict[str, Any]:
    told = {"id": volume_id, "volumeId": volume_id, "serverId": attached["server_id"]}
    return told | ({"device": attached["device"]} if attached.get("device") else {})


def _snapshot(shown: dict[str, Any]) -> dict[str, Any]:
    return _common(shown) | {"volumeId": shown["volume_id"]}


def _common(shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": shown["id"],
        "status": shown["status"],
        "size": shown["size"],
        "createdAt": shown["created_at"],
        "displayName": shown["name"],
        "displayDescription": shown["description"],
    }
