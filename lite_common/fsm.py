"""Status columns as data: every legal move is a named row of a table, and a move is one compare-and-swap.

The same table draws the diagram in docs/states.md, so the picture cannot lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Move:
    """A legal move. `expected` and `values` map columns to the values required before and written by it.

    An expected value may be a frozenset of which any member will do. `why` is one sentence for the docs: who makes
    the move and when.
    """

    name: str
    expected: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    def allows(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with these columns may make the move now."""
        return all(
            row.get(column) in value if isinstance(value, frozenset) else row.get(column) == value
            for column, value in self.expected.items()
        )


def table(moves: Iterable[Move]) -> Mapping[str, Move]:
    """The moves by name. Raises ValueError when a name stands twice."""
    found: dict[str, Move] = {}
    for move in moves:
        if move.name in found:
            raise ValueError(f"move {move.name} stands twice")
        found[move.name] = move
    return found


def mermaid(moves: Mapping[str, Move], column: str) -> str:
    """A Mermaid state diagram of the moves of one column."""
    lines = ["stateDiagram-v2"]
    for move in moves.values():
        if column not in move.values:
            continue
        before = move.expected.get(column, "[*]")
        befores = sorted(map(str, before)) if isinstance(before, frozenset) else [before]
        lines += [f"    {_node(state)} --> {_node(move.values[column])}: {move.name}" for state in befores]
    return "\n".join(lines)


def _node(state: Any) -> str:
    return "[*]" if state in (None, "[*]") else str(state).replace("-", "_")
