"""States: the word the API shows, the way back from it to rows, and which moves are refused why."""

from __future__ import annotations

import pytest

from lite_common import fsm
from nova_lite import states


@pytest.mark.parametrize(
    ("vm_state", "task_state", "status"),
    [
        ("active", None, "ACTIVE"),
        ("active", "rebooting", "REBOOT"),
        ("active", "rebooting_hard", "HARD_REBOOT"),
        ("active", "powering-off", "ACTIVE"),
        ("building", "spawning", "BUILD"),
        ("stopped", None, "SHUTOFF"),
        ("stopped", "rebooting_hard", "SHUTOFF"),
        ("paused", None, "PAUSED"),
        ("error", "deleting", "ERROR"),
        ("deleted", None, "DELETED"),
        ("shelved_offloaded", None, "SHELVED_OFFLOADED"),
        ("nonsense", None, "UNKNOWN"),
    ],
)
def test_status(vm_state: str, task_state: str | None, status: str) -> None:
    assert states.api_status(vm_state, task_state) == status


def test_rows_of_a_status() -> None:
    assert states.states_of("active") == ("active", frozenset(), frozenset(("rebooting", "rebooting_hard")))
    assert states.states_of("REBOOT") == ("active", frozenset(("rebooting",)), frozenset())
    assert states.states_of("SHUTOFF") == ("stopped", frozenset(), frozenset())
    assert states.states_of("UNKNOWN") is None


def test_refusal_names_the_column() -> None:
    start = states.MOVES["start"]
    assert states.refusal(start, {"vm_state": "stopped", "task_state": None}) is None
    assert states.refusal(start, {"vm_state": "active", "task_state": None}) == ("vm_state", "active")
    assert states.refusal(start, {"vm_state": "stopped", "task_state": "deleting"}) == ("task_state", "deleting")


def test_every_task_that_is_begun_can_end_well_and_badly() -> None:
    """No task state is a dead end: for each there is a move that needs it and clears it."""
    begun = {move.values["task_state"] for move in states.MOVES.values() if move.values.get("task_state")}
    for task in begun - {states.DELETING, states.SCHEDULING, states.SPAWNING}:
        ends = [
            move.name
            for move in states.MOVES.values()
            if move.values.get("task_state", "") is None and move.allows({"task_state": task, "vm_state": "active"})
        ]
        assert len([name for name in ends if name != "deleted"]) >= 2, task


def test_the_moves_can_be_drawn() -> None:
    drawn = fsm.mermaid(states.MOVES, "vm_state")
    assert "building --> active: built" in drawn
