"""The actions of POST /volumes/{id}/action that set something by hand, or force what is refused otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cinder_lite.api import listing, policy
from cinder_lite.volume import api, volume_admin
from lite_common import context
from lite_common.wsgi import expose

Perform = Callable[[context.RequestContext, str, Any], Any]
RULE = "volume_extension:volume_admin_actions"


def table(operations: volume_admin.VolumeAdminApi, volumes: api.VolumeApi) -> Mapping[str, Perform]:
    """The actions by name."""

    def set_bootable(ctx: context.RequestContext, volume_id: str, value: Any) -> expose.Reply:
        operations.set_bootable(ctx, volume_id, _flag(value, "bootable"))
        return expose.Reply(status=200)

    def set_readonly(ctx: context.RequestContext, volume_id: str, value: Any) -> None:
        operations.set_readonly(ctx, volume_id, _flag(value, "readonly"))

    def reset_status(ctx: context.RequestContext, volume_id: str, value: Any) -> None:
        policy.require_admin(ctx, f"{RULE}:reset_status")
        operations.reset_status(volume_id, value)

    def force_delete(ctx: context.RequestContext, volume_id: str, value: Any) -> None:
        policy.require_admin(ctx, f"{RULE}:force_delete")
        volumes.delete(ctx, volume_id, force=True)

    def force_detach(ctx: context.RequestContext, volume_id: str, value: Any) -> None:
        policy.require_admin(ctx, f"{RULE}:force_detach")
        operations.force_detach(ctx, volume_id, value.get("attachment_id"), value.get("connector"))

    return {
        "os-set_bootable": set_bootable,
        "os-update_readonly_flag": set_readonly,
        "os-reset_status": reset_status,
        "os-force_delete": force_delete,
        "os-force_detach": force_detach,
    }


def _flag(value: Mapping[str, Any], name: str) -> bool:
    return listing.flag(str(value[name]), name)
