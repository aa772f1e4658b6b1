"""Bodies of /os-services and /os-quota-sets."""

from __future__ import annotations

from cinder_lite.api.schemas import common

_SERVICE = {
    "host": {"type": "string", "minLength": 1, "maxLength": 255},
    "binary": {"type": "string", "minLength": 1, "maxLength": 255},
    "service": {"type": "string", "minLength": 1, "maxLength": 255},
}
SERVICE = common.record(_SERVICE, "host", extra=True) | {"anyOf": [{"required": ["binary"]}, {"required": ["service"]}]}
SERVICE_REASON = SERVICE | {
    "properties": _SERVICE
    | {"disabled_reason": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\S"}},
    "required": ["host", "disabled_reason"],
}
QUOTA_SET = common.wrapped(
    "quota_set",
    {
        "type": "object",
        "properties": {"tenant_id": {"type": "string"}},
        "additionalProperties": {"type": "integer", "minimum": -1, "maximum": 2147483647},
    },
)
