"""The states of a server: their names, the legal moves between them, and the one word the API shows for them.

`vm_state` is what the server is, `task_state` what is being done to it. Moves that begin something are made by
nova-api, those that end something by nova-compute; each is one compare-and-swap (`db.servers.move`), so of two
requests at the same moment one wins. Source: Nova documentation, "Virtual Machine States and Transitions".
"""

# ruff: noqa: E501  # one move a line reads as a table

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lite_common import fsm
from lite_common.fsm import Move

BUILDING = "building"
ACTIVE = "active"
PAUSED = "paused"
SUSPENDED = "suspended"
STOPPED = "stopped"
RESCUED = "rescued"
RESIZED = "resized"
SOFT_DELETED = "soft-delete"
DELETED = "deleted"
ERROR = "error"
SHELVED = "shelved"
SHELVED_OFFLOADED = "shelved_offloaded"

SCHEDULING = "scheduling"
SPAWNING = "spawning"
POWERING_ON = "powering-on"
POWERING_OFF = "powering-off"
REBOOTING = "rebooting"
REBOOTING_HARD = "rebooting_hard"
PAUSING = "pausing"
UNPAUSING = "unpausing"
DELETING = "deleting"

# What may be plugged and unplugged while a server is in it; with no task going on.
VOLUME_STATES = frozenset((ACTIVE, PAUSED, STOPPED, RESIZED, SOFT_DELETED, SHELVED, SHELVED_OFFLOADED))
HARD_REBOOT_STATES = frozenset((ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR))
# Tasks that a hard reboot may take over, because they can hang in a guest.
HARD_REBOOT_TASKS = frozenset((None, REBOOTING, REBOOTING_HARD, PAUSING, UNPAUSING))

MOVES = fsm.table(
    (
        Move("build_begun", {"vm_state": BUILDING, "task_state": SCHEDULING}, {"task_state": SPAWNING}, "nova-compute takes a new server."),
        Move("built", {"vm_state": BUILDING, "task_state": SPAWNING}, {"vm_state": ACTIVE, "task_state": None}, "The guest runs."),
        Move("build_failed", {"vm_state": BUILDING, "task_state": frozenset((SCHEDULING, SPAWNING))}, {"vm_state": ERROR, "task_state": None}, "The guest could not be built, or nova-compute died while building it."),
        Move("start", {"vm_state": STOPPED, "task_state": None}, {"task_state": POWERING_ON}, "A user starts a stopped server."),
        Move("started", {"task_state": POWERING_ON}, {"vm_state": ACTIVE, "task_state": None}, "The guest runs again."),
        Move("start_failed", {"task_state": POWERING_ON}, {"vm_state": STOPPED, "task_state": None}, "The guest could not be started."),
        Move("stop", {"vm_state": frozenset((ACTIVE, ERROR)), "task_state": None}, {"task_state": POWERING_OFF}, "A user stops a server."),
        Move("stopped", {"task_state": POWERING_OFF}, {"vm_state": STOPPED, "task_state": None}, "The guest is off."),
        Move("stop_failed", {"task_state": POWERING_OFF}, {"task_state": None}, "The hypervisor could not stop the guest."),
        Move("found_stopped", {"vm_state": frozenset((ACTIVE, PAUSED)), "task_state": None}, {"vm_state": STOPPED}, "The guest shut itself down."),
        Move("reboot", {"vm_state": ACTIVE, "task_state": None}, {"task_state": REBOOTING}, "A user reboots a server through its guest."),
        Move("reboot_hard", {"vm_state": HARD_REBOOT_STATES, "task_state": HARD_REBOOT_TASKS}, {"task_state": REBOOTING_HARD}, "A user switches a server off and on."),
        Move("rebooted", {"task_state": frozenset((REBOOTING, REBOOTING_HARD))}, {"vm_state": ACTIVE, "task_state": None}, "The guest runs again."),
        Move("reboot_refused", {"task_state": frozenset((REBOOTING, REBOOTING_HARD))}, {"task_state": None}, "The reboot failed before the guest was touched."),
        Move("reboot_failed", {"task_state": frozenset((REBOOTING, REBOOTING_HARD))}, {"vm_state": ERROR, "task_state": None}, "The guest does not run any more."),
        Move("pause", {"vm_state": ACTIVE, "task_state": None}, {"task_state": PAUSING}, "A user freezes a server."),
        Move("paused", {"task_state": PAUSING}, {"vm_state": PAUSED, "task_state": None}, "The guest is frozen."),
        Move("pause_failed", {"task_state": PAUSING}, {"task_state": None}, "The hypervisor could not freeze the guest."),
        Move("unpause", {"vm_state": PAUSED, "task_state": None}, {"task_state": UNPAUSING}, "A user lets a frozen server run on."),
        Move("unpaused", {"task_state": UNPAUSING}, {"vm_state": ACTIVE, "task_state": None}, "The guest runs on."),
        Move("unpause_failed", {"task_state": UNPAUSING}, {"task_state": None}, "The hypervisor could not let the guest run on."),
        Move("reset_to_active", {}, {"vm_state": ACTIVE, "task_state": None}, "An admin says that the server is active."),
        Move("reset_to_error", {}, {"vm_state": ERROR, "task_state": None}, "An admin says that the server is in error."),
        Move("delete", {}, {"task_state": DELETING}, "A user deletes a server, whatever is being done to it."),
        Move("deleted", {}, {"vm_state": DELETED, "task_state": None}, "The guest and its attachments are gone."),
    )
)  # fmt: skip

# The API's status, by vm_state, and where a task shows instead, by task_state.
_STATUS = {
    ACTIVE: "ACTIVE",
    BUILDING: "BUILD",
    STOPPED: "SHUTOFF",
    RESIZED: "VERIFY_RESIZE",
    PAUSED: "PAUSED",
    SUSPENDED: "SUSPENDED",
    RESCUED: "RESCUE",
    ERROR: "ERROR",
    DELETED: "DELETED",
    SOFT_DELETED: "SOFT_DELETED",
    SHELVED: "SHELVED",
    SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
}
_TASK_STATUS: Mapping[str, Mapping[str, str]] = {ACTIVE: {REBOOTING: "REBOOT", REBOOTING_HARD: "HARD_REBOOT"}}


def api_status(vm_state: str, task_state: str | None) -> str:
    """The status that the API shows for the two states."""
    return _TASK_STATUS.get(vm_state, {}).get(task_state or "", _STATUS.get(vm_state, "UNKNOWN"))


def states_of(status: str) -> tuple[str, frozenset[str], frozenset[str]] | None:
    """How rows of an API status are found: vm_state, task states it needs (empty: any), task states it must not have.

    None for a status that no server can have.
    """
    wanted = status.upper()
    for vm_state, tasks in _TASK_STATUS.items():
        needed = frozenset(task for task, shown in tasks.items() if shown == wanted)
        if needed:
            return vm_state, needed, frozenset()
    for vm_state, shown in _STATUS.items():
        if shown == wanted:
            return vm_state, frozenset(), frozenset(_TASK_STATUS.get(vm_state, {}))
    return None


def refusal(move: Move, row: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The column that rules the move out and what it holds; None when the move is allowed."""
    for column, wanted in move.expected.items():
        found = row.get(column)
        if found not in wanted if isinstance(wanted, frozenset) else found != wanted:
            return column, found
    return None
