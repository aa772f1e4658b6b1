"""Requests and answers of /os-volume-sides."""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import common
from lite_common.wsgi import shapes
from lite_common.wsgi.shapes import FLAG, MAYBE, NUMBER, TEXT, UUID, listed, record

Schema = dict[str, Any]


def _values(description: str, **limits: Any) -> Schema:
    return {"type": "array", "items": {"type": "string", **limits}, "description": description}


LIST: Schema = {
    "type": "object",
    "properties": {
        "volume_id": _values("The one volume of this id.", format="uuid"),
        "limit": _values("The longest page; never more than the service's own limit.", pattern="^[0-9]+$", maxLength=9),
        "marker": _values("The id after which the page begins.", format="uuid"),
        "all_tenants": _values("For admins: those of every project, and exports of no volume."),
    },
    "additionalProperties": False,
}
HEAL = common.wrapped("heal", common.record({"volume_id": common.UUID}, "volume_id"))

_ATTACHMENT = record(
    {
        "id": UUID,
        "status": TEXT,
        "server_id": MAYBE,
        "host": MAYBE,
        "initiator": MAYBE,
        "connected": FLAG,
        "device": MAYBE,
        "mode": MAYBE,
        "created_at": MAYBE,
        "updated_at": MAYBE,
    }
)
_TARGET: Schema = record(
    {"present": FLAG, "portals": listed(TEXT)},
    lun={"type": ["integer", "null"]},
    path=MAYBE,
    chap=FLAG,
    initiators=listed(TEXT),
    sessions=listed(record({"initiator": TEXT, "address": TEXT})),
) | {"type": ["object", "null"]}
_BYTES: Schema = record({"path": TEXT, "size": {"type": ["integer", "null"]}}) | {"type": ["object", "null"]}
_EXPORT: Schema = record({"iqn": TEXT, "busy": FLAG, "target": _TARGET, "bytes": _BYTES}) | {"type": ["object", "null"]}
_VOLUME = record(
    {
        "id": UUID,
        "name": MAYBE,
        "project_id": MAYBE,
        "status": TEXT,
        "attach_status": TEXT,
        "migration_status": MAYBE,
        "size": NUMBER,
        "host": MAYBE,
        "created_at": MAYBE,
        "updated_at": MAYBE,
        "attachments": listed(_ATTACHMENT),
        "export": _EXPORT,
    }
)
_UNSEEN = record({"service": TEXT, "host": MAYBE, "side": TEXT, "reason": TEXT})
SIDES = shapes.page(
    "volume_sides",
    _VOLUME,
    strays=listed(record({"host": TEXT, "volume_id": TEXT})),
    unseen=listed(_UNSEEN),
)
HEALED = record({"heal": record({"done": listed(TEXT), "left": listed(TEXT)})})
