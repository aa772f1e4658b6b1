"""Two daemons under one name would do the same work at once: the second one does not start.

On one machine a lock on a file tells, which the kernel lets go of when its process ends, however it ends: a daemon
that was killed is back at once. Between machines only heartbeats tell, and a fresh one may be that of the daemon
itself, killed a moment ago. A file in state_path says that the name is this machine's; a machine that has it not, and
finds a fresh heartbeat, looks whether another one comes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable

from lite_common import errors

LOG = logging.getLogger(__name__)

# How often the heartbeat is looked at, and how long (in its intervals) another one is waited for.
_LOOK = 0.5
_INTERVALS = 1.5

# The number of heartbeats so far while they are fresh; None for no heartbeat, or an old one.
Beats = Callable[[], int | None]


class Sole:
    """A part of a daemon, the first after its database, that starts for one process of that name only.

    `beats` reads the heartbeat, which comes every `interval` seconds.
    """

    def __init__(self, state_path: str, name: str, beats: Beats, interval: float) -> None:
        self._path = os.path.join(state_path, f"{name.replace('/', '_')}.lock")
        self._name = name
        self._beats = beats
        self._interval = interval
        self._file: int | None = None

    def start(self) -> None:
        """Take the name. Raises errors.Conflict, which says who has it."""
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                # Of the process, and not of the open file: children do not keep it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                holder = os.pread(file, 64, 0).decode(errors="replace").strip() or "unknown"
                raise errors.Conflict(
                    f"{self._name} runs already on this machine, as process {holder} (lock {self._path}). "
                    "Stop that one, or give this one another `host` and state_path."
                ) from err
            if not os.pread(file, 64, 0):
                self._look_elsewhere()
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def stop(self, timeout: float) -> None:
        """Let the name go; that it is this machine's stays written."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _look_elsewhere(self) -> None:
        """Return when no other machine reports under the name. Raises errors.Conflict when one does."""
        before = self._beats()
        if before is None:
            return
        LOG.warning("%s has reported a moment ago, and not from here; waiting whether it does again", self._name)
        end = time.monotonic() + self._interval * _INTERVALS
        while time.monotonic() < end:
            time.sleep(min(_LOOK, self._interval / 4))
            now = self._beats()
            if now is not None and now != before:
                raise errors.Conflict(
                    f"{self._name} runs on another machine: it reports while this one starts. Stop that one, or give "
                    "this one another `host`."
                )
