"""The one table of paths of nova-lite's API. A path that is not here is a 404, a method that is not here a 405."""

from __future__ import annotations

from dataclasses import dataclass

from lite_common.wsgi import openapi, records, routing
from lite_common.wsgi.routing import Route
from nova_lite.api import (
    attachment_sides,
    extensions,
    flavors,
    hypervisors,
    images,
    instance_actions,
    limits,
    quota_sets,
    server_actions,
    server_external_events,
    server_metadata,
    server_tags,
    servers,
    service_changes,
    services,
    versions,
    volume_attachments,
    volume_proxies,
)


@dataclass(frozen=True)
class Controllers:
    """One controller per resource, built by `api.app`."""

    versions: versions.VersionsController
    servers: servers.ServersController
    server_actions: server_actions.ServerActionsController
    server_metadata: server_metadata.ServerMetadataController
    server_tags: server_tags.ServerTagsController
    instance_actions: instance_actions.InstanceActionsController
    volume_attachments: volume_attachments.VolumeAttachmentsController
    flavors: flavors.FlavorsController
    hypervisors: hypervisors.HypervisorsController
    limits: limits.LimitsController
    quota_sets: quota_sets.QuotaSetsController
    service_changes: service_changes.ServiceChangesController
    services: services.ServicesController
    images: images.ImagesController
    external_events: server_external_events.ServerExternalEventsController
    steps: records.StepsController
    operations: records.OperationsController
    attachment_sides: attachment_sides.AttachmentSidesController
    volume_proxies: volume_proxies.VolumeProxiesController
    extensions: extensions.ExtensionsController


def roots(on: Controllers) -> list[Route]:
    """Paths outside the versions; they have no microversions."""
    return [
        Route("GET", "/", on.versions.index),
        Route("GET", "/v2", on.versions.show_legacy),
        Route("GET", "/v2.1", on.versions.show),
        Route("GET", "/image", on.versions.image_choices),
        Route("GET", "/image/versions", on.versions.image_index),
        Route("GET", "/image/v2/images", on.images.index),
        Route("GET", "/image/v2/images/{image}", on.images.show),
    ]


def versioned(on: Controllers) -> list[Route]:
    """Paths below `/v2.1` (and `/v2`), each also with a project id in front."""
    return [*_servers(on), *_site(on), *_proxies(on)]


def _servers(on: Controllers) -> list[Route]:
    """Servers and what belongs to each, and what other services tell of them."""
    return [
        Route("GET", "/servers", on.servers.index),
        Route("POST", "/servers", on.servers.create),
        Route("GET", "/servers/detail", on.servers.detail),
        Route("GET", "/servers/{server}", on.servers.show),
        Route("PUT", "/servers/{server}", on.servers.update),
        Route("DELETE", "/servers/{server}", on.servers.delete),
        Route("POST", "/servers/{server}/action", on.server_actions.run),
        Route("GET", "/servers/{server}/ips", on.servers.addresses),
        Route("GET", "/servers/{server}/ips/{network}", on.servers.addresses_of_network),
        Route("GET", "/servers/{server}/metadata", on.server_metadata.index),
        Route("POST", "/servers/{server}/metadata", on.server_metadata.create),
        Route("PUT", "/servers/{server}/metadata", on.server_metadata.update_all),
        Route("GET", "/servers/{server}/metadata/{key}", on.server_metadata.show),
        Route("PUT", "/servers/{server}/metadata/{key}", on.server_metadata.update),
        Route("DELETE", "/servers/{server}/metadata/{key}", on.server_metadata.delete),
        Route("GET", "/servers/{server}/tags", on.server_tags.index),
        Route("PUT", "/servers/{server}/tags", on.server_tags.update_all),
        Route("DELETE", "/servers/{server}/tags", on.server_tags.delete_all),
        Route("GET", "/servers/{server}/tags/{tag}", on.server_tags.show),
        Route("PUT", "/servers/{server}/tags/{tag}", on.server_tags.update),
        Route("DELETE", "/servers/{server}/tags/{tag}", on.server_tags.delete),
        Route("GET", "/servers/{server}/os-instance-actions", on.instance_actions.index),
        Route("GET", "/servers/{server}/os-instance-actions/{request}", on.instance_actions.show),
        Route("GET", "/servers/{server}/os-volume_attachments", on.volume_attachments.index),
        Route("POST", "/servers/{server}/os-volume_attachments", on.volume_attachments.create),
        Route("GET", "/servers/{server}/os-volume_attachments/{volume}", on.volume_attachments.show),
        Route("PUT", "/servers/{server}/os-volume_attachments/{volume}", on.volume_attachments.update),
        Route("DELETE", "/servers/{server}/os-volume_attachments/{volume}", on.volume_attachments.delete),
        Route("POST", "/os-server-external-events", on.external_events.create),
    ]


def _site(on: Controllers) -> list[Route]:
    """What servers can be made of, limits, hosts and daemons."""
    return [
        Route("GET", "/flavors", on.flavors.index),
        Route("GET", "/flavors/detail", on.flavors.detail),
        Route("GET", "/flavors/{flavor}", on.flavors.show),
        Route("GET", "/flavors/{flavor}/os-extra_specs", on.flavors.extra_specs),
        Route("GET", "/flavors/{flavor}/os-extra_specs/{key}", on.flavors.extra_spec),
        Route("GET", "/extensions", on.extensions.index),
        Route("GET", "/extensions/{alias}", on.extensions.show),
        Route("GET", "/limits", on.limits.index),
        Route("GET", "/os-hypervisors", on.hypervisors.index),
        Route("GET", "/os-hypervisors/detail", on.hypervisors.detail),
        Route("GET", "/os-hypervisors/statistics", on.hypervisors.statistics),
        Route("GET", "/os-hypervisors/{hypervisor}", on.hypervisors.show),
        Route("GET", "/os-hypervisors/{hypervisor}/uptime", on.hypervisors.uptime),
        Route("GET", "/os-hypervisors/{hypervisor}/search", on.hypervisors.search),
        Route("GET", "/os-hypervisors/{hypervisor}/servers", on.hypervisors.servers),
        Route("GET", "/os-quota-sets/{project}", on.quota_sets.show),
        Route("GET", "/os-quota-sets/{project}/defaults", on.quota_sets.defaults),
        Route("GET", "/os-quota-sets/{project}/detail", on.quota_sets.detail),
        Route("GET", "/os-attachment-sides", on.attachment_sides.index),
        Route("POST", "/os-attachment-sides/heal", on.attachment_sides.heal),
        Route("GET", "/os-services", on.services.index),
        Route("PUT", "/os-services/{service}", on.service_changes.update),
        Route("DELETE", "/os-services/{service}", on.service_changes.delete),
        Route("GET", "/os-availability-zone", on.services.zones),
        Route("GET", "/os-availability-zone/detail", on.services.zones_detail),
        Route("GET", "/os-steps", on.steps.index),
        Route("GET", "/os-operations", on.operations.index),
    ]


def _proxies(on: Controllers) -> list[Route]:
    """Cinder's volumes and snapshots, for old clients."""
    return [
        Route("GET", "/os-volumes", on.volume_proxies.volumes),
        Route("POST", "/os-volumes", on.volume_proxies.create_volume),
        Route("GET", "/os-volumes/detail", on.volume_proxies.volumes_detail),
        Route("GET", "/os-volumes/{volume}", on.volume_proxies.show_volume),
        Route("DELETE", "/os-volumes/{volume}", on.volume_proxies.delete_volume),
        Route("GET", "/os-snapshots", on.volume_proxies.snapshots),
        Route("POST", "/os-snapshots", on.volume_proxies.create_snapshot),
        Route("GET", "/os-snapshots/detail", on.volume_proxies.snapshots_detail),
        Route("GET", "/os-snapshots/{snapshot}", on.volume_proxies.show_snapshot),
        Route("DELETE", "/os-snapshots/{snapshot}", on.volume_proxies.delete_snapshot),
    ]


def api(on: Controllers) -> openapi.Api:
    """The whole API, with the document that tells it."""
    return openapi.with_document(
        "nova-lite: compute API",
        "The compute API of OpenStack as nova-lite serves it, and the list of images beside it. Paths below `/v2.1` "
        "may also be asked for with a project id in front (`/v2.1/{project_id}/servers`), and below `/v2`, which has "
        "no microversions.",
        versions.COMPUTE,
        "/v2.1",
        roots(on),
        versioned(on),
    )


def router(on: Controllers) -> routing.Router:
    """The table as the pipeline asks it."""
    whole = api(on)
    return routing.Router(whole.roots, {"/v2.1": whole.versioned, "/v2": whole.versioned})
