"""What the journal's tests share: a store in memory, and the journal of one daemon that writes to it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from lite_common import errors, journal, operations, records
from tests.fixtures import stack


class MemoryStore:
    """Keeps rows as the table does: one for each step of each process. `down` makes it refuse."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], records.Step] = {}
        self.batches: list[int] = []
        self.news: list[operations.News] = []
        self.alive: list[Sequence[str]] = []
        self.pruned: list[datetime.datetime] = []
        self.down = False

    def write(self, steps: Sequence[records.Step], news: Sequence[operations.News]) -> None:
        self._check()
        self.batches.append(len(steps))
        self.news += news
        for step in steps:
            key = (step.process, step.number)
            if key not in self.rows or step.outcome != records.RUNNING:
                self.rows[key] = step

    def mark_died(self, alive: Sequence[str]) -> int:
        self._check()
        self.alive.append(alive)
        return 0

    def prune(self, before: datetime.datetime) -> int:
        self._check()
        self.pruned.append(before)
        return 0

    def named(self, name: str) -> list[records.Step]:
        return [step for step in self.rows.values() if step.step == name]

    def _check(self) -> None:
        if self.down:
            raise errors.Unavailable("down for the test")


def made(directory: Path, store: MemoryStore, **more: float) -> journal.Journal:
    settings = {"keep": 3600, "longest": 1 << 20} | more
    return journal.Journal(str(directory), "nova-compute", "host1", store, **settings)  # type: ignore[arg-type]  # ints


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal*"))


def wait(condition: Callable[[], object]) -> None:
    stack.wait_for(condition, 10, "the journal has shipped")
