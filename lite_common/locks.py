"""Named locks within one process. Order where two are held: server first, then backend target.

A wait has a limit, and a long wait or a long hold is logged with both parties' purpose.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from lite_common import errors

LOG = logging.getLogger(__name__)

LONG_WAIT = 5.0
LONG_HOLD = 30.0


class NamedLocks:
    """One lock per name, made on first use and dropped when nobody holds or awaits it."""

    def __init__(self, kind: str, *, timeout: float = 300.0) -> None:
        self.kind = kind
        self.timeout = timeout
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        self._purpose: dict[str, str] = {}

    def held(self, name: str) -> bool:
        """Whether somebody holds the lock now, or waits for it."""
        with self._guard:
            return name in self._locks

    @contextlib.contextmanager
    def hold(self, name: str, purpose: str) -> Iterator[None]:
        """Hold the lock `name` while the block runs.

        Raises errors.Conflict when it was not free within the limit; the text says what holds it.
        """
        with self._guard:
            lock, users = self._locks.get(name, (threading.Lock(), 0))
            self._locks[name] = (lock, users + 1)
        try:
            begun = time.monotonic()
            if not lock.acquire(timeout=self.timeout):
                raise errors.Conflict(
                    f"{self.kind} {name} is busy with {self._purpose.get(name, 'another request')}; "
                    f"{purpose} gave up after {self.timeout:.0f} s. Try again later."
                )
            waited = time.monotonic() - begun
            if waited > LONG_WAIT:
                LOG.warning("%s waited %.1f s for %s %s", purpose, waited, self.kind, name)
            self._purpose[name] = purpose
            try:
                yield
            finally:
                held = time.monotonic() - begun - waited
                if held > LONG_HOLD:
                    LOG.warning("%s held %s %s for %.1f s", purpose, self.kind, name, held)
                self._purpose.pop(name, None)
                lock.release()
        finally:
            with self._guard:
                lock, users = self._locks[name]
                if users == 1:
                    del self._locks[name]
                else:
                    self._locks[name] = (lock, users - 1)
