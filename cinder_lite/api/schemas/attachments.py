"""Bodies of /attachments."""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import common

_CREATE: dict[str, Any] = {
    "volume_uuid": common.UUID,
    "instance_uuid": common.UUID,
    "connector": {"type": ["object", "null"]},
}
CREATE = {
    "3.27": common.wrapped("attachment", common.record(_CREATE, "volume_uuid")),
    "3.54": common.wrapped(
        "attachment", common.record(_CREATE | {"mode": {"type": "string", "enum": ["rw", "ro"]}}, "volume_uuid")
    ),
}
UPDATE = common.wrapped("attachment", common.record({"connector": {"type": "object", "minProperties": 1}}, "connector"))
ACTION = {"type": "object", "minProperties": 1, "maxProperties": 1}
