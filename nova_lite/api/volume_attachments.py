"""`/servers/{id}/os-volume_attachments`: which volumes a server has. The last path element is always a volume's id.

This is where an attach begins: `create` hands over to `compute.api`, which reserves and sends the work to the host.
Source: Nova API reference, "Servers with volume attachments"; microversions 2.49, 2.70, 2.79, 2.85, 2.89, 2.101.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite import errors as nova_errors
from nova_lite import policies
from nova_lite.api import paging
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import volume_attachments as schemas
from nova_lite.compute import attach_api
from nova_lite.db import attachments

# From here on servers that are shelved may get volumes and lose them.
SHELVED_TOO = "2.20"
# From here on a row is known by its Cinder attachment, and one that has none is not shown.
BY_ATTACHMENT = "2.89"
# From here on the answer to an attach promises no device name, and has no body.
NO_DEVICE = "2.101"


class VolumeAttachmentsController:
    """Lists, shows, makes, changes and takes away the volumes of a server."""

    def __init__(self, volumes: attach_api.AttachmentApi, max_limit: int) -> None:
        self._volumes = volumes
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=answers.ATTACHMENTS)
    def index(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """The volumes of the server. Unlike in Nova, `limit` and `offset` count volumes only, not other disks."""
        found = self._volumes.list_attachments(
            request.context,
            server_id,
            limit=paging.attachments_limit_of(request, self._max_limit),
            offset=int(request.value("offset") or 0),
            by_attachment=request.at_least(BY_ATTACHMENT),
        )
        return {"volumeAttachments": list(map(view(request), found))}

    @expose.expose(answer=answers.ATTACHMENT)
    def show(self, request: expose.ApiRequest, server_id: str, volume_id: str) -> dict[str, Any]:
        """One volume of the server."""
        device = self._volumes.get_attachment(request.context, server_id, volume_id)
        if request.at_least(BY_ATTACHMENT) and device.attachment_id is None:
            raise nova_errors.VolumeNotAttached(server=server_id, volume=volume_id)
        return {"volumeAttachment": view(request)(device)}

    @expose.expose(
        status={"2.1": 200, NO_DEVICE: 202},
        body=schemas.CREATE,
        media_types=types.MEDIA_TYPES,
        answer=answers.ATTACHMENT_MADE,
    )
    def create(self, request: expose.ApiRequest, server_id: str) -> expose.Reply:
        """Attach a volume. Answers with the reserved device name, from 2.101 on without a body."""
        asked = request.body["volumeAttachment"]
        device = self._volumes.attach_volume(
            request.context,
            server_id,
            asked["volumeId"],
            device=asked.get("device"),
            tag=asked.get("tag"),
            delete_on_termination=types.is_true(asked.get("delete_on_termination", False)),
            shelved_too=request.at_least(SHELVED_TOO),
        )
        if request.at_least(NO_DEVICE):
            return expose.Reply()
        shown: dict[str, Any] = {
            "id": device.volume_id,
            "serverId": device.instance_uuid,
            "volumeId": device.volume_id,
            "device": device.device_name,
        }
        if request.at_least("2.70"):
            shown["tag"] = device.tag
        if request.at_least("2.79"):
            shown["delete_on_termination"] = device.delete_on_termination
        return expose.Reply({"volumeAttachment": shown})

    @expose.expose(status=202, body=schemas.UPDATE, media_types=types.MEDIA_TYPES)
    def update(self, request: expose.ApiRequest, server_id: str, volume_id: str) -> None:
        """Change whether the volume is deleted with its server, and (between services only) which volume it is.

        Before 2.85 every request was for the latter; since then the first comes first.
        """
        # First, as Nova: whether there is such a server is heard before who may swap its volumes.
        self._volumes.get_server(request.context, server_id)
        asked = request.body["volumeAttachment"]
        swap = not request.at_least("2.85") or asked["volumeId"] != volume_id
        if swap:
            request.require(policies.SWAP)
        if request.at_least("2.85"):
            self._update(request, server_id, volume_id, asked)
        if swap:
            self._volumes.swap_volume(request.context, server_id, volume_id, asked["volumeId"])

    def _update(self, request: expose.ApiRequest, server_id: str, volume_id: str, asked: dict[str, Any]) -> None:
        try:
            device = self._volumes.get_attachment(request.context, server_id, volume_id)
        except nova_errors.VolumeNotAttached as err:
            raise errors.NotFound(f"No volume Block Device Mapping with id {volume_id}.") from err
        stored = {"id": volume_id, "serverId": server_id, "device": device.device_name, "tag": device.tag}
        for name, value in stored.items():
            if name in asked and asked[name] != value:
                raise errors.Invalid(f"The {name} property is not mutable")
        if "delete_on_termination" in asked:
            wanted = types.is_true(asked["delete_on_termination"])
            self._volumes.set_delete_on_termination(request.context, server_id, volume_id, wanted)

    @expose.expose(status=202)
    def delete(self, request: expose.ApiRequest, server_id: str, volume_id: str) -> None:
        """Begin to take the volume from the server; it is gone from the list when the guest has let it go."""
        self._volumes.detach_volume(request.context, server_id, volume_id, shelved_too=request.at_least(SHELVED_TOO))


def view(request: expose.ApiRequest) -> Callable[[attachments.BlockDevice], dict[str, Any]]:
    """How this request shows a volume of a server, in a list or alone; the versions are looked at once for all rows."""
    tagged, terminates, by_attachment = (request.at_least(since) for since in ("2.70", "2.79", BY_ATTACHMENT))

    def show(device: attachments.BlockDevice) -> dict[str, Any]:
        shown: dict[str, Any] = {"serverId": device.instance_uuid, "volumeId": device.volume_id}
        if device.device_name is not None:
            shown["device"] = device.device_name
        if tagged:
            shown["tag"] = device.tag
        if terminates:
            shown["delete_on_termination"] = device.delete_on_termination
        if by_attachment:
            shown["attachment_id"] = device.attachment_id
            shown["bdm_uuid"] = device.uuid
        else:
            shown["id"] = device.volume_id
        return shown

    return show
