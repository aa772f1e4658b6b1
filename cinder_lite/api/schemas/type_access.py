"""Bodies of /types/{id}/action, PUT /types/{id} and /default-types."""

from __future__ import annotations

from cinder_lite.api.schemas import common, volume_admin

_PROJECT = common.record({"project": {"type": "string", "minLength": 1, "maxLength": 255}}, "project")
ACTION = {
    "type": "object",
    "properties": {"addProjectAccess": _PROJECT, "removeProjectAccess": _PROJECT},
    "minProperties": 1,
    "maxProperties": 1,
}
UPDATE = common.wrapped(
    "volume_type",
    common.record({"name": common.NAME, "description": common.NAME, "is_public": volume_admin.BOOLEAN}),
)
DEFAULT = common.wrapped(
    "default_type",
    common.record({"volume_type": {"type": "string", "minLength": 1, "maxLength": 255}}, "volume_type"),
)
