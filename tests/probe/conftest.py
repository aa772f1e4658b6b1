"""The probe's stack, one for all cells: to boot the guests costs more than to probe them.

It ends with its module, because ten guests would take from the virtual machines that come next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.guest import build
from lite_common import service
from tests.integration.conftest import CACHE
from tests.probe.ground import ProbeStack

# As in the daemons, and before a test module imports an OpenStack library.
service.no_eventlet()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProbeStack]:
    """Give the stack with its guests."""
    directory: Path = tmp_path_factory.mktemp("probe")
    build.build(directory / "images", CACHE)
    made = ProbeStack(directory, directory / "images")
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        yield made
