"""Requests for `os-volumes` and `os-snapshots`. Source: Nova API reference, the same headings."""

from __future__ import annotations

from nova_lite.api.schemas import types

_TEXT: types.Schema = {"type": "string", "maxLength": 255}

CREATE_VOLUME = types.closed(
    {
        "volume": types.closed(
            {
                "size": {
                    "type": ["integer", "string"],
                    "pattern": "^[0-9]+$",
                    "minimum": 1,
                    "minLength": 1,
                    "maxLength": 9,
                },
                "volume_type": {"type": "string"},
                "metadata": {"type": "object"},
                "snapshot_id": {"type": "string"},
                "availability_zone": {"type": "string"},
                "display_name": _TEXT,
                "display_description": _TEXT,
            },
            ["size"],
        )
    },
    ["volume"],
)
CREATE_SNAPSHOT = types.closed(
    {
        "snapshot": types.closed(
            {
                "volume_id": {"type": "string"},
                "force": types.BOOLEAN,
                "display_name": _TEXT,
                "display_description": _TEXT,
            },
            ["volume_id"],
        )
    },
    ["snapshot"],
)
LIST = types.query({"limit": types.NUMBERS, "offset": types.NUMBERS})
