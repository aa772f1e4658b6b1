"""cinder-lite-scheduler: chooses the backend for each new volume."""

from __future__ import annotations

from lite_common import service

service.load_quickly()
service.no_eventlet()

import contextlib
import sys
from collections.abc import Sequence

from oslo_config import cfg

from cinder_lite import conf as options
from cinder_lite.db import migrations, services
from cinder_lite.scheduler import core, host_state, manager
from cinder_lite.scheduler import rpcapi as scheduler_rpc
from cinder_lite.volume import rpcapi as volume_rpc
from lite_common import config, context, db, errors, faults, ground, journal, rpc, telemetry

NAME = "cinder-lite-scheduler"
BINARY = "cinder-scheduler"
WAITING_INTERVAL = 1.0
LOST_INTERVAL = 10.0


class _AskForReports:
    """Asks all backends for a report once the reports can be received."""

    def __init__(self, volume: volume_rpc.VolumeRpc) -> None:
        self._volume = volume

    def start(self) -> None:
        """Ask; backends report on a timer as well, so a bus that is down now delays them only."""
        with contextlib.suppress(errors.Unavailable):
            self._volume.publish_service_capabilities(context.admin_context(overwrite=False))

    def stop(self, timeout: float) -> None:
        """Nothing to end."""


def build(conf: cfg.ConfigOpts) -> service.Service:
    """The daemon, not yet started. Raises errors.Invalid for an unknown filter."""
    options.prepare(conf)
    database = db.from_conf(conf)
    bus = rpc.Bus(conf, ["cinder_lite.errors"])
    volume = volume_rpc.VolumeRpc(bus)
    states = host_state.HostStates(stale_after=conf.service_down_time + conf.backend_stats_polling_interval)
    scheduler = core.Scheduler(
        database,
        volume,
        states,
        core.Options(
            filters=core.chosen_filters(conf.scheduler_default_filters),
            max_attempts=conf.scheduler_max_attempts,
            capacity_weight_multiplier=conf.capacity_weight_multiplier,
            service_down_time=conf.service_down_time,
            init_wait_time=conf.scheduler_driver_init_wait_time,
            message_ttl=conf.message_ttl,
        ),
    )
    endpoint = manager.SchedulerManager(scheduler, core.Waiting(states, conf.scheduler_driver_init_wait_time))

    def beat() -> None:
        services.beat(database, conf.host, BINARY, BINARY, conf.storage_availability_zone)

    return service.Service(
        NAME,
        [
            ground.Ground(database, bus, migrations.HEAD, migrations.SYNC_COMMAND),
            journal.from_conf(conf, database, BINARY),
            *telemetry.parts(conf, BINARY),
            service.Periodic("report", conf.report_interval, beat, at_start=True),
            bus.server(scheduler_rpc.TOPIC, conf.host, endpoint, conf.rpc_workers),
            _AskForReports(volume),
            service.Periodic("waiting", WAITING_INTERVAL, endpoint.release_waiting),
            service.Periodic("lost", LOST_INTERVAL, endpoint.find_lost),
            service.Periodic("messages", conf.message_reap_interval, lambda: core.prune_messages(database)),
        ],
        stop_timeout=conf.graceful_shutdown_timeout,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; the exit code."""
    conf = config.load(options.PROJECT, NAME, [options.OPTIONS], sys.argv[1:] if argv is None else argv)
    faults.install(conf)
    return service.run(lambda: build(conf))


if __name__ == "__main__":
    sys.exit(main())
