"""A volume group on the spare disk for the tests of the kernel path, and nothing of it afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

DISK = os.environ.get("NLITE_TEST_DISK", "/dev/vdb")


def run(*command: str) -> str:
    """What it printed; fails the test with its words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"LC_ALL": "C"})
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def clear(group: str) -> None:
    """Leave the disk as if it had never held the group."""
    subprocess.run(["vgremove", "-ff", "-y", group], capture_output=True, timeout=120, check=False)
    subprocess.run(["pvremove", "-ff", "-y", DISK], capture_output=True, timeout=120, check=False)
    run("wipefs", "-a", DISK)
    run("udevadm", "settle", "--timeout", "20")


@contextlib.contextmanager
def volume_group(group: str) -> Iterator[str]:
    """The group on the whole spare disk."""
    clear(group)
    run("vgcreate", "-y", group, DISK)
    try:
        yield group
    finally:
        clear(group)
