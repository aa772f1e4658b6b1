"""One process of a name: a second one on the machine is refused, a killed one is back at once, others are seen."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lite_common import errors, sole

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from lite_common import sole
sole.Sole(sys.argv[1], "nova-compute-h", lambda: None, 10).start()
print("held", flush=True)
time.sleep(60)
"""


def nobody() -> int | None:
    return None


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(errors.Conflict, match=f"runs already on this machine, as process {first.pid}"):
            sole.Sole(str(tmp_path), "nova-compute-h", nobody, 10).start()
        other = sole.Sole(str(tmp_path), "nova-compute-other", nobody, 10)
        other.start()
        other.stop(1)
    finally:
        first.kill()
        first.wait(10)
    begun = time.monotonic()
    # Its heartbeat is fresh and even goes on; but the name was this machine's, and the lock is free.
    again = sole.Sole(str(tmp_path), "nova-compute-h", iter(range(100)).__next__, 10)
    again.start()
    again.stop(1)
    assert time.monotonic() - begun < 1


def test_another_machine_that_reports_is_noticed(tmp_path: Path) -> None:
    counter = itertools.count(5)
    with pytest.raises(errors.Conflict, match="runs on another machine"):
        sole.Sole(str(tmp_path), "cinder-volume-h@b", counter.__next__, 0.4).start()
    # And nothing says that the name is ours.
    with pytest.raises(errors.Conflict):
        sole.Sole(str(tmp_path), "cinder-volume-h@b", counter.__next__, 0.4).start()


def test_a_fresh_heartbeat_that_does_not_come_again_is_of_one_that_died(tmp_path: Path) -> None:
    one = sole.Sole(str(tmp_path), "cinder-volume-h@b", lambda: 7, 0.4)
    one.start()
    one.stop(1)
