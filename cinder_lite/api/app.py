"""The application: operations wired to controllers, controllers to paths, paths behind the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cinder_lite import quota
from cinder_lite.api import (
    attachments,
    extensions,
    messages,
    quota_classes,
    quotas,
    resource_filters,
    routes,
    services,
    snapshots,
    type_access,
    types,
    versions,
    volume_actions,
    volume_admin_actions,
    volume_changes,
    volume_sides,
    volumes,
)
from cinder_lite.volume import admin, api, changes, default_types, legacy, protection, requests, sides, volume_admin
from cinder_lite.volume import attachments as attachment_operations
from cinder_lite.volume import messages as message_operations
from cinder_lite.volume import snapshots as snapshot_operations
from cinder_lite.volume import type_access as access_operations
from cinder_lite.volume import types as type_operations
from lite_common import db, policy
from lite_common.wsgi import pipeline, records


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


def build(
    parts: Parts, settings: Settings, authenticate: pipeline.Authenticate, rules: policy.Policy, healthy: Any
) -> pipeline.Pipeline:
    """The WSGI application. `healthy` raises errors of the Unavailable family when it is not."""
    engine = quota.QuotaEngine(parts.database, settings.quotas, settings.reservation_expire)
    volume_operations = api.VolumeApi(parts.database, engine, parts.scheduler, parts.daemon, settings.defaults)
    type_api = type_operations.TypeApi(parts.database, settings.defaults.volume_type)
    controllers = routes.Controllers(
        versions=versions.VersionsController(),
        volumes=volumes.VolumesController(volume_operations, settings.max_limit),
        volume_actions=volume_actions.VolumeActionsController(
            legacy.LegacyApi(parts.database, parts.daemon, parts.compute),
            {
                **volume_changes.actions(changes.ChangeApi(parts.database, engine, parts.scheduler)),
                **volume_admin_actions.actions(
                    volume_admin.VolumeAdminApi(parts.database, parts.daemon, parts.compute), volume_operations
                ),
            },
        ),
        attachments=attachments.AttachmentsController(
            attachment_operations.AttachmentApi(parts.database, parts.daemon, parts.compute), settings.max_limit
        ),
        types=types.TypesController(type_api, settings.max_limit),
        type_access=type_access.TypeAccessController(access_operations.TypeAccessApi(parts.database)),
        default_types=type_access.DefaultTypesController(default_types.DefaultTypeApi(parts.database)),
        type_encryption=type_access.TypeEncryptionController(type_api),
        services=services.ServicesController(
            admin.AdminApi(parts.database, parts.scheduler, settings.service_down_time), volume_operations
        ),
        quotas=quotas.QuotasController(engine),
        quota_classes=quota_classes.QuotaClassesController(engine),
        volume_sides=volume_sides.VolumeSidesController(
            sides.SidesApi(parts.database, parts.daemon, settings.service_down_time), settings.max_limit
        ),
        extensions=extensions.ExtensionsController(),
        resource_filters=resource_filters.ResourceFiltersController(),
        messages=messages.MessagesController(message_operations.MessageApi(parts.database), settings.max_limit),
        snapshots=snapshots.SnapshotsController(
            snapshot_operations.SnapshotApi(parts.database, engine, parts.scheduler, parts.daemon), settings.max_limit
        ),
        steps=records.StepsController(parts.database, settings.max_limit),
        operations=records.OperationsController(parts.database, settings.max_limit),
    )
    router = routes.router(controllers)
    return pipeline.Pipeline(
        versions.KIND, router, authenticate, rules=rules, max_body=settings.max_body, healthy=healthy
    )
