"""Requests for the image list. Source: Image service API v2 reference, "List images"."""

from __future__ import annotations

from nova_lite.api.schemas import types

LIST = types.query(
    {
        "limit": types.NUMBERS,
        "sort_dir": {"type": "array", "items": {"enum": ["asc", "desc"]}},
    }
)
