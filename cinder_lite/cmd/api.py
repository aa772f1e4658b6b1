"""cinder-lite-api: the REST API of the block storage service."""

from lite_common import service

service.load_quickly()
service.no_eventlet()

import sys
from collections.abc import Sequence

from oslo_config import cfg

from cinder_lite import conf as options
from cinder_lite import policies
from cinder_lite.api import app
from cinder_lite.compute import client
from cinder_lite.db import migrations, services
from cinder_lite.scheduler import rpcapi as scheduler_rpc
from cinder_lite.volume import requests
from cinder_lite.volume import rpcapi as volume_rpc
from lite_common import config, db, faults, ground, journal, policy, rpc, telemetry
from lite_common.wsgi import auth, server

NAME = "cinder-lite-api"


def settings(conf: cfg.ConfigOpts) -> app.Settings:
    """The values that the application needs."""
    return app.Settings(
        defaults=requests.Defaults(
            volume_type=conf.default_volume_type,
            availability_zone=conf.default_availability_zone or conf.storage_availability_zone,
            zone_fallback=conf.allow_availability_zone_fallback,
        ),
        quotas={
            "volumes": conf.quota_volumes,
            "gigabytes": conf.quota_gigabytes,
            "snapshots": conf.quota_snapshots,
            "per_volume_gigabytes": conf.per_volume_size_limit,
        },
        reservation_expire=conf.reservation_expire,
        service_down_time=conf.service_down_time,
        max_limit=conf.api.max_limit,
        max_body=conf.api.max_request_body_size,
    )


def build(conf: cfg.ConfigOpts) -> service.Service:
    """The daemon, not yet started. Raises errors of lite_common for options that make no sense together."""
    options.prepare(conf)
    authenticate = auth.strategy(conf)
    database = db.from_conf(conf)
    bus = rpc.Bus(conf, ["cinder_lite.errors"])
    compute = client.from_conf(conf)

    def healthy() -> None:
        with database.connection() as conn:
            services.probe(conn)

    application = app.build(
        app.Parts(database, scheduler_rpc.SchedulerRpc(bus), volume_rpc.VolumeRpc(bus), compute),
        settings(conf),
        authenticate,
        policy.Policy(policies.RULES, conf),
        healthy,
    )
    http = server.HttpServer(application, conf.api.listen, conf.api.port, conf.api.threads)
    return service.Service(
        NAME,
        [
            ground.Ground(database, bus, migrations.HEAD, migrations.SYNC_COMMAND),
            journal.from_conf(conf, database, "cinder-api", prunes=True),
            *telemetry.parts(conf, "cinder-api"),
            http,
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
