"""Daemons' threads as greenlets under one scheduler: who runs next, for how long, and what time it is, is chosen.

A thread of a daemon is a `Task`. It runs until it has passed a number of points (`Hub.pause`: before each statement,
message, request, step and change of a twin) or has to wait. A daemon that is killed is a set of tasks that never run
again: no `finally`, no undo, exactly as after SIGKILL. Time passes only when somebody lets it.
"""

from __future__ import annotations

import _thread
import collections
import datetime
import itertools
import random
import threading
import time
import types
import uuid
from collections.abc import Callable
from concurrent import futures
from typing import Any

import greenlet

START = 1_800_000_000.0


class Stuck(AssertionError):
    """Tasks run on and on without an end."""


class Future:
    """An answer that somebody waits for. A `lost` one never arrives."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.done = self.lost = False
        self.value: Any = None
        self.error: BaseException | None = None

    def set(self, value: Any = None, error: BaseException | None = None) -> None:
        """Answer, unless that was done already."""
        if not self.done and not self.lost:
            self.done, self.value, self.error = True, value, error


class Daemon:
    """One life of a daemon: what dies with it. `fuse` is the number of points after which it is killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.fuse: int | None = None
        self.serving: set[Future] = set()
        self.timers: list[Any] = []
        self.parts: list[Any] = []


class Task:
    """A thread of a daemon, or (without one) of a client."""

    def __init__(self, name: str, daemon: Daemon | None, work: Callable[[], None], hub: Hub) -> None:
        self.name = name
        self.daemon = daemon
        self.until: float | None = None
        self.awaits: Callable[[], bool] | None = None
        self.greenlet = greenlet.greenlet(work, parent=hub.main)

    def is_ready(self, now: float) -> bool:
        """Whether it could run on."""
        if self.greenlet.dead or (self.daemon is not None and not self.daemon.alive):
            return False
        if self.awaits is None and self.until is None:
            return True
        return (self.until is not None and now >= self.until) or (self.awaits is not None and self.awaits())


class Hub:
    """The scheduler and the clock. `crashed` are errors that ended a task and should not have."""

    def __init__(self) -> None:
        self.main = greenlet.getcurrent()
        self.offset = 0.0
        self.tasks: list[Task] = []
        self.graveyard: list[Task] = []
        self.current: Task | None = None
        self.budget = 0
        self.closing = False
        self._thread = _thread.get_ident()
        self.crashed: list[str] = []
        self.on_death: Callable[[Daemon], None] = lambda daemon: None
        self.story: list[str] = []
        self.tally: collections.Counter[str] = collections.Counter()

    def spawn(self, name: str, daemon: Daemon | None, work: Callable[[], Any]) -> Task:
        """A new task, which has not begun yet."""

        def run() -> None:
            try:
                work()
            except greenlet.GreenletExit:
                raise
            except Exception as err:
                self.crashed.append(f"{name}: {type(err).__name__}: {err}")

        task = Task(name, daemon, run, self)
        self.tasks.append(task)
        return task

    def ready(self) -> list[Task]:
        """The tasks that could run on, in the order in which they were made."""
        return [task for task in self.tasks if task.is_ready(self.offset)]

    def run(self, task: Task, points: int) -> None:
        """Let the task pass so many points, unless it ends or has to wait before."""
        self.current, self.budget = task, points
        task.greenlet.switch()
        self.current = None
        if task.greenlet.dead:
            self.tasks.remove(task)
            if task.daemon is not None and not task.daemon.alive:
                self.story.append(f"(the last of {task.name} was done by a dead daemon)")

    def pause(self, label: str) -> None:
        """A point: here the task may be left, and here its daemon may die."""
        if _thread.get_ident() != self._thread:
            # Not ours: other tests' daemons may be running in this process.
            return
        if self.closing:
            raise greenlet.GreenletExit
        task = self.current
        if task is None or greenlet.getcurrent() is not task.greenlet:
            return
        self.tally["points passed"] += 1
        daemon = task.daemon
        if daemon is not None and daemon.fuse is not None:
            daemon.fuse -= 1
            if daemon.fuse <= 0:
                self.story.append(f"{daemon.name} is killed in {task.name} at {label}")
                self.kill(daemon)
                self._leave()
        if self.budget <= 0:
            self.story.append(f"{task.name} is left at {label}")
            self._leave()
        self.budget -= 1

    def wait(self, condition: Callable[[], bool] | None, seconds: float) -> bool:
        """Wait for the condition; False when it did not come true within so many seconds of the hub's time."""
        if self.closing:
            raise greenlet.GreenletExit
        task = self.current
        assert task is not None, "only tasks wait"
        task.until, task.awaits = self.offset + seconds, condition
        if condition is None or not condition():
            self._leave()
        task.until = task.awaits = None
        return condition is None or condition()

    def kill(self, daemon: Daemon) -> None:
        """Its tasks run no more; whoever waits for an answer of its finds the connection closed."""
        daemon.alive, daemon.fuse = False, None
        mine = [task for task in self.tasks if task.daemon is daemon]
        begun = any(task.greenlet.gr_frame is not None for task in mine) or (self.current is not None)
        self.tally["daemons killed in the middle of their work" if begun else "daemons killed at rest"] += 1
        self.graveyard += mine
        self.tasks = [task for task in self.tasks if task.daemon is not daemon]
        self.on_death(daemon)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; those who waited for it become ready."""
        self.offset += seconds

    def next_wake(self) -> float | None:
        """When the next sleeper wakes; None when nobody waits for a time."""
        found = [task.until for task in self.tasks if task.until is not None]
        return min(found) if found else None

    def close(self) -> None:
        """End all tasks, also those of the dead, before anything of theirs is used by others."""
        self.closing = True
        for task in [*self.tasks, *self.graveyard]:
            for _ in range(50):
                if task.greenlet.dead:
                    break
                task.greenlet.throw(greenlet.GreenletExit)
        self.tasks, self.graveyard = [], []

    def _leave(self) -> None:
        self.main.switch()
        if self.closing:
            raise greenlet.GreenletExit


class Clock:
    """Stands in for the module `time` in the product's modules."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def time(self) -> float:
        """Seconds since the epoch, by the hub."""
        return START + self._hub.offset

    def monotonic(self) -> float:
        """As time()."""
        return START + self._hub.offset

    def sleep(self, seconds: float) -> None:
        """Let the others run meanwhile."""
        if self._hub.current is None:
            self._hub.pass_time(seconds)
        else:
            self._hub.wait(None, seconds)

    def utcnow(self) -> datetime.datetime:
        """Now, a little later at each look, so that rows have an order."""
        self._hub.offset += 1e-6
        return datetime.datetime.fromtimestamp(START + self._hub.offset, datetime.UTC).replace(tzinfo=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Lock:
    """Stands in for threading.Lock where a task may be left while it holds one."""

    hub: Hub

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, within the timeout."""
        if self._held:
            limit = timeout if timeout >= 0 else 1e9
            if self.hub.current is None or not self.hub.wait(lambda: not self._held, limit):
                return False
        self._held = True
        return True

    def release(self) -> None:
        """Give it back."""
        self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *gone: object) -> None:
        self.release()


class Event:
    """Stands in for threading.Event."""

    hub: Hub

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it happened."""
        return self._is_set

    def set(self) -> None:
        """It happened."""
        self._is_set = True

    def clear(self) -> None:
        """It did not happen."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it, within the timeout."""
        return self._is_set or self.hub.wait(self.is_set, 1e9 if timeout is None else timeout)


class Thread:
    """Stands in for threading.Thread: a task of the daemon whose task starts it."""

    hub: Hub

    def __init__(self, target: Callable[..., Any], name: str = "thread", args: tuple[Any, ...] = (), **_: Any) -> None:
        self.name, self.daemon = name, True
        self._work = lambda: target(*args)
        self._task: Task | None = None

    def start(self) -> None:
        """Begin, when it is chosen."""
        current = self.hub.current
        assert current is not None, f"thread {self.name} is started by no daemon"
        self._task = self.hub.spawn(f"{current.name}: {self.name}", current.daemon, self._work)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        task = self._task
        if task is not None:
            self.hub.wait(lambda: task.greenlet.dead, 1e9 if timeout is None else timeout)

    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self._task is not None and not self._task.greenlet.dead


class Timer(Thread):
    """Stands in for threading.Timer."""

    def __init__(self, interval: float, function: Callable[[], Any]) -> None:
        def later() -> None:
            self.hub.wait(None, interval)
            function()

        super().__init__(later, "timer")


class Pool:
    """Stands in for concurrent.futures.ThreadPoolExecutor."""

    hub: Hub

    def __init__(self, max_workers: int | None = None, **_: Any) -> None:
        self._size = max_workers

    def submit(self, work: Callable[..., Any], *args: Any) -> futures.Future[Any]:
        """A task of its own; as many as there is work."""
        told: futures.Future[Any] = futures.Future()

        def run() -> None:
            try:
                told.set_result(work(*args))
            except Exception as err:
                told.set_exception(err)

        Thread(run, "worker").start()
        return told

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Daemons are killed here."""


class Local:
    """Stands in for threading.local: what each task has for itself."""

    def __getattr__(self, name: str) -> Any:
        try:
            return vars(greenlet.getcurrent())["local", id(self)][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        vars(greenlet.getcurrent()).setdefault(("local", id(self)), {})[name] = value

    def __delattr__(self, name: str) -> None:
        vars(greenlet.getcurrent()).setdefault(("local", id(self)), {}).pop(name, None)


def uuids(seed: int) -> types.SimpleNamespace:
    """Stands in for the module `uuid`: the same ids in every run."""
    source = random.Random(seed)
    made = itertools.count()

    def uuid4() -> uuid.UUID:
        next(made)
        return uuid.UUID(int=source.getrandbits(128), version=4)

    return types.SimpleNamespace(uuid4=uuid4, UUID=uuid.UUID)


def modules(hub: Hub, clock: Clock) -> dict[types.ModuleType, Any]:
    """What stands in for modules of the standard library in the product's modules."""
    for twin in (Lock, Event, Thread, Pool):
        twin.hub = hub  # type: ignore[attr-defined]
    ours = {"Lock": Lock, "Event": Event, "Thread": Thread, "Timer": Timer, "local": Local}
    threads = types.SimpleNamespace(**{**vars(threading), **ours})
    pools = types.SimpleNamespace(**{name: getattr(futures, name) for name in futures.__all__})
    pools.ThreadPoolExecutor = Pool
    return {time: clock, threading: threads, futures: pools, uuid: uuids(1)}
