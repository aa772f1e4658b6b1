"""nova-compute: plugs volumes into the guests of this host, and starts, stops and deletes them."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence

from lite_common import service

service.load_quickly()
service.no_eventlet()

from oslo_config import cfg

from lite_common import crew, db, faults, ground, journal, privilege, rpc, sole, telemetry
from nova_lite import conf as nova_conf
from nova_lite import db as nova_db
from nova_lite.compute import host as compute_host
from nova_lite.compute import manager, recovery, rpcapi
from nova_lite.db import compute_nodes, services
from nova_lite.images import ImageStore
from nova_lite.virt import driver
from nova_lite.volume import client, initiator
from nova_lite.volume import connector as connectors

LOG = logging.getLogger(__name__)

# The functions of this daemon that need root (os-brick's name for them).
PRIVILEGED = "os_brick.privileged.default"
# Seconds between two looks at what the host has; disks grow, and libvirt may be back only later.
FACTS_INTERVAL = 600
# Seconds between two looks for guests that shut down by themselves.
STOPPED_INTERVAL = 30
# What was left half done is finished on so many threads: one guest that drags a detach out holds up one of them.
RECOVERY_THREADS = 4
ERROR_MODULES = ("nova_lite.errors", "nova_lite.virt.errors")


class _Hypervisor:
    """Answers before anything is asked of it, and is let go of after all that asks."""

    def __init__(self, virt: driver.VirtDriver) -> None:
        self._virt = virt

    def start(self) -> None:
        """Raises what the driver raises when the hypervisor is not there."""
        self._virt.init_host()

    def stop(self, timeout: float) -> None:
        """Let the connection go."""
        self._virt.close()


class _Storage:
    """The way to volumes, checked before the first one is asked for."""

    def __init__(self, connector: connectors.Connector) -> None:
        self._connector = connector

    def start(self) -> None:
        """Raises InitiatorUnfit when this host cannot connect volumes."""
        self._connector.init_host()

    def stop(self, timeout: float) -> None:
        """Volumes stay connected: their guests run on."""


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


def build(
    conf: cfg.ConfigOpts,
    *,
    virt: driver.VirtDriver | None = None,
    connector: connectors.Connector | None = None,
) -> service.Service:
    """The daemon, ready to start. `virt` and `connector` take the place of those that the options name."""
    connector = connector or _connector(conf)
    database = db.from_conf(conf)
    bus = rpc.Bus(conf, ERROR_MODULES)
    host = compute_host.ComputeHost(
        name=conf.host,
        database=database,
        cinder=client.from_conf(conf),
        virt=virt or _virt_driver(conf),
        connector=connector,
        images=ImageStore(conf.images.directory),
        max_disks=conf.compute.max_disk_devices_to_attach,
        shutdown_timeout=conf.compute.shutdown_timeout,
        patience=conf.cinder.patience,
    )
    endpoint = manager.ComputeManager(host)
    workers = crew.Crew("recovery", RECOVERY_THREADS)
    healing = recovery.Recovery(host, workers.do)

    def tell_facts() -> None:
        found = host.virt.host_facts()
        facts = compute_nodes.Facts(hypervisor_hostname=conf.host, host_ip=conf.my_ip, **dataclasses.asdict(found))
        compute_nodes.report(database, conf.host, facts)

    def report() -> None:
        services.report(database, conf.host, services.COMPUTE, rpcapi.TOPIC)

    def beats() -> int | None:
        return services.beats(database, conf.host, services.COMPUTE, conf.service_down_time)

    return service.Service(
        services.COMPUTE,
        [
            ground.Ground(database, bus, nova_db.HEAD, nova_db.SYNC_COMMAND),
            sole.Sole(conf.state_path, f"{services.COMPUTE}-{conf.host}", beats, conf.report_interval),
            # After Sole: what a predecessor left is read here, and it must be one that is gone.
            journal.from_conf(conf, database, services.COMPUTE),
            *telemetry.parts(conf, services.COMPUTE),
            _Hypervisor(host.virt),
            _Storage(host.connector),
            bus.server(rpcapi.TOPIC, conf.host, endpoint, conf.rpc_workers),
            # Who is said to be up is sent work, so this comes once somebody listens.
            service.Periodic("report", conf.report_interval, report, at_start=True),
            service.Periodic("facts", FACTS_INTERVAL, tell_facts, at_start=True),
            workers,
            _Once("resume", healing.run),
            service.Periodic("recovery", conf.compute.finish_interval, healing.run),
            service.Periodic("stopped", STOPPED_INTERVAL, lambda: recovery.note_stopped(host, workers.do)),
        ],
        stop_timeout=conf.graceful_shutdown_timeout,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; the exit code."""
    conf = nova_conf.load("nova-lite-compute", sys.argv[1:] if argv is None else argv)
    faults.install(conf)

    def make() -> service.Service:
        privilege.start(conf, _contexts(conf))
        return build(conf)

    return service.run(make)


def _contexts(conf: cfg.ConfigOpts) -> list[str]:
    """With `run_as` the privileged half is forked now or never: it is there for volumes of before a change as well."""
    late = bool(conf.compute.virt_driver == "libvirt" and conf.run_as)
    return [PRIVILEGED] if late or _host_logs_in(conf) else []


def _host_logs_in(conf: cfg.ConfigOpts) -> bool:
    return bool(conf.compute.virt_driver == "libvirt" and conf.libvirt.iscsi_initiator == "host")


def _virt_driver(conf: cfg.ConfigOpts) -> driver.VirtDriver:
    # The twin needs no libvirt library, and the real driver no twin: only one of them is loaded.
    if conf.compute.virt_driver == "fake":
        from nova_lite.virt import fake

        return fake.FakeDriver()
    from nova_lite.virt.libvirt import driver as libvirt_driver

    settings = libvirt_driver.Settings(
        uri=conf.libvirt.connection_uri,
        virt_type=conf.libvirt.virt_type,
        state_path=conf.state_path,
        detach_attempts=conf.libvirt.device_detach_attempts,
        detach_timeout=conf.libvirt.device_detach_timeout,
        soft_reboot_timeout=conf.compute.shutdown_timeout,
    )
    return libvirt_driver.LibvirtDriver(settings, initiator.name(conf.state_path))


def _connector(conf: cfg.ConfigOpts) -> connectors.Connector:
    address = conf.my_block_storage_ip
    if conf.compute.virt_driver == "fake":
        return connectors.FakeConnector(my_ip=address, host=conf.host)
    if _host_logs_in(conf):
        return _host_connector(conf)
    from nova_lite.volume import qemu_connector

    return qemu_connector.UserspaceConnector(
        my_ip=address,
        host=conf.host,
        initiator=initiator.name(conf.state_path),
        for_devices=functools.cache(lambda: _late_host_connector(conf)),
    )


def _late_host_connector(conf: cfg.ConfigOpts) -> connectors.Connector:
    """For volumes that were connected before the mode of this host was changed."""
    if not conf.run_as:
        privilege.start(conf, [PRIVILEGED])
    return _host_connector(conf)


def _host_connector(conf: cfg.ConfigOpts) -> connectors.Connector:
    # os-brick costs memory and time, so it is loaded only where it works.
    from nova_lite.volume import brick_connector

    settings = brick_connector.Settings(
        my_ip=conf.my_block_storage_ip,
        host=conf.host,
        lock_path=os.path.join(conf.state_path, "locks"),
        multipath=conf.libvirt.volume_use_multipath,
        enforce_multipath=conf.libvirt.volume_enforce_multipath,
        scan_attempts=conf.libvirt.num_volume_scan_tries,
        replacement_timeout=conf.libvirt.volume_replacement_timeout,
    )
    return brick_connector.BrickConnector(settings)


if __name__ == "__main__":
    sys.exit(main())
