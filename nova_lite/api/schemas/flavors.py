"""Requests for flavors. Source: Nova API reference, "Flavors"."""

from __future__ import annotations

from nova_lite.api.schemas import types

_LIST: types.Schema = {
    "limit": types.NUMBERS,
    "marker": types.ANY_VALUES,
    "is_public": types.ANY_VALUES,
    "minRam": types.ANY_VALUES,
    "minDisk": types.ANY_VALUES,
    "sort_key": {
        "type": "array",
        "items": {"enum": ["created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public",
                           "memory_mb", "name", "root_gb", "rxtx_factor", "swap", "updated_at", "vcpu_weight",
                           "vcpus"]},
    },
    "sort_dir": {"type": "array", "items": {"enum": ["asc", "desc"]}},
}  # fmt: skip
LIST = {"2.1": types.query(_LIST), "2.75": types.query(_LIST, strict=True)}
