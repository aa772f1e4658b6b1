"""The one table of paths of nova-lite's API. A path that is not here is a 404, a method that is not here a 405."""

from __future__ import annotations

from dataclasses import dataclass

from lite_common.wsgi import openapi, routing
from lite_common.wsgi.routing import Route
from nova_lite.api import flavors, images, server_actions, servers, services, versions, volume_attachments


@dataclass(frozen=True)
class Controllers:
    """One controller per resource, built by `api.app`."""

    versions: versions.VersionsController
    servers: servers.ServersController
    server_actions: server_actions.ServerActionsController
    volume_attachments: volume_attachments.VolumeAttachmentsController
    flavors: flavors.FlavorsController
    services: services.ServicesController
    images: images.ImagesController


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
    return [
        Route("GET", "/servers", on.servers.index),
        Route("POST", "/servers", on.servers.create),
        Route("GET", "/servers/detail", on.servers.detail),
        Route("GET", "/servers/{server}", on.servers.show),
        Route("PUT", "/servers/{server}", on.servers.update),
        Route("DELETE", "/servers/{server}", on.servers.delete),
        Route("POST", "/servers/{server}/action", on.server_actions.run),
        Route("GET", "/servers/{server}/os-volume_attachments", on.volume_attachments.index),
        Route("POST", "/servers/{server}/os-volume_attachments", on.volume_attachments.create),
        Route("GET", "/servers/{server}/os-volume_attachments/{volume}", on.volume_attachments.show),
        Route("PUT", "/servers/{server}/os-volume_attachments/{volume}", on.volume_attachments.update),
        Route("DELETE", "/servers/{server}/os-volume_attachments/{volume}", on.volume_attachments.delete),
        Route("GET", "/flavors", on.flavors.index),
        Route("GET", "/flavors/detail", on.flavors.detail),
        Route("GET", "/flavors/{flavor}", on.flavors.show),
        Route("GET", "/flavors/{flavor}/os-extra_specs", on.flavors.extra_specs),
        Route("GET", "/flavors/{flavor}/os-extra_specs/{key}", on.flavors.extra_spec),
        Route("GET", "/os-services", on.services.index),
        Route("GET", "/os-availability-zone", on.services.zones),
        Route("GET", "/os-availability-zone/detail", on.services.zones_detail),
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
