"""POST /volumes/{id}/action, one key per request: the actions of the older attach flow, and those handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cinder_lite.api import volume_changes
from cinder_lite.api.schemas import volumes as schemas
from cinder_lite.volume import legacy
from lite_common import context, errors
from lite_common.wsgi import expose

# Cinder's other actions; a client that asks for one hears that it is not served rather than that it does not exist.
UNSERVED = frozenset(
    {
        "os-migrate_volume", "os-migrate_volume_completion", "os-reimage",
        "os-set_image_metadata", "os-show_image_metadata", "os-unmanage", "os-unset_image_metadata",
        "os-volume_upload_image", "revert",
    }
)  # fmt: skip

Perform = Callable[[context.RequestContext, str, Any], Any]


class VolumeActionsController:
    """The eight actions of the older flow, and `more` of them by name."""

    def __init__(self, actions: legacy.LegacyApi, more: Mapping[str, volume_changes.Perform]) -> None:
        self._more = more
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
        if name in self._more:
            return self._more[name](request, volume_id, value)
        action = self._actions.get(name)
        if action is None:
            known = ", ".join([*self._actions, *self._more])
            raise errors.Invalid(f"There is no such action: {name}. Known: {known}.")
        return action(request.context, volume_id, value)


def _info(connection_info: dict[str, Any]) -> expose.Reply:
    return expose.Reply({"connection_info": connection_info}, status=200)
