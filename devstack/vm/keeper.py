"""The process that owns one machine's QEMU, so that nobody has to guess from a number in a file who is alive.

    python3 -m devstack.vm.keeper DIRECTORY PROGRAM ARGUMENT...

It holds a lock on DIRECTORY/keeper.lock (with its pid inside) as long as it lives: a machine runs exactly when that
lock is held.  QEMU ends with the keeper, even if that is killed.  The keeper ends when QEMU does, on SIGTERM, and
when its standard input ends: whoever starts a machine holds the other end, so a starter that is killed leaves no
machine behind.  A line "stay" on standard input lets the machine outlive its starter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

LOCK = "keeper.lock"
STAY = b"stay\n"
STOP_SECONDS = 5.0


class _Stop(Exception):
    """Somebody asked for the end of the machine."""


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def holder(directory: Path) -> int | None:
    """Return the pid of the keeper that runs the machine in `directory`, None if it does not run."""
    try:
        with (directory / LOCK).open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read().strip()
                return int(text) if text else 0
    except FileNotFoundError:
        pass
    return None


def keep(directory: Path, argv: list[str]) -> int:
    """Run the program until it ends or is to end; return its exit code, 0 after a wanted stop."""
    lock = (directory / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"the machine in {directory} runs already", file=sys.stderr)
        return 2
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the starter's terminal is the starter's
    child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL)
    try:
        _watch(child)
        return child.wait()
    except _Stop:
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _end(child)


def _watch(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of the child; raise _Stop when the starter is gone."""
    pidfd = os.pidfd_open(child.pid)
    try:
        watched = [pidfd, 0]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if pidfd in ready:
                return
            said = os.read(0, 64)
            if not said:
                raise _Stop
            if STAY in said:
                watched = [pidfd]
    finally:
        os.close(pidfd)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
            return
        child.kill()
        child.wait(STOP_SECONDS)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:]))
