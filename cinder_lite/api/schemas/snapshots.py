"""Bodies of /snapshots."""

from __future__ import annotations

from typing import Any

from cinder_lite import states
from cinder_lite.api.schemas import common

_NAMES: dict[str, Any] = dict.fromkeys(("name", "display_name", "description", "display_description"), common.NAME)
_CREATE: dict[str, Any] = _NAMES | {
    "volume_id": common.UUID,
    "force": {"type": ["boolean", "string", "null"]},
    "metadata": common.nullable(common.METADATA),
}
# Old clients send keys that mean nothing.
CREATE = common.wrapped("snapshot", common.record(_CREATE, "volume_id", extra=True), extra=True)
UPDATE = common.wrapped(
    "snapshot",
    common.record(_NAMES, extra=True) | {"anyOf": [{"required": [name]} for name in _NAMES]},
    extra=True,
)
ACTION = {
    "type": "object",
    "properties": {
        "os-reset_status": common.wrapped("status", {"type": "string", "enum": [*states.SNAPSHOT_STATES]}),
    },
    "minProperties": 1,
    "maxProperties": 1,
}
