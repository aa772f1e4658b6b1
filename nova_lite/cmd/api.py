"""nova-lite-api: the daemon that serves the compute API and the image list over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lite_common import service

service.load_quickly()
service.no_eventlet()

from oslo_config import cfg

from lite_common import db, faults, ground, journal, policy, rest, rpc, telemetry
from lite_common.wsgi import auth, records, server
from nova_lite import conf as nova_conf
from nova_lite import db as nova_db
from nova_lite import flavors, images, policies
from nova_lite.api import (
    app,
    attachment_sides,
    extensions,
    hypervisors,
    instance_actions,
    limits,
    quota_sets,
    routes,
    server_actions,
    server_external_events,
    server_metadata,
    server_tags,
    servers,
    service_changes,
    versions,
    volume_attachments,
    volume_proxies,
)
from nova_lite.api import flavors as flavors_api
from nova_lite.api import images as images_api
from nova_lite.api import services as services_api
from nova_lite.compute import api as compute_api
from nova_lite.compute import attach_api, external_events, history, local_delete, rpcapi, server_changes, sides
from nova_lite.db import services
from nova_lite.volume import client, proxy

NAME = "nova-api"
# Seconds between two looks for deletes that wait for their host or for Cinder.
DELETES_INTERVAL = 10.0
ERROR_MODULES = ("nova_lite.errors", "nova_lite.virt.errors")


def build(conf: cfg.ConfigOpts) -> service.Service:
    """The daemon, wired and not started. Raises errors.Forbidden for a configuration that would let anybody in."""
    authenticate = auth.strategy(conf)
    database = db.from_conf(conf)
    bus = rpc.Bus(conf, ERROR_MODULES)
    requester = client.requester(conf)
    cinder = client.CinderClient(requester)

    def healthy() -> None:
        with database.connection() as conn:
            conn.exec_driver_sql("SELECT 1")

    wsgi = app.application(
        _controllers(conf, database, bus, requester, cinder),
        authenticate,
        rules=policy.Policy(policies.RULES, conf),
        max_body=conf.api.max_request_body_size,
        healthy=healthy,
    )
    return service.Service(
        NAME,
        [
            ground.Ground(database, bus, nova_db.HEAD, nova_db.SYNC_COMMAND),
            journal.from_conf(conf, database, NAME, prunes=True),
            *telemetry.parts(conf, NAME),
            service.Periodic(
                "report", conf.report_interval, lambda: services.report(database, conf.host, NAME, ""), at_start=True
            ),
            service.Periodic(
                "deletes",
                DELETES_INTERVAL,
                lambda: local_delete.finish(database, cinder, conf.service_down_time),
            ),
            server.HttpServer(wsgi, conf.api.listen, conf.api.port, conf.api.threads),
        ],
        stop_timeout=conf.graceful_shutdown_timeout,
    )


def _controllers(
    conf: cfg.ConfigOpts, database: db.Database, bus: rpc.Bus, requester: rest.RestClient, cinder: client.CinderClient
) -> routes.Controllers:
    rpc_client = rpcapi.ComputeRpc(bus)
    down_time = conf.service_down_time
    compute = compute_api.ComputeApi(database, rpc_client, cinder, service_down_time=down_time)
    volumes = attach_api.AttachmentApi(
        database,
        rpc_client,
        cinder,
        service_down_time=down_time,
        legacy=conf.cinder.attach_flow == "legacy",
    )
    changes = server_changes.ServerChanges(database)
    store, table, longest = images.ImageStore(conf.images.directory), flavors.FlavorTable(), conf.api.max_limit
    return routes.Controllers(
        versions=versions.VersionsController(),
        servers=servers.ServersController(
            compute, changes, store, table, database, down_time=down_time, max_limit=longest
        ),
        server_actions=server_actions.ServerActionsController(compute, changes),
        server_metadata=server_metadata.ServerMetadataController(changes),
        server_tags=server_tags.ServerTagsController(changes),
        instance_actions=instance_actions.InstanceActionsController(history.ServerHistory(database), longest),
        volume_attachments=volume_attachments.VolumeAttachmentsController(volumes, longest),
        flavors=flavors_api.FlavorsController(table, longest),
        hypervisors=hypervisors.HypervisorsController(database, down_time, longest),
        limits=limits.LimitsController(database),
        quota_sets=quota_sets.QuotaSetsController(database),
        service_changes=service_changes.ServiceChangesController(database, down_time),
        services=services_api.ServicesController(database, down_time),
        images=images_api.ImagesController(store, longest),
        external_events=server_external_events.ServerExternalEventsController(
            external_events.ExternalEventApi(database, rpc_client)
        ),
        steps=records.StepsController(database, longest),
        operations=records.OperationsController(database, longest),
        attachment_sides=attachment_sides.AttachmentSidesController(
            sides.SidesApi(database, rpc_client, service_down_time=down_time), longest
        ),
        extensions=extensions.ExtensionsController(),
        volume_proxies=volume_proxies.VolumeProxiesController(proxy.VolumeProxy(requester)),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit code."""
    conf = nova_conf.load("nova-lite-api", sys.argv[1:] if argv is None else argv)
    faults.install(conf)
    return service.run(lambda: build(conf))


if __name__ == "__main__":
    sys.exit(main())
