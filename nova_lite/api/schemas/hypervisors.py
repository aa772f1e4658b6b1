"""Requests for `os-hypervisors` and `limits`. Source: Nova API reference, "Hypervisors", "Limits"."""

from __future__ import annotations

from nova_lite.api.schemas import types

_BOOLEANS: types.Schema = {"type": "array", "items": types.BOOLEAN}
_PAGE: types.Schema = {"limit": types.NUMBERS, "marker": types.ANY_VALUES}
_LIST_53 = _PAGE | {"hypervisor_hostname_pattern": types.ANY_VALUES, "with_servers": _BOOLEANS}

LIST = {"2.1": types.query({}), "2.33": types.query(_PAGE), "2.53": types.query(_LIST_53, strict=True)}
SHOW = {"2.1": types.query({}), "2.53": types.query({"with_servers": _BOOLEANS}, strict=True)}

_LIMITS: types.Schema = {"tenant_id": types.ANY_VALUES, "reserved": types.ANY_VALUES}
LIMITS = {
    "2.1": types.query(_LIMITS),
    "2.57": types.query(_LIMITS),
    "2.75": types.query({"tenant_id": types.ANY_VALUES}, strict=True),
}
