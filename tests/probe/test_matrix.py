"""Kill anything at any step: within a minute the world is right again, and what was asked can be asked again.

Run by `devstack/test.sh probe`: a cell for each step, the daemons die one soon after the other, RabbitMQ stops once.
NLITE_PROBE=all is every cell, one daemon at a time, and each server below. The steps are found, not listed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from devstack import system as systems
from tests.probe import batch, cells, troubles
from tests.probe.ground import GUESTS, ProbeStack
from tests.probe.report import Report

ALL = os.environ.get("NLITE_PROBE") == "all"
PAGE = Path(__file__).parents[2] / "docs" / "attach-path.md"
# The parts of the page that the matrix covers, and the steps there which no undisturbed operation takes.
PARTS = ("Attach", "Detach", "Create and delete a volume")
UNDOING = {"os_unreserve", "os_roll_detaching", "withdraw_access"}
DEAD = [[daemon] for daemon in systems.DAEMONS] if ALL else [list(systems.DAEMONS)]
KILLS = [
    pytest.param(flow, daemons, id=f"{flow}-{cells.DAEMONS[daemons[0]] if ALL else 'sample'}")
    for flow in cells.FLOWS
    for daemons in DEAD
]
TROUBLES = troubles.TROUBLES if ALL else troubles.TROUBLES[:1]


@pytest.fixture(scope="module")
def report() -> Report:
    """Give the run's report; it is written to the file that NLITE_PROBE_REPORT names."""
    path = os.environ.get("NLITE_PROBE_REPORT")
    return Report(whole=ALL, path=Path(path) if path else None)


@pytest.fixture(scope="module")
def steps(stack: ProbeStack) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Give, by flow, the steps of each operation by daemon, filled as the flows are come to."""
    return {}


@pytest.fixture(scope="module")
def known() -> set[tuple[str, str]]:
    """Give the daemons' steps that the sample had already."""
    return set()


def steps_of(stack: ProbeStack, flow: str, steps: dict[str, dict[str, dict[str, list[str]]]]) -> cells.Steps:
    if flow not in steps:
        stack.use_flow(flow)
        steps[flow] = batch.dry_run(stack, cells.OPERATIONS_OF[flow])
    return steps[flow]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("flow", "daemons"), KILLS)
def test_a_daemon_dies(
    stack: ProbeStack,
    report: Report,
    steps: dict[str, dict[str, dict[str, list[str]]]],
    known: set[tuple[str, str]],
    flow: str,
    daemons: list[str],
) -> None:
    taken = steps_of(stack, flow, steps)
    wanted = [cell for daemon in daemons for cell in cells.of_daemon(flow, daemon, taken)]
    stack.use_flow(flow)
    wrong = []
    for group in cells.batches(wanted if ALL else cells.sample(wanted, known), GUESTS):
        wrong += report.add(batch.killed(stack, group))
    assert not wrong


def test_every_step_of_the_path_was_probed(
    stack: ProbeStack, steps: dict[str, dict[str, dict[str, list[str]]]]
) -> None:
    """A step that is written about and that no operation takes would be left out unseen."""
    taken = {
        step
        for flow in cells.FLOWS
        for daemons in steps_of(stack, flow, steps).values()
        for found in daemons.values()
        for step in found
    }
    parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    told = {
        step
        for part in parts
        if part.partition("\n")[0] in PARTS
        for step in re.findall(r"^### (\w+)", part, re.MULTILINE)
    }
    assert told - taken <= UNDOING
    assert taken <= told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: one.name.replace(" ", "-"))
def test_a_server_goes_away(
    stack: ProbeStack,
    report: Report,
    steps: dict[str, dict[str, dict[str, list[str]]]],
    trouble: troubles.Trouble,
) -> None:
    flow = cells.FLOWS[0]
    taken = steps_of(stack, flow, steps)
    stack.use_flow(flow)
    wanted = [
        cell
        for daemon in systems.DAEMONS
        for cell in cells.of_daemon(flow, daemon, taken, trouble=trouble.name)
        if cell.needs_guest and cell.when == "before"
    ]
    wrong = []
    for group in cells.batches(wanted if ALL else wanted[:: len(wanted) // GUESTS + 1], GUESTS):
        wrong += report.add(troubles.met(stack, trouble, group))
    assert not wrong
