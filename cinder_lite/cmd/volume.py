"""cinder-lite-volume: owns the backends of this host; one RPC server for each, all in one process."""

from __future__ import annotations

from lite_common import service

service.load_quickly()
service.no_eventlet()

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from oslo_config import cfg

from cinder_lite import conf as options
from cinder_lite.compute import client
from cinder_lite.db import migrations, services
from cinder_lite.drivers import base as drivers
from cinder_lite.scheduler import rpcapi as scheduler_rpc
from cinder_lite.targets import base as targets
from cinder_lite.volume import backend as backends
from cinder_lite.volume import manager, recovery, reports
from cinder_lite.volume import rpcapi as volume_rpc
from lite_common import config, crew, db, errors, faults, ground, journal, privilege, rpc, sole, telemetry

LOG = logging.getLogger(__name__)

NAME = "cinder-lite-volume"
SYS_ADMIN = "cinder_lite.privileged.sys_admin"
WATCH_INTERVAL = 2.0
# Seconds between two looks for lost messages, and for exports that nobody asks for (which go at the second look).
RESUME_INTERVAL = 10.0
TIDY_INTERVAL = 10.0
# What was left half done is finished on so many threads of each backend.
RECOVERY_THREADS = 4

Parts = tuple[drivers.VolumeDriver, targets.TargetDriver]


class _SetUp:
    """Sets a backend up before its RPC server opens; where that fails, a timer goes on trying.

    The pauses double up to `2 ** attempts` seconds: a backend that is repaired soon is back soon, and one that is
    broken for good costs little.
    """

    def __init__(self, backend: backends.Backend, attempts: int, when_ready: Callable[[], None]) -> None:
        self._backend = backend
        self._attempts = attempts
        self._when_ready = when_ready
        self._failures = 0
        self._next = 0.0

    def start(self) -> None:
        """Try once. Exports are complete when this returns, unless the backend is broken."""
        self._try()

    def stop(self, timeout: float) -> None:
        """Nothing to end."""

    def tick(self) -> None:
        """Watch the target of a backend that is ready; try again to set up one that is not."""
        if self._backend.ready.is_set():
            recovery.watch_target(self._backend)
        elif time.monotonic() >= self._next and self._try():
            self._when_ready()

    def _try(self) -> bool:
        if recovery.set_up(self._backend):
            return True
        self._next = time.monotonic() + 2.0 ** min(self._failures, self._attempts)
        self._failures += 1
        return False


def build(conf: cfg.ConfigOpts, parts: Mapping[str, Parts] | None = None) -> service.Service:
    """The daemon, not yet started. `parts` take the place of the drivers and targets that the options name.

    Raises errors.Invalid when no backend is enabled.
    """
    options.prepare(conf)
    if not conf.enabled_backends:
        raise errors.Invalid("The option enabled_backends is empty. Name at least one backend and give it a section.")
    database = db.from_conf(conf)
    bus = rpc.Bus(conf, ["cinder_lite.errors"])
    scheduler = scheduler_rpc.SchedulerRpc(bus)
    compute = client.from_conf(conf)
    all_parts: list[service.Part] = [
        ground.Ground(database, bus, migrations.HEAD, migrations.SYNC_COMMAND),
        journal.from_conf(conf, database, "cinder-volume"),
        *telemetry.parts(conf, "cinder-volume"),
    ]
    for name in conf.enabled_backends:
        driver, target = (parts or {}).get(name) or _parts(conf, name)
        backend = backends.Backend(
            f"{conf.host}@{name}",
            driver,
            target,
            database,
            availability_zone=conf.storage_availability_zone,
            compute=compute,
            message_lifetime=conf.message_ttl,
        )
        all_parts += _backend_parts(conf, bus, backend, scheduler)
    return service.Service(NAME, all_parts, stop_timeout=conf.graceful_shutdown_timeout)


def _backend_parts(
    conf: cfg.ConfigOpts, bus: rpc.Bus, backend: backends.Backend, scheduler: scheduler_rpc.SchedulerRpc
) -> list[service.Part]:
    def publish() -> None:
        # A bus that is down loses this report; the next one comes on the timer.
        with contextlib.suppress(errors.Unavailable):
            reports.publish(backend, scheduler)

    def first() -> None:
        reports.beat(backend)
        publish()
        recovery.resume(backend, scheduler, 0, workers.do)

    workers = crew.Crew(f"recovery-{backend.name}", RECOVERY_THREADS)
    set_up = _SetUp(backend, conf.reinit_driver_count, first)
    endpoint = manager.VolumeManager(backend, scheduler, scheduler)

    def beats() -> int | None:
        return services.beats(backend.database, backend.name, reports.BINARY, conf.service_down_time)

    return [
        sole.Sole(conf.state_path, f"{reports.BINARY}-{backend.name}", beats, conf.report_interval),
        set_up,
        service.Periodic(f"report-{backend.name}", conf.report_interval, lambda: reports.beat(backend), at_start=True),
        bus.server(volume_rpc.TOPIC, backend.name, endpoint, conf.rpc_workers),
        service.Periodic(f"stats-{backend.name}", conf.backend_stats_polling_interval, publish, at_start=True),
        workers,
        _Once(f"resume-{backend.name}", lambda: recovery.resume(backend, scheduler, 0, workers.do)),
        service.Periodic(
            f"recovery-{backend.name}", RESUME_INTERVAL, lambda: recovery.resume(backend, scheduler, do=workers.do)
        ),
        service.Periodic(f"watch-{backend.name}", WATCH_INTERVAL, set_up.tick),
        service.Periodic(f"tidy-{backend.name}", TIDY_INTERVAL, lambda: recovery.drop_unneeded_exports(backend)),
    ]


class _Once:
    """Runs `work` once on a thread of its own, beside the parts that serve."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=service.in_its_name(self._run), name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # outermost frame of the thread
            LOG.exception("%s failed; the timer does it again", self._name)


def _parts(conf: cfg.ConfigOpts, name: str) -> Parts:
    """Driver and target that the backend's section names."""
    section = conf[name]
    pool = drivers.Pool(
        section.volume_backend_name or name, section.max_over_subscription_ratio, section.reserved_percentage
    )
    # A daemon loads only what its backends need.
    driver = _driver(section, pool)
    return driver, _target(section, name, driver)


def _target(section: cfg.ConfigOpts.GroupAttr, name: str, driver: drivers.VolumeDriver) -> targets.TargetDriver:
    addresses = [section.target_ip_address, *section.target_secondary_ip_addresses]
    portal, *secondary = [f"{_bracketed(address)}:{section.target_port}" for address in addresses]
    if section.target_helper == "fake":
        from cinder_lite.targets import fake

        return fake.FakeTarget(section.target_prefix, portal, secondary)
    if section.target_helper == "lioadm":
        from cinder_lite.targets import lio

        directory = os.path.dirname(driver.local_path("volume"))
        return lio.LioTarget(section.target_prefix, portal, directory, secondary)
    from cinder_lite.targets import tgt, tgt_control

    # Two backends may share a tgtd; each keeps its own list of what it exported there.
    directory = os.path.join(section.target_conf_dir, name)
    control = tgt_control.control(section.tgt_control_socket)
    return tgt.TgtTarget(section.target_prefix, portal, directory, control, secondary)


def _driver(section: cfg.ConfigOpts.GroupAttr, pool: drivers.Pool) -> drivers.VolumeDriver:
    if section.volume_driver == "fake":
        from cinder_lite.drivers import fake

        return fake.FakeDriver(pool, section.fake_capacity_gb)
    if section.volume_driver == "lvm":
        from cinder_lite.drivers import lvm

        cleared = section.volume_clear_size * lvm.MIB if section.volume_clear_size else None
        clear = cleared if section.volume_clear == "zero" else 0
        return lvm.LvmDriver(pool, lvm.Settings(section.volume_group, section.lvm_type, clear))
    from cinder_lite.drivers import file

    return file.FileDriver(pool, section.volumes_dir)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; the exit code."""
    conf = config.load(options.PROJECT, NAME, [options.OPTIONS], sys.argv[1:] if argv is None else argv)
    faults.install(conf)

    def make() -> service.Service:
        privilege.start(conf, _contexts(options.prepare(conf)))
        return build(conf)

    return service.run(make)


def _contexts(conf: cfg.ConfigOpts) -> list[str]:
    """The privileged half is started only where a backend has work for it."""
    sections = [conf[name] for name in conf.enabled_backends]
    # tgtd listens to root only, so a daemon that is somebody else talks to it through that half.
    helpers = {"lioadm"} | ({"tgt", "tgtadm"} if conf.run_as else set())
    needed = any(section.volume_driver == "lvm" or section.target_helper in helpers for section in sections)
    return [SYS_ADMIN] if needed else []


if __name__ == "__main__":
    sys.exit(main())
