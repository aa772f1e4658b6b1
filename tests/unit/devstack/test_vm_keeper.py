"""The keeper: a machine's process lives exactly as long as it is meant to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.vm import keeper
from devstack.vm.image import ROOT

LIMIT = 10.0


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


class Kept:
    """A keeper and its program, which writes its pid and sleeps."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        script = f"echo $$ >{directory}/pid.new; mv {directory}/pid.new {directory}/pid; exec sleep 60"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devstack.vm.keeper", str(directory), "sh", "-c", script],
            stdin=subprocess.PIPE,
            cwd=ROOT,
        )
        until((directory / "pid").exists, "the program runs")
        self.pid = int((directory / "pid").read_text())


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def close(kept: Kept) -> None:
    assert kept.process.stdin is not None
    kept.process.stdin.close()


def test_the_end_of_the_starter_is_the_end_of_the_machine(kept: Kept) -> None:
    assert keeper.holder(kept.directory) == kept.process.pid
    close(kept)
    assert kept.process.wait(LIMIT) == 0
    assert not alive(kept.pid)
    assert keeper.holder(kept.directory) is None


def test_a_machine_that_may_stay_outlives_its_starter_until_it_is_stopped(kept: Kept) -> None:
    assert kept.process.stdin is not None
    kept.process.stdin.write(keeper.STAY)
    close(kept)
    time.sleep(0.3)
    assert alive(kept.pid)
    assert keeper.holder(kept.directory) == kept.process.pid
    kept.process.terminate()
    assert kept.process.wait(LIMIT) == 0
    assert not alive(kept.pid)


def test_a_killed_keeper_leaves_no_machine(kept: Kept) -> None:
    kept.process.kill()
    kept.process.wait(LIMIT)
    until(lambda: not alive(kept.pid), "the program ended")
    assert keeper.holder(kept.directory) is None


def test_a_machine_that_ends_by_itself_ends_its_keeper(kept: Kept) -> None:
    os.kill(kept.pid, signal.SIGKILL)
    assert kept.process.wait(LIMIT) != 0
    assert keeper.holder(kept.directory) is None


def test_a_machine_has_one_keeper(kept: Kept) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "devstack.vm.keeper", str(kept.directory), "true"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=LIMIT,
        check=False,
    )
    assert second.returncode == 2
    assert "runs already" in second.stderr
    close(kept)
    kept.process.wait(LIMIT)


def test_where_no_keeper_ever_was_nothing_runs(tmp_path: Path) -> None:
    assert keeper.holder(tmp_path) is None
    assert keeper.holder(tmp_path / "nowhere") is None
