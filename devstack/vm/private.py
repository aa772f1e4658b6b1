"""A state directory for the machines of one process, which nobody else comes upon and which is not left behind."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path

# Short, for the paths of sockets are; not /tmp, which may be small and in memory.
PLACE = Path("/var/tmp")
PREFIX = "nlvm-"


class PrivateState:
    """`path` is the directory, this process' own until `remove`; those of processes that were killed are removed first.

    The machines in such a directory must have ended by then: they do not outlive the process that started them.
    """

    def __init__(self) -> None:
        for entry in PLACE.glob(f"{PREFIX}*/owner"):
            _remove_if_left(entry)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
        # Locked before it has the name by which others find it, or they would take it for one that was left.
        fresh = self.path / "owner.new"
        self._owner = fresh.open("w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        fresh.rename(self.path / "owner")

    def remove(self) -> None:
        """Remove the directory with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._owner.close()


def _remove_if_left(entry: Path) -> None:
    try:
        with entry.open() as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry.parent, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return
