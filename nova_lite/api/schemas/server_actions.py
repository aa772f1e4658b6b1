"""Requests for `servers/{id}/action`: one key names the action, its value is the action's body.

Source: Nova API reference, "Servers - run an action".
"""

from __future__ import annotations

from nova_lite.api.schemas import types

_REBOOT = types.closed({"type": {"type": "string", "enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}}, ["type"])
_CONSOLE = types.closed(
    {"length": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$", "maxLength": 9, "minimum": -1}},
)

_BODIES: types.Schema = {
    "os-start": types.ANY,
    "os-stop": types.ANY,
    "reboot": _REBOOT,
    "pause": types.ANY,
    "unpause": types.ANY,
    "lock": types.ANY,
    "unlock": types.ANY,
    "forceDelete": types.ANY,
    "os-resetState": types.closed({"state": {"type": "string", "enum": ["active", "error"]}}, ["state"]),
    "os-getConsoleOutput": _CONSOLE,
}
_LOCK = types.closed({"locked_reason": {"type": "string", "minLength": 1, "maxLength": 255}}) | {
    "type": ["object", "null"]
}
# An unknown action is refused by the controller, which has a text for it.
ACTION: dict[str, types.Schema] = {
    "2.1": {"type": "object", "properties": _BODIES},
    "2.73": {"type": "object", "properties": _BODIES | {"lock": _LOCK}},
}
