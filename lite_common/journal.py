"""What a daemon does, step by step, kept so that it outlives the daemon: a file first, the database soon after.

An observer of `lite_common.trace` appends a line to a file for each begin and each end of a step, which survives a
`kill -9` of the process (not a loss of power: nothing waits for the disk). A thread ships the lines to the database in
batches, so a request waits for no statement of it. While the database is down lines are kept, up to a size. A daemon
that starts ships what dead ones of its name and host have left, and says of their unfinished steps that they died.

Each line is a whole record, so that lines may be lost, cut, or shipped twice. See docs/adr/0014.
"""

from __future__ import annotations

import datetime
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from urllib import parse

import orjson
from oslo_config import cfg
from oslo_context import context as oslo_context

from lite_common import db, errors, journal_file, records, service, trace

LOG = logging.getLogger(__name__)

# Seconds between two batches, and after one that failed; rows of a batch; seconds between two looks for what dead
# processes left, and between two prunings.
PAUSE, PAUSE_DOWN = 0.2, 2.0
BATCH = 250
ADOPT_INTERVAL, PRUNE_INTERVAL = 60.0, 600.0


class Store(Protocol):
    """Where records end up; each call may be repeated, and raises errors.Unavailable when it cannot work now."""

    def write(self, steps: Sequence[records.Step]) -> None:
        """Keep the steps."""

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

    def write(self, steps: Sequence[records.Step]) -> None:
        """Keep the steps, in one statement."""
        records.write(self._db, steps)

    def mark_died(self, alive: Sequence[str]) -> int:
        """Steps that run in no living process have died."""
        return records.mark_died(self._db, self._host, self._name, alive)

    def prune(self, before: datetime.datetime) -> int:
        """Forget steps that began earlier."""
        return records.prune(self._db, before)


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
        self._writer: _Writer | None = None
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
        self._writer = _Writer(file, self._name, self._host, process)
        self._halt.clear()
        self._thread = threading.Thread(target=self._loop, args=(self._writer, prefix), name="journal", daemon=True)
        self._thread.start()
        trace.observe(self._writer)

    def stop(self, timeout: float) -> None:
        """Ship what is left; what the database does not take now is left to the next start."""
        if self._writer is None or self._thread is None:
            return
        trace.ignore(self._writer)
        self._halt.set()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._writer.file.close()
        self._writer = None

    def _loop(self, writer: _Writer, prefix: str) -> None:
        shipper = _Shipper(writer.file, self._store)
        works: list[Callable[[], None]] = [
            shipper.ship,
            _Turn(ADOPT_INTERVAL, lambda: self._adopt(writer.file, prefix)),
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
                LOG.info("%d steps older than %g days were removed", number, self._keep / 86400)


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


class _Writer:
    """The observer: makes records of steps and appends them to the file."""

    def __init__(self, file: journal_file.JournalFile, name: str, host: str, process: str) -> None:
        self.file = file
        self._own = {"service": name, "host": host, "process": process}
        # Where several daemons share a process, each records what threads do in its name.
        self._daemon = service.current()
        self._open: dict[int, dict[str, Any]] = {}

    def begin(self, step: trace.Step) -> None:
        """Record that it runs, for the request that is current now."""
        daemon = service.current()
        if daemon is not None and daemon is not self._daemon:
            return
        record = self._record(step)
        self._open[step.number] = record
        self._append(record)

    def end(self, step: trace.Step) -> None:
        """Record how it ended."""
        record = self._open.pop(step.number, None)
        if record is None:
            return
        record["outcome"] = records.ERROR if step.outcome == trace.ERROR else records.OK
        record["finished_at"] = _moment(step.began + (step.seconds or 0.0))
        if step.error is not None:
            record["error"], record["error_type"] = _told(step.error)
        self._append(record)

    def _append(self, record: dict[str, Any]) -> None:
        try:
            self.file.append(orjson.dumps(record))
        except orjson.JSONEncodeError as err:
            # Whatever a client may have put into an id or an error: the step itself goes on.
            LOG.warning("a step cannot be recorded: %s", err)

    def _record(self, step: trace.Step) -> dict[str, Any]:
        ctx = oslo_context.get_current()
        request = (ctx.global_request_id or ctx.request_id) if ctx is not None else None
        return {
            **self._own,
            "number": step.number,
            "parent": step.parent,
            "step": step.name,
            "ids": {name: value[:36] for name, value in step.ids.items() if name in records.SUBJECTS},
            "request_id": request,
            "project_id": ctx.project_id if ctx is not None else None,
            "user_id": ctx.user_id if ctx is not None else None,
            "started_at": _moment(step.began),
            "finished_at": None,
            "outcome": records.RUNNING,
        }


def _told(error: BaseException) -> tuple[str | None, str]:
    """An error in words, and its kind. Only our own errors are known to hold no secret."""
    # Errors that came over RPC are of classes with this suffix.
    kind = type(error).__name__.removesuffix("_Remote")
    return (error.message[: records.LONGEST_ERROR] if isinstance(error, errors.LiteError) else None), kind


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
            self._store.write(_steps(lines))
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


def _steps(lines: Iterable[bytes]) -> list[records.Step]:
    """The records of the lines, the last of each step. A line that is none (half-written) is passed over."""
    found: dict[tuple[str, int], records.Step] = {}
    for line in lines:
        try:
            step = _step(orjson.loads(line))
        except (ValueError, TypeError, KeyError):
            continue
        found[step.process, step.number] = step
    return list(found.values())


def _step(told: dict[str, Any]) -> records.Step:
    finished = told.pop("finished_at")
    started = datetime.datetime.fromisoformat(told.pop("started_at"))
    return records.Step(
        started_at=started,
        finished_at=datetime.datetime.fromisoformat(finished) if finished else None,
        **told,
    )


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None).isoformat()


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
        os.path.join(conf.state_path, "journal"),
        name,
        conf.host,
        Table(database, conf.host, name),
        keep=conf.trace.keep * 86400 if prunes else 0,
        longest=conf.trace.journal_size << 20,
    )
