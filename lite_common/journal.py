"""What a daemon does, step by step, kept so that it outlives the daemon: a file first, the database soon after.

An observer of `lite_common.trace` appends a line to a file for each begin and each end of a step, which survives a
`kill -9` of the process (not a loss of power: nothing waits for the disk). A thread ships the lines to the database in
batches, so a request waits for no statement of it. While the database is down lines are kept, up to a size. A daemon
that starts ships what dead ones of its name and host have left, and says of their unfinished steps that they died.

The lines: `lite_common.journal_lines`, the file: `lite_common.journal_file`. Why all this: docs/adr/0014.
"""

from __future__ import annotations

import datetime
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib import parse

from oslo_config import cfg

from lite_common import db, errors, journal_file, journal_lines, operations, records, service, trace

LOG = logging.getLogger(__name__)

# Seconds between two batches, and after one that failed; rows of a batch; seconds between two looks for what dead
# processes left, and between two prunings.
PAUSE, PAUSE_DOWN = 1.0, 2.0
BATCH = 250
ADOPT_INTERVAL, PRUNE_INTERVAL = 60.0, 600.0


class Store(Protocol):
    """Where records end up; each call may be repeated, and raises errors.Unavailable when it cannot work now."""

    def write(self, steps: Sequence[records.Step], news: Sequence[operations.News]) -> None:
        """Keep the steps, and the news of operations."""

    def mark_died(self, alive: Sequence[str]) -> int:
        """Note that no other process of this daemon runs than these."""

    def prune(self, before: datetime.datetime) -> int:
        """Forget what began earlier."""


class Table:
    """The database's tables as the store of one daemon."""

    def __init__(self, database: db.Database, host: str, name: str) -> None:
        self._db = database
        self._host = host
        self._name = name
        self._operations = operations.Writer(database)

    def write(self, steps: Sequence[records.Step], news: Sequence[operations.News]) -> None:
        """Keep them, in one statement for the steps and one for operations."""
        records.write(self._db, steps)
        self._operations.write(news)

    def mark_died(self, alive: Sequence[str]) -> int:
        """Steps and operations that run in no living process have died; how many steps."""
        operations.mark_died(self._db, self._host, self._name, alive)
        return records.mark_died(self._db, self._host, self._name, alive)

    def prune(self, before: datetime.datetime) -> int:
        """Forget steps and operations that began earlier; how many."""
        return records.prune(self._db, before) + operations.prune(self._db, before)


class Journal:
    """A part of a daemon: records its steps from start to stop. The first part after those it needs, so that it stops
    after all that makes steps.

    `directory` holds the files, `name` is the daemon's name in records, `keep` after how many seconds records are
    removed (0: never), `longest` how many bytes wait in the file while the database is down.
    """

    def __init__(self, directory: str, name: str, host: str, store: Store, *, keep: float, longest: int) -> None:
        self._directory = directory
        self._name = name
        self._host = host
        self._store = store
        self._keep = keep
        self._longest = longest
        self._file: journal_file.JournalFile | None = None
        self._writer: journal_lines.Writer | None = None
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to record. A directory that cannot be written to is told in the log, and nothing is recorded."""
        process = f"{os.getpid()}@{iso(db.utcnow())}"
        prefix = f"{self._name}@{parse.quote(self._host, safe='')}"
        try:
            file = journal_file.JournalFile.create(self._directory, prefix, process, self._longest)
        except OSError as err:
            LOG.error("Steps are not recorded: the journal in %s cannot be written: %s", self._directory, err)
            return
        self._file = file
        self._writer = journal_lines.Writer(file.append, self._name, self._host, process)
        self._halt.clear()
        self._thread = threading.Thread(target=self._loop, args=(file, prefix), name="journal", daemon=True)
        self._thread.start()
        trace.observe(self._writer, first=True)
        trace.observe_operations(self._writer)

    def stop(self, timeout: float) -> None:
        """Ship what is left; what the database does not take now is left to the next start."""
        if self._file is None or self._writer is None or self._thread is None:
            return
        trace.ignore_operations(self._writer)
        trace.ignore(self._writer)
        self._halt.set()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._file.close()
        self._file = self._writer = None

    def _loop(self, file: journal_file.JournalFile, prefix: str) -> None:
        shipper = _Shipper(file, self._store)
        works: list[Callable[[], None]] = [
            shipper.ship,
            _Turn(ADOPT_INTERVAL, lambda: self._adopt(file, prefix)),
            _Turn(PRUNE_INTERVAL, self._prune),
        ]
        pause = PAUSE
        while not self._halt.wait(pause):
            pause = PAUSE if _done(lambda: [work() for work in works]) else PAUSE_DOWN
            shipper.make_room()
        _done(shipper.ship)

    def _adopt(self, own: journal_file.JournalFile, prefix: str) -> None:
        """Ship what dead processes have left, and mark the steps in which they died."""
        alive, dead = journal_file.others(self._directory, prefix, own)
        try:
            for file in dead:
                _Shipper(file, self._store).ship()
            number = self._store.mark_died(alive)
            for file in dead:
                file.remove()
        finally:
            for file in dead:
                file.close()
        if number:
            LOG.warning("%d steps of processes of this daemon that were killed did not end", number)

    def _prune(self) -> None:
        if self._keep:
            number = self._store.prune(db.utcnow() - datetime.timedelta(seconds=self._keep))
            if number:
                LOG.info("%d records older than %g days were removed", number, self._keep / 86400)


class _Turn:
    """Work that is done again `interval` seconds after it has succeeded."""

    def __init__(self, interval: float, work: Callable[[], None]) -> None:
        self._interval = interval
        self._work = work
        self._due = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._due:
            self._work()
            self._due = time.monotonic() + self._interval


def _done(work: Callable[[], object]) -> bool:
    """Whether it worked; if not, the log says why, and it will be tried again."""
    try:
        work()
    except errors.Unavailable as err:
        LOG.warning("steps wait in the journal: %s", err.message)
        return False
    except Exception:  # outermost frame of the thread
        LOG.exception("steps wait in the journal")
        return False
    return True


class _Shipper:
    """Takes lines from the file to the store, in order."""

    def __init__(self, file: journal_file.JournalFile, store: Store) -> None:
        self._file = file
        self._store = store

    def ship(self) -> None:
        """Ship all that is there. Raises what the store raises; what was not shipped will be the next time."""
        while True:
            lines, end = self._file.read(BATCH)
            if not lines:
                return
            self._store.write(*journal_lines.read(lines))
            self._file.shipped(end)

    def make_room(self) -> None:
        """Drop the oldest lines of a file that has become too long."""
        try:
            number = self._file.make_room()
        except OSError as err:
            LOG.error("The journal cannot be shortened: %s", err)
            return
        if number:
            LOG.warning("the journal is too long: its oldest %d lines were dropped", number)


def iso(moment: datetime.datetime) -> str:
    """A time of the tables as others read it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Off:
    """The part of a daemon that records nothing."""

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self, timeout: float) -> None:
        """Nothing to end."""


def from_conf(conf: cfg.ConfigOpts, database: db.Database, name: str, *, prunes: bool = False) -> service.Part:
    """The journal of the daemon that is called `name` in records, as the `[trace]` options say.

    With `prunes` it also removes old records, those of all daemons.
    """
    if not conf.trace.records:
        return _Off()
    return Journal(
        # One each: daemons that share state_path may be different users, and a directory is its maker's alone.
        os.path.join(conf.state_path, f"journal-{name}"),
        name,
        conf.host,
        Table(database, conf.host, name),
        keep=conf.trace.keep * 86400 if prunes else 0,
        longest=conf.trace.journal_size << 20,
    )
