"""How often somebody failed to prove who he is: a line per source address and minute in the log, not one per request.

A line per request would let anybody fill the disk; none would hide that somebody tries passwords. What is counted is
bounded as well: addresses beyond the first few hundred of a minute share one line.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from lite_common import context, errors

LOG = logging.getLogger(__name__)

PERIOD = 60.0
MOST_ADDRESSES = 256

Authenticate = Callable[[dict[str, Any], str | None], context.RequestContext]


class FailureLog:
    """Counts failures by address and tells them `period` seconds after the first of them.

    No thread waits while nobody fails.
    """

    def __init__(self, period: float = PERIOD, most: int = MOST_ADDRESSES) -> None:
        self._period = period
        self._most = most
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._elsewhere = 0

    def note(self, address: str) -> None:
        """One more failure from that address."""
        with self._lock:
            first = not self._counts
            if address in self._counts or len(self._counts) < self._most:
                self._counts[address] = self._counts.get(address, 0) + 1
            else:
                self._elsewhere += 1
        if first:
            timer = threading.Timer(self._period, self.tell)
            timer.name, timer.daemon = "auth-failures", True
            timer.start()

    def tell(self) -> None:
        """Log what was counted, and begin anew."""
        with self._lock:
            counts, elsewhere = self._counts, self._elsewhere
            self._counts, self._elsewhere = {}, 0
        for address, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            LOG.warning("authentication failed %d times within %.0f s from %s", count, self._period, address)
        if elsewhere:
            LOG.warning("authentication failed %d times within %.0f s from other addresses", elsewhere, self._period)


def counted(authenticate: Authenticate, failures: FailureLog | None = None) -> Authenticate:
    """The same, with its refusals counted: nobody is believed, or a service's proof is wrong."""
    log = failures or FailureLog()

    def watch(environ: dict[str, Any], project_in_url: str | None) -> context.RequestContext:
        address = str(environ.get("REMOTE_ADDR") or "an unknown address")
        try:
            caller = authenticate(environ, project_in_url)
        except errors.Unauthorized:
            log.note(address)
            raise
        if environ.get("HTTP_X_SERVICE_TOKEN") and not caller.is_service:
            log.note(address)
        return caller

    return watch
