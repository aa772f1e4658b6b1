"""The actions that change a volume's size or type. Each takes the request, the volume's id and the action's value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cinder_lite.volume import changes
from lite_common import errors
from lite_common.wsgi import expose

Perform = Callable[[expose.ApiRequest, str, Any], Any]
# The first version at which a volume may grow while a server has it.
ATTACHED_SINCE = "3.42"
# The first version at which Nova tells that it has made a volume grow, for backends that cannot by themselves.
COMPLETED_SINCE = "3.71"


def actions(operations: changes.ChangeApi) -> Mapping[str, Perform]:
    """The actions by name."""

    def extend(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        attached = request.at_least(ATTACHED_SINCE)
        operations.extend(request.context, volume_id, value["new_size"], attached=attached)

    def retype(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        policy = value.get("migration_policy") or "never"
        operations.retype(request.context, volume_id, value["new_type"], policy)

    def complete(request: expose.ApiRequest, volume_id: str, value: Any) -> None:
        if not request.at_least(COMPLETED_SINCE):
            raise errors.NotFound()
        operations.complete_extension(request.context, volume_id)

    return {"os-extend": extend, "os-extend_volume_completion": complete, "os-retype": retype}
