"""Server actions that Nova knows and that are not served here: each gets the answer of a Nova that cannot do it.

An action whose servers must be in a state that no server here ever is in gets Nova's 409 for that state. The others
are 501, as from a hypervisor driver that lacks them; consoles 400, as where their service is switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lite_common import errors
from lite_common.wsgi import expose, microversion
from nova_lite import errors as nova_errors
from nova_lite.db import servers


@dataclass(frozen=True)
class Unserved:
    """Why an action is refused: for the server's state, for the console's type, or because nobody does it here."""

    needs_state: bool = False
    console: bool = False
    since: microversion.Version = (2, 1)
    until: microversion.Version = (2, 999)


_STATE = Unserved(needs_state=True)
_CONSOLE = Unserved(console=True, until=(2, 5))
_UNTIL_43 = Unserved(until=(2, 43))

ACTIONS: dict[str, Unserved] = {
    "suspend": Unserved(),
    "resume": _STATE,
    "resize": Unserved(),
    "confirmResize": _STATE,
    "revertResize": _STATE,
    "rebuild": Unserved(),
    "createImage": Unserved(),
    "createBackup": Unserved(),
    "shelve": Unserved(),
    "shelveOffload": _STATE,
    "unshelve": _STATE,
    "rescue": Unserved(),
    "unrescue": _STATE,
    "restore": _STATE,
    "migrate": Unserved(),
    "os-migrateLive": Unserved(),
    "evacuate": Unserved(),
    "injectNetworkInfo": Unserved(),
    "resetNetwork": Unserved(),
    "changePassword": Unserved(),
    "addSecurityGroup": Unserved(),
    "removeSecurityGroup": Unserved(),
    "addFixedIp": _UNTIL_43,
    "removeFixedIp": _UNTIL_43,
    "addFloatingIp": _UNTIL_43,
    "removeFloatingIp": _UNTIL_43,
    "trigger_crash_dump": Unserved(since=(2, 17)),
    "os-getVNCConsole": _CONSOLE,
    "os-getSPICEConsole": _CONSOLE,
    "os-getRDPConsole": _CONSOLE,
    "os-getSerialConsole": _CONSOLE,
}


def refuse(request: expose.ApiRequest, name: str, body: object, find: Callable[[], servers.Server]) -> None:
    """Raise what Nova would for an action that is not served; return for one that Nova does not know either.

    `find` gives the server, and raises when the caller may not see it.
    """
    action = ACTIONS.get(name)
    if action is None:
        return
    if not action.since <= request.version <= action.until:
        raise errors.NotFound()
    server = find()
    if action.console:
        kind = body.get("type") if isinstance(body, dict) else None
        raise errors.Invalid(f"Unavailable console type {kind}.")
    if action.needs_state:
        raise nova_errors.ServerInvalidState(
            action=name, server=server.uuid, attribute="vm_state", state=server.vm_state
        )
    raise errors.NotImplementedHere(f"The action {name} is not implemented here; nothing was done to {server.uuid}.")
