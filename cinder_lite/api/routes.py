"""Every path of the API, on one page. Paths below /v3 exist with and without a project id after the prefix."""

from __future__ import annotations

from dataclasses import dataclass

from cinder_lite.api import (
    attachments,
    extensions,
    messages,
    quota_classes,
    quotas,
    resource_filters,
    services,
    snapshots,
    type_access,
    types,
    versions,
    volume_actions,
    volume_sides,
    volumes,
)
from lite_common.wsgi import openapi, records, routing
from lite_common.wsgi.routing import Route


@dataclass(frozen=True)
class Controllers:
    """One controller per resource."""

    versions: versions.VersionsController
    volumes: volumes.VolumesController
    volume_actions: volume_actions.VolumeActionsController
    attachments: attachments.AttachmentsController
    types: types.TypesController
    services: services.ServicesController
    quotas: quotas.QuotasController
    snapshots: snapshots.SnapshotsController
    messages: messages.MessagesController
    quota_classes: quota_classes.QuotaClassesController
    extensions: extensions.ExtensionsController
    resource_filters: resource_filters.ResourceFiltersController
    default_types: type_access.DefaultTypesController
    type_encryption: type_access.TypeEncryptionController
    type_access: type_access.TypeAccessController
    steps: records.StepsController
    operations: records.OperationsController
    volume_sides: volume_sides.VolumeSidesController


def roots(c: Controllers) -> list[Route]:
    """Paths outside the versions."""
    return [
        Route("GET", "/", c.versions.choices),
        Route("GET", "/v3", c.versions.show),
    ]


def version_3(c: Controllers) -> list[Route]:
    """Paths below /v3."""
    return [
        Route("GET", "/volumes", c.volumes.index),
        Route("POST", "/volumes", c.volumes.create),
        Route("GET", "/volumes/detail", c.volumes.detail),
        Route("GET", "/volumes/summary", c.volumes.summary),
        Route("GET", "/volumes/{volume_id}", c.volumes.show),
        Route("PUT", "/volumes/{volume_id}", c.volumes.update),
        Route("DELETE", "/volumes/{volume_id}", c.volumes.delete),
        Route("GET", "/volumes/{volume_id}/metadata", c.volumes.metadata),
        Route("POST", "/volumes/{volume_id}/metadata", c.volumes.merge_metadata),
        Route("PUT", "/volumes/{volume_id}/metadata", c.volumes.replace_metadata),
        Route("GET", "/volumes/{volume_id}/metadata/{key}", c.volumes.show_meta),
        Route("PUT", "/volumes/{volume_id}/metadata/{key}", c.volumes.update_meta),
        Route("DELETE", "/volumes/{volume_id}/metadata/{key}", c.volumes.delete_meta),
        Route("POST", "/volumes/{volume_id}/action", c.volume_actions.perform),
        Route("GET", "/snapshots", c.snapshots.index),
        Route("POST", "/snapshots", c.snapshots.create),
        Route("GET", "/snapshots/detail", c.snapshots.detail),
        Route("GET", "/snapshots/{snapshot_id}", c.snapshots.show),
        Route("PUT", "/snapshots/{snapshot_id}", c.snapshots.update),
        Route("DELETE", "/snapshots/{snapshot_id}", c.snapshots.delete),
        Route("POST", "/snapshots/{snapshot_id}/action", c.snapshots.perform),
        Route("GET", "/snapshots/{snapshot_id}/metadata", c.snapshots.metadata),
        Route("POST", "/snapshots/{snapshot_id}/metadata", c.snapshots.merge_metadata),
        Route("PUT", "/snapshots/{snapshot_id}/metadata", c.snapshots.replace_metadata),
        Route("GET", "/snapshots/{snapshot_id}/metadata/{key}", c.snapshots.show_meta),
        Route("PUT", "/snapshots/{snapshot_id}/metadata/{key}", c.snapshots.update_meta),
        Route("DELETE", "/snapshots/{snapshot_id}/metadata/{key}", c.snapshots.delete_meta),
        Route("GET", "/attachments", c.attachments.index),
        Route("POST", "/attachments", c.attachments.create),
        Route("GET", "/attachments/detail", c.attachments.detail),
        Route("GET", "/attachments/{attachment_id}", c.attachments.show),
        Route("PUT", "/attachments/{attachment_id}", c.attachments.update),
        Route("DELETE", "/attachments/{attachment_id}", c.attachments.delete),
        Route("POST", "/attachments/{attachment_id}/action", c.attachments.perform),
        Route("GET", "/extensions", c.extensions.index),
        Route("GET", "/resource_filters", c.resource_filters.index),
        Route("GET", "/messages", c.messages.index),
        Route("GET", "/messages/{message_id}", c.messages.show),
        Route("DELETE", "/messages/{message_id}", c.messages.delete),
        *_types(c),
        *_operation(c),
    ]


def _types(c: Controllers) -> list[Route]:
    """Volume types, who may use them, and which is the default."""
    return [
        Route("GET", "/types", c.types.index),
        Route("POST", "/types", c.types.create),
        Route("GET", "/types/{type_id}", c.types.show),
        Route("PUT", "/types/{type_id}", c.types.update),
        Route("DELETE", "/types/{type_id}", c.types.delete),
        Route("POST", "/types/{type_id}/action", c.type_access.perform),
        Route("GET", "/types/{type_id}/os-volume-type-access", c.type_access.index),
        Route("GET", "/types/{type_id}/encryption", c.type_encryption.show),
        Route("POST", "/types/{type_id}/encryption", c.type_encryption.create),
        Route("GET", "/types/{type_id}/encryption/{what}", c.type_encryption.absent),
        Route("PUT", "/types/{type_id}/encryption/{what}", c.type_encryption.absent),
        Route("DELETE", "/types/{type_id}/encryption/{what}", c.type_encryption.absent),
        Route("GET", "/default-types", c.default_types.index),
        Route("GET", "/default-types/{project}", c.default_types.show),
        Route("PUT", "/default-types/{project}", c.default_types.update),
        Route("DELETE", "/default-types/{project}", c.default_types.delete),
        Route("GET", "/types/{type_id}/extra_specs", c.types.specs),
        Route("POST", "/types/{type_id}/extra_specs", c.types.set_specs),
        Route("GET", "/types/{type_id}/extra_specs/{key}", c.types.show_spec),
        Route("PUT", "/types/{type_id}/extra_specs/{key}", c.types.update_spec),
        Route("DELETE", "/types/{type_id}/extra_specs/{key}", c.types.delete_spec),
    ]


def _operation(c: Controllers) -> list[Route]:
    """Daemons, zones, pools, limits."""
    return [
        Route("GET", "/os-services", c.services.index),
        Route("PUT", "/os-services/enable", c.services.enable),
        Route("PUT", "/os-services/disable", c.services.disable),
        Route("PUT", "/os-services/disable-log-reason", c.services.disable_log_reason),
        Route("PUT", "/os-services/{action}", c.services.unserved),
        Route("GET", "/os-availability-zone", c.services.zones),
        Route("GET", "/scheduler-stats/get_pools", c.services.pools),
        Route("GET", "/os-volume-sides", c.volume_sides.index),
        Route("POST", "/os-volume-sides/heal", c.volume_sides.heal),
        Route("GET", "/limits", c.quotas.limits),
        Route("GET", "/os-quota-sets/{project}", c.quotas.show),
        Route("PUT", "/os-quota-sets/{project}", c.quotas.update),
        Route("DELETE", "/os-quota-sets/{project}", c.quotas.delete),
        Route("GET", "/os-quota-sets/{project}/defaults", c.quotas.defaults),
        Route("GET", "/os-quota-class-sets/{name}", c.quota_classes.show),
        Route("PUT", "/os-quota-class-sets/{name}", c.quota_classes.update),
        Route("GET", "/os-steps", c.steps.index),
        Route("GET", "/os-operations", c.operations.index),
    ]


def api(c: Controllers) -> openapi.Api:
    """The whole API, with the document that tells it."""
    return openapi.with_document(
        "cinder-lite: block storage API",
        "The block storage API of OpenStack as cinder-lite serves it. Paths below `/v3` may also be asked for with a "
        "project id in front (`/v3/{project_id}/volumes`).",
        versions.KIND,
        "/v3",
        roots(c),
        version_3(c),
    )


def router(c: Controllers) -> routing.Router:
    """The table as the pipeline asks it."""
    whole = api(c)
    return routing.Router(whole.roots, {"/v3": whole.versioned})
