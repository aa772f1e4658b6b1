"""The five daemons as their own `build` functions wire them, on the simulated bus, HTTP, clock and twins.

A daemon that is killed loses all that it had in memory; databases, guests, targets and bytes are the cluster's.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import pecan.core
import urllib3

from lite_common import config, db, rest, rpc, service, trace
from lite_common.wsgi import server as http_server
from nova_lite.volume import connector
from tests.fixtures import stack as stacks
from tests.machine import sim, twins, wires

COMPUTE_PORT, VOLUME_PORT = 18774, 18776
# Loaded now, so that the clock can be put into them: the daemons load them at first use.
LATE = ("cinder_lite.scheduler.flow", "cinder_lite.volume.manager_create", "cinder_lite.volume.create")
PARTS = {name: (package, project, part) for package, project, part in stacks.DAEMONS for name in [f"{project}-{part}"]}
DAEMONS = tuple(PARTS)
# Parts that deal with the process, of which there is one here; what is killed with files open would keep them open.
LEFT_OUT = ("journal", "sole")
# A daemon that is up is never thought to be down here: its timers run whenever time passes.
DOWN_TIME = 100
TINY = "5c2f8f4e-1f5e-4a53-9d5e-7c1f1c0f7a10"


class Site:
    """What examples share because it is dear to make: configuration and empty databases. `flow` is attach_flow."""

    def __init__(self, directory: Path, flow: str = "attachments") -> None:
        made = stacks.FunctionalStack(
            directory,
            nova={
                "DEFAULT": {"service_down_time": DOWN_TIME, "rpc_response_timeout": int(wires.RPC_LIMIT)},
                "api": {"port": COMPUTE_PORT},
                "cinder": {
                    "endpoint": f"http://127.0.0.1:{VOLUME_PORT}/v3",
                    "timeout": 20,
                    "retries": 2,
                    "attach_flow": flow,
                },
            },
            cinder={
                "DEFAULT": {"service_down_time": DOWN_TIME, "enabled_backends": "fake1"},
                "api": {"port": VOLUME_PORT},
                "nova": {"endpoint": f"http://127.0.0.1:{COMPUTE_PORT}/v2.1", "timeout": 20, "retries": 2},
            },
        )
        for name in (*LATE, *(f"{package}.cmd.{part}" for package, _, part in PARTS.values())):
            importlib.import_module(name)
        self.conf: dict[str, Any] = {}
        for name, (package, project, _) in PARTS.items():
            options = importlib.import_module(f"{package}.conf").OPTIONS
            argv = ["--config-file", str(made.files[package])]
            self.conf[name] = config.load(project, name, [options], argv, logs=False)
        self.databases = {package: db.Database("sqlite://") for package in ("nova_lite", "cinder_lite")}
        self._empty: dict[str, sqlite3.Connection] = {}
        for package, database in self.databases.items():
            migrations = Path(importlib.import_module(f"{package}.db").__file__ or "").parent / "migrations"
            db.upgrade(database, str(migrations))
            self._empty[package] = sqlite3.connect(":memory:", check_same_thread=False)
            raw(database).backup(self._empty[package])

    def reset(self) -> None:
        """Both databases as they are before anything was done."""
        for package, database in self.databases.items():
            self._empty[package].backup(raw(database))


def raw(database: db.Database) -> sqlite3.Connection:
    """The one connection of a database in memory, past everything."""
    found: Any = database.engine.raw_connection().driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


class Cluster:
    """Daemons by name in `daemons`, twins, and clients' requests. Used inside `running`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.hub = sim.Hub()
        self.clock = sim.Clock(self.hub)
        self.broker = wires.Broker(self.hub)
        self.web = wires.Web(self.hub)
        self.hub.on_death = self.web.closed
        self.target = twins.Target(self.hub)
        self.storage = twins.Storage(self.hub, self.target)
        self.connector = connector.FakeConnector(host="host1")
        self.guests = twins.Guests(self.hub, self.target, self.connector)
        self.daemons: dict[str, sim.Daemon] = {}
        self.building: sim.Daemon | None = None

    # Daemons

    def start(self, name: str) -> sim.Task:
        """A new life of a daemon; its start is a task like others."""
        daemon = self.daemons[name] = sim.Daemon(name)
        return self.hub.spawn(f"{name}: start", daemon, lambda: self._start(daemon))

    def up(self, name: str) -> None:
        """A new life of a daemon, which serves at once; what it does beside that is still to come."""
        self.hub.run(self.start(name), 1_000_000)

    def start_all(self) -> None:
        """All five, one after the other."""
        for name in DAEMONS:
            self.start(name)
            self.settle()

    def _start(self, daemon: sim.Daemon) -> None:
        package, _, part = PARTS[daemon.name]
        more: dict[str, Any] = {}
        if part == "compute":
            more = {"virt": self.guests, "connector": self.connector}
        elif part == "volume":
            more = {"parts": {"fake1": (self.storage, self.target)}}
        self.building = daemon
        built = importlib.import_module(f"{package}.cmd.{part}").build(self.site.conf[daemon.name], **more)
        self.building = None
        built.parts = [part for part in built.parts if not type(part).__module__.endswith(LEFT_OUT)]
        built.start()

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.hub.kill(self.daemons[name])

    def tick(self, daemon: sim.Daemon, timer: Any) -> None:
        """One turn of a timer, unless the one before is still going on."""
        if timer.task is None or timer.task.greenlet.dead:
            timer.due = self.hub.offset + timer.interval
            timer.task = self.hub.spawn(f"{daemon.name}: timer {timer.name}", daemon, timer.turn)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and let the timers that are due then begin their turns."""
        self.hub.pass_time(seconds)
        for daemon in self.daemons.values():
            for timer in daemon.timers if daemon.alive else ():
                if self.hub.offset >= timer.due:
                    self.tick(daemon, timer)

    # Running

    def choices(self) -> list[Any]:
        """What could happen next: tasks that can run on, messages that can be delivered."""
        return [*self.hub.ready(), *self.broker.deliverable()]

    def choose(self, which: int, points: int) -> None:
        """Let one of them happen; a message's work begins as it is delivered."""
        found = self.choices()
        if not found:
            return
        chosen = found[which % len(found)]
        if isinstance(chosen, wires.Message):
            self.broker.deliver(chosen)
            chosen = self.hub.tasks[-1]
        self.hub.run(chosen, points)

    def settle(self, limit: float = 0.0) -> None:
        """Run all, in order, until nothing can go on; time passes where somebody waits for it, up to the limit."""
        end, turns = self.hub.offset + limit, 0
        while True:
            while self.choices():
                turns += 1
                if turns > 20_000:
                    raise sim.Stuck(f"no end of: {[task.name for task in self.hub.ready()]}")
                self.choose(0, 1_000_000)
            wake = self.hub.next_wake()
            if wake is None or wake > end:
                return
            self.hub.offset = max(self.hub.offset, wake)

    def request(self, service_name: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A user's request; what is returned learns `status` and `body` when it is answered."""
        port, version = (COMPUTE_PORT, "compute 2.89") if service_name == "compute" else (VOLUME_PORT, "volume 3.60")
        root = "/v2.1" if service_name == "compute" else "/v3"
        headers = {"X-Auth-Token": "ann:demo", "OpenStack-API-Version": version, "Content-Type": "application/json"}
        told: dict[str, Any] = {"status": None, "body": None}
        sent = orjson.dumps(body) if body is not None else None

        def work() -> None:
            try:
                answer = self.web.request(method, f"http://127.0.0.1:{port}{root}{path}", sent, headers, 120)
            except urllib3.exceptions.HTTPError as err:
                told.update(status=0, body=type(err).__name__)
            else:
                told.update(status=answer.status, body=orjson.loads(answer.data) if answer.data else None)
            self.hub.story.append(f"{method} {path[:60]} was answered {told['status']}")
            kind = f"answered {told['status'] // 100}xx" if told["status"] else "unanswered"
            self.hub.tally[f"requests {kind}"] += 1

        self.hub.spawn(f"client: {method} {path}", None, work)
        return told

    # The product's modules, as they are while the cluster runs

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Within it the product's clock, ids, locks, threads, bus and HTTP are the cluster's."""
        twins_of = {id(real): twin for real, twin in sim.modules(self.hub, self.clock).items()}
        with contextlib.ExitStack() as undo:
            for module in [one for name, one in sys.modules.items() if name.partition(".")[0] in _PACKAGES]:
                for attribute, value in list(vars(module).items()):
                    if id(value) in twins_of:
                        undo.enter_context(mock.patch.object(module, attribute, twins_of[id(value)]))
            for where, attribute, twin in self._stand_ins():
                undo.enter_context(mock.patch.object(where, attribute, twin))
            undo.callback(self.hub.close)
            yield

    def begin(self, step: trace.Step) -> None:
        """Before a step is a point."""
        self.hub.pause(f"before {step.name}")

    def end(self, step: trace.Step) -> None:
        """So is after it, where it went well."""
        if step.error is None:
            self.hub.pause(f"after {step.name}")

    def _stand_ins(self) -> list[tuple[Any, str, Any]]:
        compute = importlib.import_module("nova_lite.cmd.compute")
        volume = importlib.import_module("cinder_lite.cmd.volume")
        urls = types.SimpleNamespace(PoolManager=self.web.pool, Timeout=urllib3.Timeout, exceptions=urllib3.exceptions)
        return [
            (rpc, "Bus", lambda conf, modules=(): wires.Bus(self.broker, self._of())),
            (http_server, "HttpServer", lambda app, listen, port, threads: _Http(self, self._of(), app, port)),
            (service, "Periodic", lambda *a, **k: _Timer(self, self._of(), *a, **k)),
            (compute, "_Once", lambda name, work: _Once(self, self._of(), name, work)),
            (volume, "_Once", lambda name, work: _Once(self, self._of(), name, work)),
            (db, "from_conf", lambda conf: self.site.databases[_PROJECTS[conf.project]]),
            (db, "utcnow", self.clock.utcnow),
            (db.Database, "connection", _pausing(self.hub, db.Database.connection)),
            (db.Database, "run", _pausing(self.hub, db.Database.run)),
            (rest, "urllib3", urls),
            (pecan.core, "state", sim.Local()),
            (pecan.core.Pecan, "init_context_local", lambda *ignored: None),
            # Whoever else wants to know of steps is not asked: records have tests of their own.
            (trace, "_OBSERVERS", [self]),
        ]

    def _of(self) -> sim.Daemon:
        assert self.building is not None
        return self.building


_PACKAGES = ("lite_common", "nova_lite", "cinder_lite")
_PROJECTS = {"nova-lite": "nova_lite", "cinder-lite": "cinder_lite"}


def _pausing(hub: sim.Hub, real: Callable[..., Any]) -> Callable[..., Any]:
    def paused(self: db.Database, *args: Any) -> Any:
        hub.pause(f"database {self.url}")
        return real(self, *args)

    return paused


class _Part:
    def __init__(self, cluster: Cluster, daemon: sim.Daemon) -> None:
        self._cluster = cluster
        self._daemon = daemon

    def stop(self, timeout: float) -> None:
        """Daemons are killed here."""


class _Http(_Part):
    def __init__(self, cluster: Cluster, daemon: sim.Daemon, app: wires.Wsgi, port: int) -> None:
        super().__init__(cluster, daemon)
        self._app, self._port = app, port

    def start(self) -> None:
        """Listen."""
        self._cluster.web.servers[self._port] = (self._daemon, self._app)


class _Timer(_Part):
    def __init__(
        self,
        cluster: Cluster,
        daemon: sim.Daemon,
        name: str,
        interval: float,
        work: Callable[[], None],
        *,
        at_start: bool = False,
    ) -> None:
        super().__init__(cluster, daemon)
        self.name, self.interval, self.turn, self.at_start = name, interval, work, at_start
        self.task: sim.Task | None = None
        self.due = 0.0

    def start(self) -> None:
        """As the real one."""
        if self.at_start:
            self.turn()
        self.due = self._cluster.hub.offset + self.interval
        self._daemon.timers.append(self)


class _Once(_Part):
    def __init__(self, cluster: Cluster, daemon: sim.Daemon, name: str, work: Callable[[], None]) -> None:
        super().__init__(cluster, daemon)
        self._name, self._work = name, work

    def start(self) -> None:
        """A thread of its own."""
        self._cluster.hub.spawn(f"{self._daemon.name}: {self._name}", self._daemon, self._work)
