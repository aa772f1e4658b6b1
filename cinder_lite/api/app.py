"""The application: operations wired to controllers, controllers to paths, paths behind the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cinder_lite import quota
from cinder_lite.api import (
    attachments,
    quotas,
    routes,
    services,
    types,
    versions,
    volume_actions,
    volumes,
)
from cinder_lite.volume import admin, api, legacy, protection, requests
from cinder_lite.volume import attachments as attachment_operations
from cinder_lite.volume import types as type_operations
from lite_common import db
from lite_common.wsgi import pipeline


@dataclass(frozen=True)
class Parts:
    """What the application works with: its database, the RPC clients of the other daemons, the compute API."""

    database: db.Database
    scheduler: Any
    daemon: Any
    compute: protection.Compute


@dataclass(frozen=True)
class Settings:
    """Values of the options that the API needs."""

    defaults: requests.Defaults
    quotas: dict[str, int]
    reservation_expire: int
    service_down_time: int
    max_limit: int
    max_body: int


def build(parts: Parts, settings: Settings, authenticate: pipeline.Authenticate, healthy: Any) -> pipeline.Pipeline:
    """The WSGI application. `healthy` raises errors of the Unavailable family when it is not."""
    engine = quota.QuotaEngine(parts.database, settings.quotas, settings.reservation_expire)
    volume_operations = api.VolumeApi(parts.database, engine, parts.scheduler, parts.daemon, settings.defaults)
    controllers = routes.Controllers(
        versions=versions.VersionsController(),
        volumes=volumes.VolumesController(volume_operations, settings.max_limit),
        volume_actions=volume_actions.VolumeActionsController(
            legacy.LegacyApi(parts.database, parts.daemon, parts.compute)
        ),
        attachments=attachments.AttachmentsController(
            attachment_operations.AttachmentApi(parts.database, parts.daemon, parts.compute), settings.max_limit
        ),
        types=types.TypesController(type_operations.TypeApi(parts.database, settings.defaults.volume_type)),
        services=services.ServicesController(
            admin.AdminApi(parts.database, parts.scheduler, settings.service_down_time), volume_operations
        ),
        quotas=quotas.QuotasController(engine),
    )
    router = routes.router(controllers)
    return pipeline.Pipeline(versions.KIND, router, authenticate, max_body=settings.max_body, healthy=healthy)
