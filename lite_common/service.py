"""Run a daemon on plain threads: start its parts, wait for a signal, stop them in reverse, finish work in hand.

oslo.service's threading launcher forks a worker under a master process; five daemons would then be ten processes.
One process per daemon is what the memory budget allows, so the launcher here is the few lines that remain.
See docs/adr/0002-threads-and-one-process-per-daemon.md.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import gc
import importlib.abc
import importlib.machinery
import logging
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, Protocol, TypeVar

from oslo_config import cfg

from lite_common import errors

LOG = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

_M_ARENA_MAX = -8  # malloc.h; the ABI of glibc
_NOTIFY_SECONDS = 2.0
# New objects between two searches for garbage: Python's own limits, and those for a program that is loading.
_GC_USUAL = gc.get_threshold()
_GC_LOADING = (100_000, 10, 10)
# What threads that have nothing to do any more may take to end, after the stop.
_LEAVE_SECONDS = 2.0


class _Refuse(importlib.abc.MetaPathFinder):
    """Makes the import of some packages fail as if they were not installed."""

    def __init__(self, names: Sequence[str], why: str) -> None:
        self.names = names
        self.why = why

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is blocked: {self.why}", name=fullname)
        return None


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Import something while these optional packages, which it would load, look as if they were not installed."""
    refuse = _Refuse(names, "it is not needed here and costs memory")
    sys.meta_path.insert(0, refuse)
    try:
        yield
    finally:
        sys.meta_path.remove(refuse)


def no_eventlet() -> None:
    """Block eventlet for this process. The first act of every daemon, before any OpenStack library is imported.

    Raises RuntimeError when it is already loaded, because patched modules cannot be told from real ones then.
    """
    if "eventlet" in sys.modules:
        raise RuntimeError("eventlet was imported before no_eventlet() was called")
    if not any(isinstance(finder, _Refuse) and "eventlet" in finder.names for finder in sys.meta_path):
        sys.meta_path.insert(0, _Refuse(("eventlet",), "this program runs on plain threads"))
    # oslo.service picks its backend once; say threads before a library asks for one.
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)


def load_quickly() -> None:
    """Search for garbage seldom until `run`, for what a daemon imports: a sixth of its start went into searches of
    classes and functions that stay for ever.
    """
    gc.set_threshold(*_GC_LOADING)


def _loaded() -> None:
    """Search as usual from now on, but leave out what is there; nothing of it goes before the process ends."""
    gc.freeze()
    gc.set_threshold(*_GC_USUAL)


class Part(Protocol):
    """Something a daemon runs: an RPC server, a WSGI server, a periodic task."""

    def start(self) -> None:
        """Begin; return when ready to work. Raises when it cannot."""

    def stop(self, timeout: float) -> None:
        """Take no new work, finish what is in hand within `timeout` seconds, let go of resources. Never raises."""


_DAEMON: contextvars.ContextVar[Service | None] = contextvars.ContextVar("daemon", default=None)


def current() -> Service | None:
    """The daemon in whose name this thread works; None where nobody said so. Tests run several in one process."""
    return _DAEMON.get()


@contextlib.contextmanager
def working_for(daemon: Service | None) -> Iterator[None]:
    """Work in the name of that daemon."""
    token = _DAEMON.set(daemon)
    try:
        yield
    finally:
        _DAEMON.reset(token)


def in_its_name(work: Callable[P, T]) -> Callable[P, T]:
    """`work`, for other threads, done in the name of the daemon that is current here (the one that is starting)."""
    daemon = current()

    def done(*args: P.args, **kwargs: P.kwargs) -> T:
        with working_for(daemon):
            return work(*args, **kwargs)

    return done


class Service:
    """The parts of one daemon in start order; they stop in reverse order."""

    def __init__(self, name: str, parts: Sequence[Part], *, stop_timeout: float = 60) -> None:
        self.name = name
        self.parts = list(parts)
        self.stop_timeout = stop_timeout
        self._started: list[Part] = []

    def start(self) -> None:
        """Start all parts, or none: a part that fails stops those before it and its error goes up."""
        try:
            with working_for(self):
                for part in self.parts:
                    part.start()
                    self._started.append(part)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what was started, last first, within the stop timeout for all together."""
        end = time.monotonic() + self.stop_timeout
        while self._started:
            part = self._started.pop()
            part.stop(max(1.0, end - time.monotonic()))


def spare_memory() -> None:
    """Let glibc's allocator share two arenas among all threads.

    By default every thread may get its own, and each keeps the peak of what its thread ever needed: with sixteen
    threads a daemon grew to twice its size after some lists of a thousand. On another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


def run(make: Callable[[], Service]) -> int:
    """Start what `make()` returns, serve until SIGTERM or SIGINT, stop it gracefully; a second signal ends at once.

    Returns the exit code: 0 after a clean stop, 1 when it could not be made or started. The log says why: in one line
    for what an operator can mend (errors of ours, options of oslo.config), with the traceback for everything else.
    """
    spare_memory()
    _loaded()
    notify("STATUS=starting")
    try:
        # Before there are signal handlers: a process that is forked here, for privileged work, must not have ours.
        service = make()
        wake = _wake_on_signals()
        LOG.info("%s is starting", service.name)
        service.start()
    except Exception as error:  # noqa: BLE001  # outermost frame of the daemon; logged below
        problem = error
    else:
        return _serve(service, wake)
    mendable = isinstance(problem, errors.LiteError | cfg.Error)
    # Not in the handler: oslo.log would add the error to the line once more.
    LOG.critical("cannot start: %s", problem, exc_info=None if mendable else problem)
    notify(f"STATUS=could not start: {problem}")
    return 1


def _serve(service: Service, wake: threading.Event) -> int:
    notify("READY=1", f"STATUS=serving since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    LOG.info("%s is ready", service.name)
    _await_signal(wake)
    notify("STOPPING=1", f"STATUS=stopping; work in hand gets {service.stop_timeout:g} s")
    LOG.info("%s is stopping; work in hand gets %d s", service.name, service.stop_timeout)
    service.stop()
    LOG.info("%s has stopped", service.name)
    _leave_hung_threads()
    return 0


def _wake_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one ends the process."""
    wake, stopping = threading.Event(), threading.Event()

    def on_signal(number: int, frame: types.FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return wake


def _leave_hung_threads() -> None:
    """End the process at once where a thread has not ended in the time it had: Python itself would wait for it."""
    hung = [one.name for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    end = time.monotonic() + _LEAVE_SECONDS
    while hung and time.monotonic() < end:
        time.sleep(0.05)
        hung = [one.name for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    if hung:
        LOG.warning("threads that did not end are left: %s", ", ".join(hung))
        logging.shutdown()
        os._exit(0)


def _await_signal(wake: threading.Event) -> None:
    """Wait for the signal to stop, and tell a watchdog meanwhile that this process runs.

    What that proves is little and true: the interpreter still schedules its threads, so none of them sits in a
    library with the interpreter's lock held. That the work goes well is for heartbeats and health checks to say.
    """
    pause = watchdog_pause()
    due = time.monotonic()
    # A bare wait() would not let Python run the signal handler on every platform.
    while not wake.wait(1.0):
        if pause and time.monotonic() >= due:
            notify("WATCHDOG=1")
            due = time.monotonic() + pause


def watchdog_pause() -> float:
    """Seconds between two signs of life, half of what systemd's WatchdogSec allows; 0.0 where nobody asks for them.

    See sd_watchdog_enabled(3).
    """
    asked, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not asked.isdecimal() or pid not in ("", str(os.getpid())):
        return 0.0
    return int(asked) / 2_000_000


def notify(*assignments: str) -> None:
    """Tell systemd (Type=notify) how the daemon is; without systemd nothing happens. See sd_notify(3).

    An assignment is one line: of a text with more, only the first line is sent.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    lines = [one.split("\n", 1)[0] for one in assignments]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_NOTIFY_SECONDS)
            sock.sendto("\n".join(lines).encode(), "\0" + path[1:] if path.startswith("@") else path)
    except OSError as error:
        # A manager that does not listen now finds out by its own limits; the daemon's work does not depend on it.
        LOG.warning("systemd was not told %s: %s", lines[0], error)


class Periodic:
    """Calls `work` every `interval` seconds on a thread of its own; an error is logged and the next turn comes.

    With `at_start` the first call is made by start() itself, and its error stops the daemon from starting.
    """

    def __init__(self, name: str, interval: float, work: Callable[[], None], *, at_start: bool = False) -> None:
        self.name = name
        self.interval = interval
        self.work = work
        self.at_start = at_start
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin the turns."""
        if self.at_start:
            self.work()
        self._halt.clear()
        self._thread = threading.Thread(target=in_its_name(self._loop), name=f"periodic-{self.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End after the current turn."""
        self._halt.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _loop(self) -> None:
        from lite_common import context  # not before no_eventlet()

        while not self._halt.wait(self.interval):
            # Each turn is a story of its own in logs and records, not a continuation of the first one.
            context.admin_context()
            try:
                self.work()
            except Exception:  # outermost frame of the thread
                LOG.exception("periodic task %s failed; next try in %s s", self.name, self.interval)
