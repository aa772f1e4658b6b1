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
    "os-getConsoleOutput": _CONSOLE,
}
# An unknown action is refused by the controller, which has a text for it.
ACTION: types.Schema = {"type": "object", "properties": _BODIES}
