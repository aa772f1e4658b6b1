"""One line per step of the path: `step=NAME outcome=... ms=...`, with the ids of what it works on.

The step's name is the function's name, the log's name and the heading in docs/attach-path.md. Who wants to know of
steps besides the log (records, injected faults) observes them.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar

LOG = logging.getLogger("step")
P = ParamSpec("P")
T = TypeVar("T")

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
    operation: Operation | None = None


@dataclass
class Operation:
    """Something that is wanted of a thing: this daemon's part of it, running or ended as a Step is.

    `wanted` is the state that the thing shall be in, `about` the name of the thing among `ids`, which steps add to. The
    operation ends with its `last` part; one before hands it on, unless it fails.
    """

    kind: str
    wanted: str
    about: str
    ids: dict[str, str]
    last: bool
    number: int
    began: float = field(default_factory=time.time)
    outcome: str | None = None
    seconds: float | None = None
    error: BaseException | None = None

    def learn(self, known: Mapping[str, str]) -> None:
        """Take over the ids of a step, if that is about the same thing; a server has many of the others."""
        subject = self.ids.get(self.about)
        if subject is None or (known.get(self.about) == subject and self.about != "server"):
            self.ids = {**known, **self.ids}


class Observer(Protocol):
    """Is told of every step, in the thread that does it; what it raises goes up as if the step itself had failed."""

    def begin(self, step: Step) -> None:
        """The step is about to be done."""

    def end(self, step: Step) -> None:
        """The step was done, or has failed. Observers are told in the reverse order of `begin`."""


class OperationObserver(Protocol):
    """Is told of every operation, as an Observer of steps."""

    def begin_operation(self, operation: Operation) -> None:
        """The operation, or this daemon's part of it, begins."""

    def end_operation(self, operation: Operation) -> None:
        """It was done or has failed."""


_OBSERVERS: list[Observer] = []
_OPERATION_OBSERVERS: list[OperationObserver] = []
_NUMBERS = itertools.count(1)
_CURRENT: contextvars.ContextVar[int | None] = contextvars.ContextVar("step", default=None)
_OPERATION: contextvars.ContextVar[Operation | None] = contextvars.ContextVar("operation", default=None)


def observe(observer: Observer, *, first: bool = False) -> None:
    """Tell `observer` of the steps of this process from now on; one that is `first` hears of a begin before the others.

    Who records steps is first, so that a step in which the process dies is on record.
    """
    _OBSERVERS.insert(0 if first else len(_OBSERVERS), observer)


def ignore(observer: Observer) -> None:
    """Tell it no more."""
    _OBSERVERS.remove(observer)


def observe_operations(observer: OperationObserver) -> None:
    """Tell `observer` of the operations of this process from now on."""
    _OPERATION_OBSERVERS.append(observer)


def ignore_operations(observer: OperationObserver) -> None:
    """Tell it no more."""
    _OPERATION_OBSERVERS.remove(observer)


def operation(
    kind: str, wanted: str, *, about: str, last: bool = True, **arguments: str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function an operation, or a part of one: `@operation("delete", "deleted", about="server", server="id")`.

    `arguments` name the arguments that hold ids. A function that is called by one of the same kind is a part of that.
    """

    def decorate(work: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(work)

        @functools.wraps(work)
        def done(*args: P.args, **kwargs: P.kwargs) -> T:
            around = _OPERATION.get()
            if around is not None and around.kind == kind:
                return work(*args, **kwargs)
            given = signature.bind(*args, **kwargs).arguments
            ids = {name: str(given[key]) for name, key in arguments.items() if given.get(key) is not None}
            with _operating(Operation(kind, wanted, about, ids, last, next(_NUMBERS))):
                return work(*args, **kwargs)

        return done

    return decorate


def ends_here() -> None:
    """The operation in work has nothing that it would be handed on to."""
    around = _OPERATION.get()
    if around is not None:
        around.last = True


@contextlib.contextmanager
def _operating(this: Operation) -> Iterator[None]:
    begun = time.monotonic()
    token = _OPERATION.set(this)
    try:
        for observer in _OPERATION_OBSERVERS:
            observer.begin_operation(this)
        yield
        this.outcome = OK
    except BaseException as err:
        this.outcome, this.error = ERROR, err
        raise
    finally:
        this.seconds = time.monotonic() - begun
        _OPERATION.reset(token)
        for observer in _OPERATION_OBSERVERS:
            observer.end_operation(this)


@contextlib.contextmanager
def step(name: str, **ids: Any) -> Iterator[None]:
    """Log the begin (debug) and the end (info) of the named step; an error is named and goes on up."""
    told = " ".join(f"{key}={value}" for key, value in ids.items())
    known = {key: str(value) for key, value in ids.items() if value is not None}
    around = _OPERATION.get()
    if around is not None:
        around.learn(known)
    this = Step(name, known, next(_NUMBERS), _CURRENT.get(), operation=around)
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
