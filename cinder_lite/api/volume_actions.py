"""POST /volumes/{id}/action: the actions of the older attach flow, one key per request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cinder_lite.api.schemas import volumes as schemas
from cinder_lite.volume import legacy
from lite_common import context, errors
from lite_common.wsgi import expose

# Cinder's other actions; a client that asks for one hears that it is not served rather than that it does not exist.
UNSERVED = frozenset(
    {
        "os-extend", "os-extend_volume_completion", "os-force_delete", "os-force_detach", "os-migrate_volume",
        "os-migrate_volume_completion", "os-reimage", "os-reset_status", "os-retype", "os-set_bootable",
        "os-set_image_metadata", "os-show_image_metadata", "os-unmanage", "os-unset_image_metadata",
        "os-update_readonly_flag", "os-volume_upload_image", "revert",
    }
)  # fmt: skip

Perform = Callable[[context.RequestContext, str, Any], Any]


class VolumeActionsController:
    """The eight actions."""

    def __init__(self, actions: legacy.LegacyApi) -> None:
        self._actions: dict[str, Perform] = {
            "os-reserve": lambda ctx, volume_id, value: actions.reserve(ctx, volume_id),
            "os-unreserve": lambda ctx, volume_id, value: actions.unreserve(ctx, volume_id),
            "os-begin_detaching": lambda ctx, volume_id, value: actions.begin_detaching(ctx, volume_id),
            "os-roll_detaching": lambda ctx, volume_id, value: actions.roll_detaching(ctx, volume_id),
            "os-initialize_connection": lambda ctx, volume_id, value: _info(
                actions.initialize_connection(ctx, volume_id, value["connector"])
            ),
            "os-terminate_connection": lambda ctx, volume_id, value: actions.terminate_connection(
                ctx, volume_id, value["connector"]
            ),
            "os-attach": lambda ctx, volume_id, value: actions.attach(
                ctx,
                volume_id,
                instance_uuid=value.get("instance_uuid"),
                host_name=value.get("host_name"),
                mountpoint=value["mountpoint"],
                mode=value.get("mode", "rw"),
            ),
            "os-detach": lambda ctx, volume_id, value: actions.detach(
                ctx, volume_id, (value or {}).get("attachment_id")
            ),
        }

    @expose.expose(status=202, also=(200,), body=schemas.ACTION)
    def perform(self, request: expose.ApiRequest, volume_id: str) -> Any:
        """Do the one action that the body names."""
        [(name, value)] = request.body.items()
        if name in UNSERVED:
            raise errors.NotImplementedHere(f"Action {name} is not served here.")
        action = self._actions.get(name)
        if action is None:
            raise errors.Invalid(f"There is no such action: {name}. Known: {', '.join(self._actions)}.")
        return action(request.context, volume_id, value)


def _info(connection_info: dict[str, Any]) -> expose.Reply:
    return expose.Reply({"connection_info": connection_info}, status=200)
