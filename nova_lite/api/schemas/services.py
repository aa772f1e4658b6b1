"""Requests for `os-services`. Source: Nova API reference, "Compute services"."""

from __future__ import annotations

from nova_lite.api.schemas import types

_LIST: types.Schema = {"host": types.ANY_VALUES, "binary": types.ANY_VALUES}
LIST = {"2.1": types.query(_LIST), "2.75": types.query(_LIST, strict=True)}

_REASON: types.Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^\S(.*\S)?\Z"}
_NAMED: types.Schema = {"host": types.NAME, "binary": types.NAME}
_LEGACY = types.closed(_NAMED | {"disabled_reason": _REASON, "forced_down": types.BOOLEAN}, ["host", "binary"])
_CHANGE = types.closed(
    {
        "status": {"type": "string", "enum": ["enabled", "disabled"]},
        "disabled_reason": _REASON,
        "forced_down": types.BOOLEAN,
    }
)
# Before 2.53 the path names the change and the body the daemon, since then it is the other way round.
UPDATE = {"2.1": _LEGACY, "2.53": _CHANGE}
