"""One change of the kernel's target configuration at a time, on the whole host.

rtslib reads, decides and writes in several steps of configfs, and the saved configuration is one file, so two
programs that change them at once would undo each other's work. Every cinder-lite-volume and cinder-lite-rtstool on
the host takes this lock, named `lioadm` as Cinder's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator

from lite_common import errors

# Beside the saved configuration, in a directory that has to be writable anyway, and by root alone: nobody can put
# a link or a lock of their own in its place.
PATH = "/etc/target/.cinder-lite-lioadm.lock"
# A change takes some milliseconds; whoever holds the lock longer is stuck.
WAIT = 30.0
_POLL = 0.005

# flock belongs to the open file, and would do between threads, too; this spares them the polling.
_threads = threading.Lock()


@contextlib.contextmanager
def hold(path: str = PATH, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock while the block runs. Raises errors.Timeout when others hold it for `wait` seconds."""
    deadline = time.monotonic() + wait
    if not _threads.acquire(timeout=wait):
        raise _late(path, wait)
    try:
        try:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as err:
            raise errors.BackendError(
                f"The lock of the kernel's targets, {path}, cannot be opened: {err.strerror}. Make it writable."
            ) from err
        try:
            _take(descriptor, path, wait, deadline)
            yield
        finally:
            # Closing lets go of it.
            os.close(descriptor)
    finally:
        _threads.release()


def _take(descriptor: int, path: str, wait: float, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _late(path, wait) from None
        time.sleep(_POLL)


def _late(path: str, wait: float) -> errors.Timeout:
    return errors.Timeout(
        f"Another program has been changing the kernel's iSCSI targets for {wait:g} seconds (lock {path}). "
        f"`fuser -v {path}` names it; end it if it is stuck, then repeat the request."
    )
