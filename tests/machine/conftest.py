"""How many sequences are tried, and which.

A run tries the same ones each time, few enough for every change. NLITE_MACHINE_SEED=random tries others and prints
their seed, NLITE_MACHINE_SEED=<seed> those again; NLITE_MACHINE_EXAMPLES says how many.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from lite_common import service

service.no_eventlet()

from tests.machine import cluster  # noqa: E402 - not before eventlet is blocked

ASKED = os.environ.get("NLITE_MACHINE_SEED") or "20261122"
SEED = random.SystemRandom().randrange(2**32) if ASKED == "random" else int(ASKED)
FEW = 40
EXAMPLES = int(os.environ.get("NLITE_MACHINE_EXAMPLES") or FEW)
# With twelve times the examples every point is taken.
STRIDE = 12


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how to have the same sequences again."""
    for report in terminalreporter.getreports("passed"):
        for name, told in report.user_properties if report.when == "call" else ():
            if name == "machine":
                terminalreporter.write_line(f"tests/machine: {told}")
    terminalreporter.write_line(f"tests/machine: NLITE_MACHINE_SEED={SEED} repeats these {EXAMPLES} sequences")


@pytest.fixture(scope="session")
def seed() -> int:
    """What the sequences are made from."""
    return SEED


@pytest.fixture(scope="session")
def examples() -> int:
    """How many sequences."""
    return EXAMPLES


@pytest.fixture(scope="module", autouse=True)
def silence() -> Iterator[None]:
    """Nobody reads the daemons' logs here, and writing them is half of the time. Other tests read theirs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> cluster.Site:
    """What all sequences share."""
    return cluster.Site(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="session")
def older_site(tmp_path_factory: pytest.TempPathFactory) -> cluster.Site:
    """The same for attachments by the volume actions."""
    return cluster.Site(tmp_path_factory.mktemp("older"), flow="legacy")


@pytest.fixture(scope="session")
def stride() -> tuple[int, int]:
    """First point, and every how many-th of them is taken."""
    step = max(1, STRIDE * FEW // EXAMPLES)
    return SEED % step, step
