"""Bodies of /snapshots."""

from __future__ import annotations

from typing import Any

from cinder_lite import states
from cinder_lite.api.schemas import common

_NAMES: dict[str, Any] = dict.fromkeys(("name", "display_name", "description", "display_description"), common.NAME)
_CREATE: dict[str, Any] = {
    "name": common.NAME,
    "display_name": common.NAME,
    "description": common.NAME,
    # Null is answered as a volume that there is not.
    "volume_id": common.nullable(common.UUID),
    "force": {"type": ["boolean", "string", "null"]},
    "metadata": common.nullable(common.METADATA),
}
CREATE = common.wrapped("snapshot", common.record(_CREATE, "volume_id"))
UPDATE = common.wrapped(
    "snapshot",
    common.record(_NAMES) | {"anyOf": [{"required": [name]} for name in _NAMES]},
)
_TOLD = {
    "status": {"type": "string", "enum": sorted(frozenset().union(*states.TOLD.values()))},
    "progress": {"type": "string", "pattern": r"^(100|[1-9]?[0-9])%\Z"},
}
ACTION = {
    "type": "object",
    "properties": {
        "os-reset_status": common.wrapped("status", {"type": "string", "enum": [*states.SNAPSHOT_STATES]}),
        "os-update_snapshot_status": common.record(_TOLD, "status"),
    },
    "minProperties": 1,
    "maxProperties": 1,
}
