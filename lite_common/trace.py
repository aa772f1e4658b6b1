"""One line per step of the path: `step=NAME outcome=... ms=...`, with the ids of what it works on.

The step's name is the function's name, the log's name and the heading in docs/attach-path.md. Who wants to know of
steps besides the log (records, injected faults) observes them.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

LOG = logging.getLogger("step")

OK, ERROR = "ok", "error"


@dataclass
class Step:
    """One step in this process, running or ended.

    `number` counts the process's steps, `parent` is that of the step around this one in the same thread. `began` is
    unix time. `outcome` is None while the step runs; `seconds` and `error` (what it failed with) belong to its end.
    """

    name: str
    ids: dict[str, str]
    number: int
    parent: int | None
    began: float = field(default_factory=time.time)
    outcome: str | None = None
    seconds: float | None = None
    error: BaseException | None = None


class Observer(Protocol):
    """Is told of every step, in the thread that does it; what it raises goes up as if the step itself had failed."""

    def begin(self, step: Step) -> None:
        """The step is about to be done."""

    def end(self, step: Step) -> None:
        """The step was done, or has failed. Observers are told in the reverse order of `begin`."""


_OBSERVERS: list[Observer] = []
_NUMBERS = itertools.count(1)
_CURRENT: contextvars.ContextVar[int | None] = contextvars.ContextVar("step", default=None)


def observe(observer: Observer) -> None:
    """Tell `observer` of the steps of this process from now on."""
    _OBSERVERS.append(observer)


def ignore(observer: Observer) -> None:
    """Tell it no more."""
    _OBSERVERS.remove(observer)


@contextlib.contextmanager
def step(name: str, **ids: Any) -> Iterator[None]:
    """Log the begin (debug) and the end (info) of the named step; an error is named and goes on up."""
    told = " ".join(f"{key}={value}" for key, value in ids.items())
    known = {key: str(value) for key, value in ids.items() if value is not None}
    this = Step(name, known, next(_NUMBERS), _CURRENT.get())
    begun = time.monotonic()
    LOG.debug("step=%s begin %s", name, told)
    token = _CURRENT.set(this.number)
    try:
        with _observed(this, begun):
            yield
    except BaseException as err:
        LOG.warning("step=%s outcome=error ms=%.1f %s error=%s: %s", name, _ms(begun), told, type(err).__name__, err)
        raise
    finally:
        _CURRENT.reset(token)
    LOG.info("step=%s outcome=ok ms=%.1f %s", name, _ms(begun), told)


@contextlib.contextmanager
def _observed(this: Step, begun: float) -> Iterator[None]:
    with contextlib.ExitStack() as ended:
        try:
            for observer in _OBSERVERS:
                ended.callback(observer.end, this)
                observer.begin(this)
            yield
        except BaseException as err:
            this.outcome, this.seconds, this.error = ERROR, time.monotonic() - begun, err
            raise
        this.outcome, this.seconds = OK, time.monotonic() - begun


def _ms(begun: float) -> float:
    return (time.monotonic() - begun) * 1e3
