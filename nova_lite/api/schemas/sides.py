"""Requests and answers of `os-attachment-sides`."""

from __future__ import annotations

from lite_common.wsgi import shapes
from lite_common.wsgi.shapes import FLAG, MAYBE, TEXT, UUID, listed, record
from nova_lite.api.schemas import types

_IDS: types.Schema = {"type": "array", "items": types.UUID}
LIST = types.query(
    {
        "server_id": _IDS | {"description": "Those of this server."},
        "volume_id": _IDS | {"description": "Those of this volume."},
        "limit": types.NUMBERS,
        "marker": _IDS | {"description": "The id after which the page begins."},
        "all_tenants": {
            "type": "array",
            "items": {"type": "string", "enum": [*types.TRUE, *types.FALSE]},
            "description": "For admins: those of every project.",
        },
    },
    strict=True,
)
# A session that no row knows belongs to no server.
_PAIR = types.closed(
    {"server_id": types.UUID | {"type": ["string", "null"]}, "volume_id": types.UUID}, ["server_id", "volume_id"]
)
HEAL = types.closed({"heal": _PAIR}, ["heal"])


def _maybe(shape: types.Schema) -> types.Schema:
    return shape | {"type": ["object", "null"]}


_DISK = _maybe(record({"alias": TEXT, "source": TEXT}))
_SESSIONS = listed(record({"portal": TEXT, "iqn": TEXT, "state": TEXT}))
_STORAGE = _maybe(record({"initiator": TEXT, "device": MAYBE, "leads_to": MAYBE, "sessions": _SESSIONS}))
_COMPUTE = _maybe(
    record(
        {
            "busy": FLAG,
            "initiator": MAYBE,
            "power_state": MAYBE,
            "live": _DISK,
            "stored": _DISK,
            "storage": _STORAGE,
        }
    )
)
_ROW = record(
    {
        "id": UUID,
        "server_id": UUID,
        "server_name": MAYBE,
        "volume_id": UUID,
        "attachment_id": MAYBE,
        "project_id": TEXT,
        "host": MAYBE,
        "vm_state": TEXT,
        "task_state": MAYBE,
        "device": MAYBE,
        "connected": FLAG,
        "device_path": MAYBE,
        "created_at": MAYBE,
        "updated_at": MAYBE,
        "compute": _COMPUTE,
    }
)
_STRAY = record(
    {
        "host": MAYBE,
        "kind": {"enum": ["disk", "session"]},
        "server_id": MAYBE,
        "project_id": MAYBE,
        "volume_id": TEXT,
        "live": _DISK,
        "stored": _DISK,
        "sessions": _SESSIONS,
    }
)
_UNSEEN = record({"service": TEXT, "host": MAYBE, "side": TEXT, "reason": TEXT})
SIDES = shapes.page("attachment_sides", _ROW, strays=listed(_STRAY), unseen=listed(_UNSEEN))
HEALED = record({"heal": record({"done": listed(TEXT), "left": listed(TEXT)})})
