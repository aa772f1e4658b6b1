"""Run one server program so that nothing it ever started outlives it.

Some servers put processes in the background: libvirtd its guests, Erlang its port mapper.  This launcher makes
itself the "subreaper" of all of them: an orphan becomes a child of the launcher, is reaped at once, and is ended
when the launcher is asked to stop.  It is the bottom of both ways in which servers are run here: the test
fixtures (`devstack/servers.py` started by pytest) and the stack (the same servers under supervisord).

    launch.py [--tie] [--respawn] [--grace SECONDS] [--pid-file FILE] -- PROGRAM ARGUMENT...

--tie      stop as soon as standard input reaches its end, so that a killed test run leaves nothing behind
--respawn  start the program again when it ends by itself, and keep its background processes meanwhile

Standard library only: it runs with the system's own Python, before any virtualenv exists.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.2
RESPAWN_LIMIT = 5
RESPAWN_WINDOW = 60.0


def become_subreaper() -> None:
    """Make this process the parent of every orphan among its descendants; raise OSError when refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(code)}")


def _parents() -> dict[int, int]:
    """Return pid -> parent pid of every live process, zombies left out."""
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue  # it ended while we looked
        state, parent = text.rpartition(")")[2].split()[:2]
        if state != "Z":
            found[int(entry)] = int(parent)
    return found


def descendants(root: int) -> list[int]:
    """Return the pids of all live descendants of `root`, parents before their children."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    order: list[int] = []
    queue = [root]
    while queue:
        for pid in children.get(queue.pop(), []):
            order.append(pid)
            queue.append(pid)
    return order


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # already gone is what the caller wants
        os.kill(pid, number)


class Launcher:
    """One program and all that comes out of it; `run` returns the exit code of the launcher."""

    def __init__(self, argv: Sequence[str], *, tie: bool, respawn: bool, grace: float, pid_file: Path | None) -> None:
        self._argv = list(argv)
        self._tie = tie
        self._respawn = respawn
        self._grace = grace
        self._pid_file = pid_file
        self._main = 0
        self._code = 0
        self._stopping = False
        self._starts: list[float] = []
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """Run until the program ends or a stop is asked for, then end everything; return the exit code."""
        become_subreaper()
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._spawn()
        while not self._stopping:
            self._wait(POLL_SECONDS * 25)
            self._reap()
            if not self._main and not self._stopping and not self._start_again():
                break
        self._end_all()
        return 0 if self._stopping else self._code

    def _on_stop(self, *_: object) -> None:
        self._stopping = True

    def _spawn(self) -> None:
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            self._main = os.posix_spawnp(
                self._argv[0],
                self._argv,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, null, 0)],
                setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD],
            )
        finally:
            os.close(null)
        self._starts.append(time.monotonic())
        if self._pid_file:
            fresh = self._pid_file.with_suffix(".new")
            fresh.write_text(f"{self._main}\n")
            fresh.replace(self._pid_file)

    def _start_again(self) -> bool:
        """Start the program again if that is wanted and it did not fail too often; say whether it was done."""
        recent = [start for start in self._starts if time.monotonic() - start < RESPAWN_WINDOW]
        if not self._respawn or len(recent) >= RESPAWN_LIMIT:
            return False
        print(f"launch: {self._argv[0]} ended with {self._code}; starting it again", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)
        self._spawn()
        return True

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal, the end of a tied standard input, or the limit."""
        watched = [self._wake_read] + ([0] if self._tie else [])
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if 0 in ready and not os.read(0, 4096):
            self._stopping = True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._main = 0
                return
            if pid == 0:
                return
            if pid == self._main:
                self._main = 0
                self._code = os.waitstatus_to_exitcode(status)

    def _end_all(self) -> None:
        """SIGTERM the program, after `grace` seconds SIGKILL; then the same for whatever it left."""
        self._tie = False
        if self._main:
            _signal(self._main, signal.SIGCONT)
            _signal(self._main, signal.SIGTERM)
            self._drain(self._grace, only_main=True)
            if self._main:
                _signal(self._main, signal.SIGKILL)
                self._drain(2.0, only_main=True)
        for number, limit in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0), (signal.SIGKILL, 5.0)):
            left = descendants(os.getpid())
            if not left:
                break
            for pid in left:
                _signal(pid, number)
            self._drain(limit, only_main=False)
        if self._pid_file:
            self._pid_file.unlink(missing_ok=True)

    def _drain(self, limit: float, *, only_main: bool) -> None:
        """Reap until the program (or, if not `only_main`, every descendant) is gone or the limit is over."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            self._reap()
            if only_main and not self._main:
                return
            if not only_main and not descendants(os.getpid()):
                return
            self._wait(0.05)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the program, return the exit code (128 + signal for a killed program)."""
    parser = argparse.ArgumentParser(prog="launch.py", description="Run a program and all it starts.")
    parser.add_argument("--tie", action="store_true")
    parser.add_argument("--respawn", action="store_true")
    parser.add_argument("--grace", type=float, default=10.0)
    parser.add_argument("--pid-file", type=Path)
    parser.add_argument("program", nargs="+")
    args = parser.parse_args(argv)
    launcher = Launcher(args.program, tie=args.tie, respawn=args.respawn, grace=args.grace, pid_file=args.pid_file)
    code = launcher.run()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
