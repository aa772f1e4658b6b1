"""Who waits for what a guest says about its disks.

libvirt reports the end of an unplug as an event, from its own thread. A waiter is registered before the
unplug is asked for, so that an answer that comes at once is not missed, and it hears only of its own domain
and device.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
from collections.abc import Iterator

LOG = logging.getLogger(__name__)


class Outcome(enum.Enum):
    """How an unplug ended, as far as events tell; the live description of the domain has the last word."""

    REMOVED = "removed"
    REFUSED = "refused"
    DOMAIN_GONE = "domain gone"


class Waiter:
    """The answer to one unplug, once there is one."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._outcome: Outcome | None = None

    def wait(self, seconds: float) -> Outcome | None:
        """The outcome, or None when none came within `seconds`."""
        self._told.wait(seconds)
        return self._outcome

    def tell(self, outcome: Outcome) -> None:
        """Wake the one who waits."""
        self._outcome = outcome
        self._told.set()


class DeviceEvents:
    """All waiters of one connection, by domain uuid and device alias."""

    def __init__(self) -> None:
        self._waiters: dict[tuple[str, str], Waiter] = {}
        self._given_up: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def expect(self, domain: str, alias: str) -> Iterator[Waiter]:
        """A waiter for the next outcome of this device; there is one at a time, as servers are locked."""
        waiter = Waiter()
        with self._lock:
            self._waiters[domain, alias] = waiter
            self._given_up.discard((domain, alias))
        try:
            yield waiter
        finally:
            with self._lock:
                if self._waiters.get((domain, alias)) is waiter:
                    del self._waiters[domain, alias]

    def give_up(self, domain: str, alias: str) -> None:
        """Nobody waits for this device any more, although the guest was asked and may still carry it out."""
        with self._lock:
            self._given_up.add((domain, alias))

    def device(self, domain: str, alias: str, outcome: Outcome) -> None:
        """libvirt reports about one device."""
        with self._lock:
            waiter = self._waiters.get((domain, alias))
            late = (domain, alias) in self._given_up
            self._given_up.discard((domain, alias))
        if waiter is not None:
            waiter.tell(outcome)
        elif late and outcome is Outcome.REMOVED:
            # The next detach finds only the stored part left and finishes.
            LOG.warning("Server %s released device %s after its detach was given up; detach it again", domain, alias)

    def domain_gone(self, domain: str) -> None:
        """The domain stopped: whoever waits for one of its devices need not wait any longer."""
        with self._lock:
            concerned = [waiter for (uuid, _), waiter in self._waiters.items() if uuid == domain]
            self._given_up = {key for key in self._given_up if key[0] != domain}
        for waiter in concerned:
            waiter.tell(Outcome.DOMAIN_GONE)
