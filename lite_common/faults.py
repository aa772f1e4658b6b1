"""Faults on purpose: a step, found by its name, dies, hangs or fails. How the tests prove that nothing is ever stuck.

A fault is `WHEN:STEP:WHAT[:SECONDS][*TIMES]`: `before:create_export:die`, `after:hand_over:hang:5`,
`before:connect_volume:error*3`. `before` is at the step's begin, `after` once it was done. `die` is SIGKILL to the own
process, `hang` sleeps, `error` fails the step. Each fires once, or TIMES times. Faults are taken from the environment:
NLITE_FAULTS holds some, separated by commas; NLITE_FAULTS_FILE names a file, one a line, that is looked at on every
step, so that a running daemon can be armed and disarmed; what has fired is gone from it before it fires.

Only `[DEFAULT] fault_injection = true` makes a daemon look at them. Otherwise nothing listens and nothing is paid.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from lite_common import errors, trace

LOG = logging.getLogger(__name__)

VARIABLE, FILE_VARIABLE = "NLITE_FAULTS", "NLITE_FAULTS_FILE"
BEFORE, AFTER = "before", "after"
DIE, HANG, ERROR = "die", "hang", "error"
LONGEST_HANG = 3600.0
SYNTAX = "WHEN:STEP:WHAT with WHEN before or after and WHAT die, hang:SECONDS or error, and *TIMES after it"
_FORM = re.compile(r"(before|after):(\w+):(?:(die|error)|(hang):(\d+(?:\.\d+)?))(?:\*([1-9]\d*))?")


@dataclass(frozen=True)
class Fault:
    """What is to happen at which step, and how often yet. `seconds` belongs to a hang."""

    when: str
    step: str
    what: str
    seconds: float = 0.0
    times: int = 1

    def __str__(self) -> str:
        hangs = f":{self.seconds:g}" if self.what == HANG else ""
        often = f"*{self.times}" if self.times > 1 else ""
        return f"{self.when}:{self.step}:{self.what}{hangs}{often}"


def parse(text: str) -> list[Fault]:
    """The faults of a text, separated by commas or lines. Raises errors.Invalid, which shows the part that is wrong."""
    found = []
    for part in re.split(r"[,\n]", text):
        if not part.strip():
            continue
        match = _FORM.fullmatch(part.strip())
        if match is None:
            raise errors.Invalid(f"The fault {part.strip()!r} is none: write {SYNTAX}.")
        when, step, sudden, hang, seconds, times = match.groups()
        if seconds is not None and float(seconds) > LONGEST_HANG:
            raise errors.Invalid(f"The fault {part.strip()!r} hangs for more than {LONGEST_HANG:g} s.")
        found.append(Fault(when, step, sudden or hang, float(seconds or 0), int(times or 1)))
    return found


def arm(path: Path, *faults: Fault) -> None:
    """Make these the faults of the file. A daemon sees all of them or none."""
    with _alone(path):
        _write(path, faults)


def armed(path: Path) -> list[Fault]:
    """The faults of the file that have not fired. A file that is not there has none."""
    try:
        return parse(path.read_text())
    except FileNotFoundError:
        return []


class Injector:
    """The observer of steps that lets faults happen: its own, and those of the file at `path`."""

    def __init__(self, faults: Sequence[Fault] = (), path: Path | None = None) -> None:
        self._faults = list(faults)
        self._path = path
        self._lock = threading.Lock()

    def begin(self, step: trace.Step) -> None:
        """See trace.Observer."""
        self._fire(BEFORE, step)

    def end(self, step: trace.Step) -> None:
        """See trace.Observer. A step that failed was not done, so nothing comes after it."""
        if step.outcome == trace.OK:
            self._fire(AFTER, step)

    def _fire(self, when: str, step: trace.Step) -> None:
        fault = self._take(when, step.name)
        if fault is None:
            return
        LOG.warning("the fault %s:%s:%s happens on purpose", when, step.name, fault.what)
        if fault.what == DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.what == HANG:
            time.sleep(fault.seconds)
        else:
            raise errors.BackendError(f"Step {step.name} failed on purpose: fault_injection is on, {VARIABLE}.")

    def _take(self, when: str, step: str) -> Fault | None:
        """The fault of this moment, which from now on has fired; for the others that look at the file as well."""
        with self._lock:
            found, self._faults = _without_first(self._faults, when, step)
        if found is not None or self._path is None or not _matching(self._read(), when, step):
            return found
        with _alone(self._path):
            found, left = _without_first(self._read(), when, step)
            if found is not None:
                _write(self._path, left)
        return found

    def _read(self) -> list[Fault]:
        try:
            return armed(self._path) if self._path else []
        except errors.Invalid as err:
            # A person is writing it just now; the daemon goes on.
            LOG.error("%s is passed over: %s", self._path, err.message)
            return []


def install(conf: cfg.ConfigOpts) -> None:
    """Let the faults of the environment happen in this process, if `[DEFAULT] fault_injection` allows any.

    Raises SystemExit, after it has logged why, for faults that make no sense: a test that waits for one of them must
    not pass because it was never armed.
    """
    text, file = os.environ.get(VARIABLE, ""), os.environ.get(FILE_VARIABLE, "")
    if not conf.fault_injection:
        if text or file:
            LOG.warning("%s does nothing, because fault_injection is off", VARIABLE if text else FILE_VARIABLE)
        return
    path = Path(file) if file else None
    try:
        faults = parse(text)
        waiting = armed(path) if path else []
    except errors.Invalid as err:
        LOG.critical("cannot start: %s", err.message)
        raise SystemExit(1) from err
    LOG.warning(
        "fault_injection is on: this process dies, hangs or fails where %s or %s says (now: %s). Not for production.",
        VARIABLE,
        FILE_VARIABLE,
        ", ".join(map(str, [*faults, *waiting])) or "nothing",
    )
    trace.observe(Injector(faults, path))


def _matching(faults: Sequence[Fault], when: str, step: str) -> bool:
    return any((one.when, one.step) == (when, step) for one in faults)


def _without_first(faults: Sequence[Fault], when: str, step: str) -> tuple[Fault | None, list[Fault]]:
    """The first fault of this moment, and what is left when it has fired once."""
    for number, one in enumerate(faults):
        if (one.when, one.step) == (when, step):
            again = [dataclasses.replace(one, times=one.times - 1)] if one.times > 1 else []
            return one, [*faults[:number], *again, *faults[number + 1 :]]
    return None, list(faults)


def _write(path: Path, faults: Sequence[Fault]) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(f"{one}\n" for one in faults))
    os.replace(new, path)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep the other processes that use the file from changing it. A killed one holds it no longer."""
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
