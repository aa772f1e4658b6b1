"""Body of PUT /os-quota-class-sets/{name}."""

from __future__ import annotations

from cinder_lite.api.schemas import common

UPDATE = common.wrapped(
    "quota_class_set",
    {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": -1, "maximum": 2147483647},
    },
)
