"""The five services in one process, for requests that are made up from the APIs' own documents.

A run has the same examples each time, so that a change is judged by what it changed. NLITE_API_SEED=random makes others
and prints their seed; NLITE_API_SEED=<seed> makes those again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from lite_common import service
from tests.fixtures import stack as stacks

service.no_eventlet()

ASKED = os.environ.get("NLITE_API_SEED") or "353967516"
SEED = random.SystemRandom().randrange(2**32) if ASKED == "random" else int(ASKED)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how to have the same examples again."""
    terminalreporter.write_line(f"tests/api: NLITE_API_SEED={SEED} repeats these examples")


@pytest.fixture(scope="session")
def seed() -> int:
    """What the examples are made from."""
    return SEED


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.FunctionalStack]:
    """All five services, for this suite alone: nothing is safe from it."""
    running = stacks.FunctionalStack(
        tmp_path_factory.mktemp("api"),
        nova={"DEFAULT": {"control_exchange": "api-nova"}},
        cinder={"DEFAULT": {"control_exchange": "api-cinder"}},
    )
    try:
        yield running.start()
    finally:
        running.stop()
