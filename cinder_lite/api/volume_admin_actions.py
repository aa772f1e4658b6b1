"""The actions of POST /volumes/{id}/action that set something by hand, or force what is refused otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cinder_lite.api import listing
from cinder_lite.volume import api, volume_admin
from lite_common.wsgi import expose

Perform = Callable[[expose.ApiRequest, str, Any], Any]


def actions(operations: volume_admin.VolumeAdminApi, volumes: api.VolumeApi) -> Mapping[str, Perform]:
    """The actions by name."""

    def set_bootable(request: expose.ApiRequest, volume_id: str, value: Any) -> expose.Reply:
        operations.set_bootable(request.context, volume_id, _flag(value, "bootable"))
        return expose.Reply(status=200)

    def set_readonly(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        operations.set_readonly(request.context, volume_id, _flag(value, "readonly"))

    def reset_status(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        operations.reset_status(volume_id, value)

    def force_delete(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        volumes.delete(request.context, volume_id, force=True)

    def force_detach(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        operations.force_detach(request.context, volume_id, value.get("attachment_id"), value.get("connector"))

    return {
        "os-set_bootable": set_bootable,
        "os-update_readonly_flag": set_readonly,
        "os-reset_status": reset_status,
        "os-force_delete": force_delete,
        "os-force_detach": force_detach,
    }


def _flag(value: Mapping[str, Any], name: str) -> bool:
    return listing.flag(str(value[name]), name)
