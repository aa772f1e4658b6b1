"""Values of the actions os-extend, os-extend_volume_completion and os-retype."""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import common, volume_admin

EXTEND = common.wrapped("new_size", {"type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$"})
COMPLETE = common.record({"error": volume_admin.BOOLEAN})
_RETYPE: dict[str, Any] = {
    "new_type": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\S"},
    "migration_policy": {"type": ["string", "null"], "enum": ["never", "on-demand", None]},
}
RETYPE = common.record(_RETYPE, "new_type")
