"""Bodies of /types and of their extra specs."""

from __future__ import annotations

from cinder_lite.api.schemas import common

ACCESS = "os-volume-type-access:is_public"

CREATE = common.wrapped(
    "volume_type",
    common.record(
        {
            "name": common.REQUIRED_NAME,
            "description": common.NAME,
            "extra_specs": common.nullable(common.SPECS),
            ACCESS: {"type": "boolean"},
        },
        "name",
    ),
)
SPECS = common.wrapped("extra_specs", common.SPECS | {"minProperties": 1})
SPEC = common.SPECS | {"minProperties": 1, "maxProperties": 1}
