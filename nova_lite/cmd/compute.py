"""nova-compute: plugs volumes into the guests of this host, and starts, stops and deletes them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from lite_common import service

service.no_eventlet()

from oslo_config import cfg

from lite_common import db, ground, rpc
from lite_common.wsgi import auth
from nova_lite import conf as nova_conf
from nova_lite import db as nova_db
from nova_lite.compute import host as compute_host
from nova_lite.compute import manager, recovery, rpcapi
from nova_lite.db import services
from nova_lite.images import ImageStore
from nova_lite.virt import driver
from nova_lite.volume import client
from nova_lite.volume import connector as connectors

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


class _Once:
    """Runs `work` once on a thread of its own, beside the parts that serve."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout)


def build(
    conf: cfg.ConfigOpts,
    *,
    virt: driver.VirtDriver | None = None,
    connector: connectors.Connector | None = None,
) -> service.Service:
    """The daemon, ready to start. `virt` and `connector` take the place of those that the options name."""
    initiator = connectors.initiator_name(conf.state_path) if conf.compute.virt_driver == "libvirt" else "iqn.fake"
    database = db.from_conf(conf)
    bus = rpc.Bus(conf, ERROR_MODULES)
    host = compute_host.ComputeHost(
        name=conf.host,
        database=database,
        cinder=client.connect(
            conf.cinder.endpoint,
            secret=auth.read_secret(conf.service_auth.secret_file),
            timeout=conf.cinder.timeout,
            retries=conf.cinder.retries,
        ),
        virt=virt or _virt_driver(conf, initiator),
        connector=connector or _connector(conf, initiator),
        images=ImageStore(conf.images.directory),
        max_disks=conf.compute.max_disk_devices_to_attach,
        shutdown_timeout=conf.compute.shutdown_timeout,
    )
    endpoint = manager.ComputeManager(host)

    def report() -> None:
        services.report(database, conf.host, services.COMPUTE, rpcapi.TOPIC)

    return service.Service(
        services.COMPUTE,
        [
            ground.Ground(database, bus, nova_db.HEAD, nova_db.SYNC_COMMAND),
            _Hypervisor(host.virt),
            service.Periodic("report", conf.report_interval, report, at_start=True),
            bus.server(rpcapi.TOPIC, conf.host, endpoint, conf.rpc_workers),
            _Once("resume", lambda: recovery.resume(host)),
            service.Periodic("recovery", conf.compute.finish_interval, lambda: recovery.tick(host)),
        ],
        stop_timeout=conf.graceful_shutdown_timeout,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; the exit code."""
    conf = nova_conf.load("nova-lite-compute", sys.argv[1:] if argv is None else argv)
    return service.run(build(conf))


def _virt_driver(conf: cfg.ConfigOpts, initiator: str) -> driver.VirtDriver:
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
    return libvirt_driver.LibvirtDriver(settings, initiator)


def _connector(conf: cfg.ConfigOpts, initiator: str) -> connectors.Connector:
    if conf.compute.virt_driver == "fake":
        return connectors.FakeConnector(my_ip=conf.my_ip, host=conf.host)
    return connectors.UserspaceConnector(my_ip=conf.my_ip, host=conf.host, initiator=initiator)


if __name__ == "__main__":
    sys.exit(main())
