"""A few threads that do what a timer found to be done: one job of a name at a time, and none keeps the others waiting.

A timer that did its jobs itself would wait for the slowest: one guest that drags out a detach for minutes would be the
reason that nothing else on the host is healed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent import futures

from lite_common import errors, service

LOG = logging.getLogger(__name__)

# Longest pause (seconds) before a job that failed is done again; the pauses double from one second on.
LONGEST_PAUSE = 20.0

Job = Callable[[], None]


class Crew:
    """A part of a daemon that runs jobs on up to `size` threads. A job's failure is logged, once for the same text."""

    def __init__(self, name: str, size: int = 4) -> None:
        self._name = name
        self._size = size
        self._guard = threading.Lock()
        self._running: dict[str, futures.Future[None] | None] = {}
        self._failed: dict[str, tuple[int, float, str]] = {}
        self._pool: futures.ThreadPoolExecutor | None = None
        self._work = self._run

    def start(self) -> None:
        """Take jobs from now on; threads are made when there is something to do."""
        with self._guard:
            self._work = service.in_its_name(self._run)
            self._pool = futures.ThreadPoolExecutor(self._size, thread_name_prefix=self._name)

    def stop(self, timeout: float) -> None:
        """Begin no more jobs and wait for those in work; what is left is found again after the next start."""
        with self._guard:
            pool, self._pool = self._pool, None
            running = [one for one in self._running.values() if one is not None]
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
            futures.wait(running, timeout)

    def do(self, name: str, job: Job) -> bool:
        """Have the job of that name done soon; False when it is being done, has just failed, or nobody works now."""
        with self._guard:
            tries, since, _ = self._failed.get(name, (0, 0.0, ""))
            early = tries > 0 and time.monotonic() < since + min(LONGEST_PAUSE, 2.0 ** (tries - 1))
            if self._pool is None or name in self._running or early:
                return False
            self._running[name] = None
            future = self._pool.submit(self._work, name, job)
            self._running[name] = future
        future.add_done_callback(lambda _: self._forget(name))
        return True

    def _run(self, name: str, job: Job) -> None:
        try:
            job()
        except errors.LiteError as err:
            self._note(name, err.message)
        except Exception as err:  # outermost frame of the thread
            LOG.exception("%s: %s failed", self._name, name)
            self._note(name, str(err), told=True)
        else:
            with self._guard:
                self._failed.pop(name, None)

    def _note(self, name: str, text: str, *, told: bool = False) -> None:
        with self._guard:
            tries, _, before = self._failed.get(name, (0, 0.0, ""))
            self._failed[name] = (tries + 1, time.monotonic(), text)
            self._drop_old()
        if not told and text != before:
            LOG.error("%s: %s (it is tried again)", name, text)

    def _drop_old(self) -> None:
        """Names that nobody asks for any more are forgotten, so that the list does not grow for ever."""
        if len(self._failed) > 1000:
            for name in sorted(self._failed, key=lambda one: self._failed[one][1])[:500]:
                del self._failed[name]

    def _forget(self, name: str) -> None:
        with self._guard:
            self._running.pop(name, None)


def at_once(name: str, job: Job) -> bool:
    """Do the job here and now, with the same care for its failure: for who has no crew."""
    try:
        job()
    except errors.LiteError as err:
        LOG.error("%s: %s", name, err.message)
    return True
