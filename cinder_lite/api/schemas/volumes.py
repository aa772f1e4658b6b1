"""Bodies of /volumes."""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import common, volume_admin, volume_changes

HINTS = "OS-SCH-HNT:scheduler_hints"

_CREATE: dict[str, Any] = {
    "size": {"type": ["integer", "string", "null"]},
    "name": common.NAME,
    "display_name": common.NAME,
    "description": common.NAME,
    "display_description": common.NAME,
    "volume_type": common.NAME,
    "availability_zone": common.NAME,
    "metadata": common.nullable(common.METADATA),
    "multiattach": {"type": ["boolean", "string", "null"]},
    **dict.fromkeys(("snapshot_id", "source_volid", "imageRef", "image_id", "consistencygroup_id"), common.TEXT),
}
_LATER = {"group_id": common.TEXT, "backup_id": common.TEXT}


def _create(properties: dict[str, Any], *, extra: bool) -> dict[str, Any]:
    hints = {"type": ["object", "null"]}
    return {
        "type": "object",
        "properties": {"volume": common.record(properties, extra=extra), HINTS: hints},
        "required": ["volume"],
        "additionalProperties": extra,
    }


# Old clients send keys that mean nothing; they are refused from 3.53 on.
CREATE = {"3.0": _create(_CREATE | _LATER, extra=True), "3.53": _create(_CREATE | _LATER, extra=False)}

_UPDATE: dict[str, Any] = {
    "name": common.NAME,
    "display_name": common.NAME,
    "description": common.NAME,
    "display_description": common.NAME,
    "metadata": common.nullable(common.METADATA),
}
UPDATE = {
    "3.0": common.wrapped("volume", common.record(_UPDATE, extra=True), extra=True),
    "3.53": common.wrapped("volume", common.record(_UPDATE, least=1)),
}
METADATA = common.wrapped("metadata", common.METADATA)
META = common.wrapped("meta", common.METADATA | {"minProperties": 1, "maxProperties": 1})

_CONNECTOR = {"type": "object"}
_ATTACH = {
    "type": "object",
    "properties": {
        "mountpoint": {"type": "string", "minLength": 1, "maxLength": 255},
        "instance_uuid": common.nullable(common.UUID),
        "host_name": {"type": ["string", "null"], "maxLength": 255},
        "mode": {"type": "string", "enum": ["rw", "ro"]},
    },
    "required": ["mountpoint"],
    "anyOf": [{"required": ["instance_uuid"]}, {"required": ["host_name"]}],
    "additionalProperties": False,
}
ACTION = {
    "type": "object",
    "properties": {
        "os-initialize_connection": common.wrapped("connector", _CONNECTOR),
        "os-terminate_connection": common.wrapped("connector", {"type": ["object", "null"]}),
        "os-attach": _ATTACH,
        "os-detach": {
            "type": ["object", "null"],
            "properties": {"attachment_id": common.nullable(common.UUID)},
            "additionalProperties": False,
        },
        **volume_admin.ACTIONS,
        "os-extend": volume_changes.EXTEND,
        "os-extend_volume_completion": volume_changes.COMPLETE,
        "os-retype": volume_changes.RETYPE,
    },
    "minProperties": 1,
    "maxProperties": 1,
}
