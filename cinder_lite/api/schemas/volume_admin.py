"""Bodies of the actions on volumes that set something by hand."""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import common

# As clients write truth values: JSON's, or one of these words.
WORDS = ("true", "1", "yes", "on", "y", "t", "false", "0", "no", "off", "n", "f")
BOOLEAN: dict[str, Any] = {
    "type": ["boolean", "string"],
    "pattern": rf"\A(?i:{'|'.join(WORDS)})\Z",
}
_TEXT = {"type": ["string", "null"]}

ACTIONS: dict[str, Any] = {
    "os-set_bootable": common.record({"bootable": BOOLEAN}, "bootable"),
    "os-update_readonly_flag": common.record({"readonly": BOOLEAN}, "readonly"),
    "os-reset_status": common.record({"status": _TEXT, "attach_status": _TEXT, "migration_status": _TEXT}),
    "os-force_detach": common.record(
        {"connector": {"type": ["object", "null"]}, "attachment_id": common.nullable(common.UUID)}
    ),
}
