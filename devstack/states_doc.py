"""Draw docs/states.md from the tables that the services use: `python -m devstack.states_doc > docs/states.md`."""

from __future__ import annotations

from cinder_lite import states as cinder_states
from lite_common import fsm
from nova_lite import states as nova_states

SECTIONS = (
    ("Volume: `volumes.status`", cinder_states.VOLUME, "status"),
    ("Attachment: `volume_attachment.attach_status`", cinder_states.ATTACHMENT, "attach_status"),
    ("Snapshot: `snapshots.status`", cinder_states.SNAPSHOT, "status"),
    ("Server: `instances.vm_state`", nova_states.MOVES, "vm_state"),
    ("Server: `instances.task_state`", nova_states.MOVES, "task_state"),
)


def page() -> str:
    """The page as Markdown: a diagram and a table of moves for each status column."""
    parts = [
        "# States and moves\n",
        "Drawn from `cinder_lite/states.py` and `nova_lite/states.py` by `python -m devstack.states_doc`; a test "
        "compares. Each move is one compare-and-swap: it happens if the row is in a state it may start from, else not "
        "at all.\n",
    ]
    for title, moves, column in SECTIONS:
        used = {name: move for name, move in moves.items() if column in move.values}
        parts += [f"## {title}\n", f"```mermaid\n{fsm.mermaid(used, column)}\n```\n", _table(used)]
    return "\n".join(parts)


def _table(moves: dict[str, fsm.Move]) -> str:
    lines = ["| move | from | writes | when |", "|---|---|---|---|"]
    lines += [
        f"| {move.name} | {_columns(move.expected)} | {_columns(move.values)} | {move.why} |" for move in moves.values()
    ]
    return "\n".join(lines) + "\n"


def _columns(values: object) -> str:
    if not isinstance(values, dict) or not values:
        return "any"
    return "; ".join(f"{column}: {_words(value)}" for column, value in values.items())


def _words(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted("none" if member is None else str(member) for member in value))
    return "none" if value is None else str(value)


if __name__ == "__main__":
    print(page(), end="")
