"""The journal's file: lines are appended by any thread, read by one, and outlive the process.

A file belongs to one process, which holds a lock on it for as long as it lives; a file without a lock was left behind.
Its name is DAEMON@HOST+PROCESS.journal. It is emptied when all its lines have been shipped, so it stays small; while
nothing can be shipped it grows to its limit, and then the older half is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading

LOG = logging.getLogger(__name__)

SUFFIX, BESIDE = ".journal", ".new"
# A file that is longer than this is emptied when all is shipped.
EMPTIED = 1 << 20
CHUNK = 256 << 10


class JournalFile:
    """One file, open and locked. Made by `create` for a process of its own, by `others` for what was left behind."""

    def __init__(self, path: str, descriptor: int, process: str, longest: int) -> None:
        self.path = path
        self.process = process
        self._fd = descriptor
        self._longest = longest
        self._lock = threading.Lock()
        # What lies before it has been shipped.
        self._done = 0
        self._failed = False

    @classmethod
    def create(cls, directory: str, prefix: str, process: str, longest: int) -> JournalFile:
        """A new file, 0600, in a directory that is made if it is not there (0700). Raises OSError."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        path = os.path.join(directory, f"{prefix}+{process}{SUFFIX}")
        return cls(path, _replace(path, b""), process, longest)

    def append(self, line: bytes) -> None:
        """Add the line. A disk that is full costs lines, never the work that they tell of."""
        with self._lock:
            try:
                os.write(self._fd, line + b"\n")
            except OSError as err:
                if not self._failed:
                    LOG.error("Steps are not recorded: %s cannot be written: %s", self.path, err)
                self._failed = True
                return
        if self._failed:
            self._failed = False
            LOG.warning("%s can be written again", self.path)

    def read(self, most: int) -> tuple[list[bytes], int]:
        """Up to `most` whole lines that are not shipped, and where they end. A line without an end is not whole."""
        data = os.pread(self._fd, CHUNK, self._done)
        *lines, _ = data.split(b"\n")
        lines = lines[:most]
        return lines, self._done + sum(len(line) + 1 for line in lines)

    def passed(self, end: int) -> None:
        """The lines up to there need not be read again."""
        self._done = end

    def shipped(self, end: int) -> None:
        """The lines up to there are safe elsewhere. The file is emptied when that is all of it and it has grown."""
        self._done = end
        if end < EMPTIED:
            return
        with self._lock:
            if os.fstat(self._fd).st_size == end:
                os.ftruncate(self._fd, 0)
                self._done = 0

    def make_room(self) -> int:
        """Drop the older half of a file that is beyond its limit; how many lines were not shipped. Raises OSError.

        A new file takes the old one's place, so that whoever is killed here leaves one of them whole.
        """
        if os.fstat(self._fd).st_size <= self._longest:
            return 0
        with self._lock:
            data = os.pread(self._fd, os.fstat(self._fd).st_size, self._done)
            kept = data[-self._longest // 2 :] if len(data) > self._longest // 2 else data
            if len(kept) < len(data):
                kept = kept[kept.find(b"\n") + 1 :]
            old, self._fd, self._done = self._fd, _replace(self.path, kept), 0
            os.close(old)
        return data.count(b"\n") - kept.count(b"\n")

    def close(self) -> None:
        """Let go of it; a file whose lines are all shipped goes."""
        with self._lock:
            if os.fstat(self._fd).st_size == self._done:
                self.remove()
            os.close(self._fd)

    def remove(self) -> None:
        """Remove the file; it is still to be let go of."""
        for path in (self.path, f"{self.path}{BESIDE}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def others(directory: str, prefix: str, own: JournalFile) -> tuple[list[str], list[JournalFile]]:
    """The processes of this name that live, `own` among them, and the files of those that do not, now locked."""
    alive, dead = [own.process], []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not (name.startswith(f"{prefix}+") and name.endswith(SUFFIX)) or path == own.path:
            continue
        process = name[len(prefix) + 1 : -len(SUFFIX)]
        try:
            dead.append(JournalFile(path, _open(path), process, 0))
        except BlockingIOError:
            alive.append(process)
        except FileNotFoundError:
            # Its process has just ended well.
            continue
    return alive, dead


def _replace(path: str, data: bytes) -> int:
    """A locked file with this data, put there as a whole, in place of one that may be there; its descriptor."""
    beside = f"{path}{BESIDE}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    descriptor = _open(beside, os.O_CREAT | os.O_EXCL)
    try:
        with open(descriptor, "ab", closefd=False) as new:
            new.write(data)
        os.rename(beside, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: str, more: int = 0) -> int:
    """The file's descriptor, with its lock. Raises BlockingIOError when a living process has the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | more, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
