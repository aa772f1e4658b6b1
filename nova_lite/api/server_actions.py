"""`POST /servers/{id}/action`: one key of the body names the action. Each is begun here and done by nova-compute.

Source: Nova API reference, "Servers - run an action".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite import policies
from nova_lite.api import unserved_actions
from nova_lite.api.schemas import server_actions as schemas
from nova_lite.api.schemas import types
from nova_lite.compute import api as compute_api
from nova_lite.compute import server_changes

Action = Callable[[expose.ApiRequest, str, Any], expose.Reply | None]


class ServerActionsController:
    """Runs actions on servers."""

    def __init__(self, compute: compute_api.ComputeApi, changes: server_changes.ServerChanges) -> None:
        self._compute = compute
        self._changes = changes
        self._actions: dict[str, Action] = {
            "os-start": self._plain(compute.start),
            "os-stop": self._plain(compute.stop),
            "reboot": self._reboot,
            "pause": self._plain(compute.pause),
            "unpause": self._plain(compute.unpause),
            "lock": self._lock,
            "unlock": self._unlock,
            # Without a delay for regrets every delete is this one.
            "forceDelete": self._plain(compute.delete_server),
            "os-resetState": self._reset_state,
            "os-getConsoleOutput": self._console_output,
        }

    @expose.expose(status=202, also=(200,), body=schemas.ACTION, media_types=types.MEDIA_TYPES)
    def run(self, request: expose.ApiRequest, server_id: str) -> expose.Reply | None:
        """Begin the action that the body names. Raises errors.Invalid for a body that names none that is known."""
        if len(request.body) != 1:
            raise errors.Invalid(f"Malformed request body: too {'many' if request.body else 'few'} keys")
        ((name, body),) = request.body.items()
        action = self._actions.get(name)
        if action is None:
            unserved_actions.refuse(request, name, body, lambda: self._compute.get_server(request.context, server_id))
            raise errors.Invalid(f"There is no such action: {name}")
        return action(request, server_id, body)

    def _plain(self, begin: Callable[..., Any]) -> Action:
        def action(request: expose.ApiRequest, server_id: str, body: Any) -> None:
            begin(request.context, server_id)

        return action

    def _reboot(self, request: expose.ApiRequest, server_id: str, body: Any) -> None:
        self._compute.reboot(request.context, server_id, hard=body["type"].upper() == "HARD")

    def _lock(self, request: expose.ApiRequest, server_id: str, body: Any) -> None:
        # Before 2.73 the action had no body that meant anything.
        reason = body.get("locked_reason") if request.at_least("2.73") and body else None
        self._changes.lock(request.context, server_id, reason)

    def _unlock(self, request: expose.ApiRequest, server_id: str, body: Any) -> None:
        self._changes.unlock(request.context, server_id, override=request.may(policies.UNLOCK_OVERRIDE))

    def _reset_state(self, request: expose.ApiRequest, server_id: str, body: Any) -> None:
        self._changes.reset_state(request.context, server_id, body["state"])

    def _console_output(self, request: expose.ApiRequest, server_id: str, body: Any) -> expose.Reply:
        asked = body.get("length")
        length = None if asked is None or int(asked) < 0 else int(asked)
        return expose.Reply({"output": self._compute.console_output(request.context, server_id, length)}, status=200)
