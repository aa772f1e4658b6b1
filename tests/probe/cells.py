"""A cell of the matrix: which daemon is at which step of which operation when the trouble comes, and what became of it.

Which steps there are is not written down anywhere here: each operation is done once and the daemons' logs are read.
A new step is in the matrix by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devstack import system as systems
from lite_common import faults

ATTACH, DETACH, CREATE, DELETE = "attach", "detach", "create", "delete"
OPERATIONS = (ATTACH, DETACH, CREATE, DELETE)
FLOWS = ("attachments", "legacy")
WHENS = (faults.BEFORE, faults.AFTER)
# What is done in both flows alike is probed in the first one.
OPERATIONS_OF = {"attachments": OPERATIONS, "legacy": (ATTACH, DETACH)}
DAEMONS = {
    systems.NOVA_API: "nova-api",
    systems.COMPUTE: "nova-compute",
    systems.CINDER_API: "cinder-api",
    systems.SCHEDULER: "cinder-scheduler",
    systems.VOLUME: "cinder-volume",
}
DIES = "dies"
_DONE = re.compile(r"step=(\w+) outcome=ok")

# operation -> daemon -> its steps, in the order in which they ended
Steps = Mapping[str, Mapping[str, list[str]]]


@dataclass(frozen=True)
class Cell:
    """`trouble` is what happens while `daemon` is before or after `step`: it dies, or a server below is stopped."""

    trouble: str
    flow: str
    operation: str
    daemon: str
    step: str
    when: str

    def __str__(self) -> str:
        return f"{self.flow}/{self.operation}/{DAEMONS[self.daemon]}/{self.when} {self.step}/{self.trouble}"

    @property
    def needs_guest(self) -> bool:
        """Whether a guest has a part in the operation."""
        return self.operation in (ATTACH, DETACH)


def steps_in(log: str) -> list[str]:
    """The steps that a daemon has done, each once, as its log tells."""
    return list(dict.fromkeys(_DONE.findall(log)))


def of_daemon(flow: str, daemon: str, steps: Steps, *, trouble: str = DIES) -> list[Cell]:
    """Every cell of one daemon in one flow."""
    return [
        Cell(trouble, flow, operation, daemon, step, when)
        for operation in OPERATIONS_OF[flow]
        for step in steps[operation].get(daemon, [])
        for when in WHENS
    ]


def sample(cells: Iterable[Cell], known: set[tuple[str, str]]) -> list[Cell]:
    """Of these cells one for each step that is not known yet (and is from now on), before and after in turn."""
    chosen: list[Cell] = []
    for cell in cells:
        if (cell.daemon, cell.step) not in known and cell.when == WHENS[len(known) % 2]:
            known.add((cell.daemon, cell.step))
            chosen.append(cell)
    return chosen


def batches(cells: Iterable[Cell], guests: int) -> list[list[Cell]]:
    """The cells in groups that can be probed at once: none needs more guests than there are."""
    groups: list[list[Cell]] = [[]]
    for cell in cells:
        if cell.needs_guest and sum(one.needs_guest for one in groups[-1]) >= guests:
            groups.append([])
        groups[-1].append(cell)
    return [group for group in groups if group]
