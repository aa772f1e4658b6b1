"""What the API shows of a flavor, a server, a service: plain data, built from a record without asking anybody.

Keys come and go with the microversion. Source: Nova API reference and its "REST API Version History".
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

from lite_common.wsgi import expose
from nova_lite import flavors
from nova_lite.db import attachments, faults, server_lists, servers, services

ZONE = server_lists.ZONE
PROGRESS = {"ACTIVE": 100, "BUILD": 0, "VERIFY_RESIZE": 100}
FAULT_STATUSES = frozenset(("ERROR", "DELETED"))
ADMIN_COLUMNS = ("hostname", "launch_index", "reservation_id", "root_device_name", "user_data")


def moment(value: datetime.datetime | None) -> str | None:
    """A time as most of the API writes it: to the second, in UTC."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else None


def moment_exact(value: datetime.datetime | None) -> str | None:
    """A time as the API's usage fields and os-services write it: with microseconds and without a zone."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%f") if value else None


def links(request: expose.ApiRequest, collection: str, key: str) -> list[dict[str, str]]:
    """Where a thing is: under the version that was asked, and for good."""
    return [
        {"rel": "self", "href": f"{request.base_url}/{collection}/{key}"},
        bookmark(request, collection, key),
    ]


def bookmark(request: expose.ApiRequest, collection: str, key: str) -> dict[str, str]:
    """Where a thing is, without a version."""
    return {"rel": "bookmark", "href": f"{request.base_url.rpartition('/')[0]}/{collection}/{key}"}


def flavor_summary(request: expose.ApiRequest, record: flavors.Flavor) -> dict[str, Any]:
    """A flavor in the short list."""
    shown: dict[str, Any] = {"id": record.id, "name": record.name, "links": links(request, "flavors", record.id)}
    if request.at_least("2.55"):
        shown["description"] = record.description
    return shown


def flavor(request: expose.ApiRequest, record: flavors.Flavor) -> dict[str, Any]:
    """A flavor in the long list and alone."""
    shown = flavor_summary(request, record) | {
        "ram": record.memory_mb,
        "vcpus": record.vcpus,
        "disk": record.root_gb,
        "swap": record.swap_mb if record.swap_mb or request.at_least("2.75") else "",
        "OS-FLV-EXT-DATA:ephemeral": record.ephemeral_gb,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
        "rxtx_factor": 1.0,
    }
    if request.at_least("2.61"):
        shown["extra_specs"] = dict(record.extra_specs)
    return shown


def server_summary(request: expose.ApiRequest, record: servers.Server) -> dict[str, Any]:
    """A server in the short list."""
    return {"id": record.uuid, "name": record.display_name, "links": links(request, "servers", record.uuid)}


def server_created(request: expose.ApiRequest, record: servers.Server) -> dict[str, Any]:
    """The answer to the request for a new server: where to look for it."""
    return {
        "id": record.uuid,
        "links": links(request, "servers", record.uuid),
        "OS-DCF:diskConfig": _disk_config(record),
        "security_groups": [],
    }


def server(
    request: expose.ApiRequest,
    record: servers.Server,
    volumes: Sequence[attachments.AttachedVolume],
    fault: faults.Fault | None,
    inside: bool,
    host_status: str | None,
    tags: Sequence[str],
) -> dict[str, Any]:
    """A server in the long list and alone, with what tells of the `inside` of the site where the caller may see it.

    `host_status` None leaves that key out.
    """
    shown = _server_base(request, record, fault, tags) | {
        "key_name": record.key_name,
        "config_drive": "",
        "security_groups": [],
        "OS-EXT-AZ:availability_zone": record.availability_zone or (ZONE if record.host else ""),
        "OS-EXT-STS:vm_state": record.vm_state,
        "OS-EXT-STS:task_state": record.task_state,
        "OS-EXT-STS:power_state": record.power_state,
        "OS-SRV-USG:launched_at": moment_exact(record.launched_at),
        "OS-SRV-USG:terminated_at": moment_exact(record.terminated_at),
        "os-extended-volumes:volumes_attached": _server_volumes(request, volumes),
    }
    if inside:
        shown |= _server_for_admins(request, record)
    if request.at_least("2.90"):
        shown["OS-EXT-SRV-ATTR:hostname"] = record.hostname
    if host_status is not None:
        shown["host_status"] = host_status
    return shown


def server_updated(
    request: expose.ApiRequest, record: servers.Server, fault: faults.Fault | None, tags: Sequence[str]
) -> dict[str, Any]:
    """The answer to a change of a server's description before 2.75: without what later extensions had added."""
    return _server_base(request, record, fault, tags)


def _server_base(
    request: expose.ApiRequest, record: servers.Server, fault: faults.Fault | None, tags: Sequence[str]
) -> dict[str, Any]:
    shown = server_summary(request, record) | {
        "status": record.status,
        "tenant_id": record.project_id,
        "user_id": record.user_id,
        "created": moment(record.created_at),
        "updated": moment(record.updated_at or record.created_at),
        "hostId": host_id(record.project_id, record.host),
        "accessIPv4": record.access_ip_v4 or "",
        "accessIPv6": record.access_ip_v6 or "",
        "addresses": {},
        "flavor": _server_flavor(request, record),
        "image": _server_image(request, record),
        "metadata": record.instance_metadata,
        "OS-DCF:diskConfig": _disk_config(record),
    }
    if record.status in PROGRESS:
        shown["progress"] = PROGRESS[record.status]
    if fault is not None and record.status in FAULT_STATUSES:
        shown["fault"] = _fault(request, fault)
    later: tuple[tuple[str, str, Any], ...] = (
        ("2.9", "locked", record.locked),
        ("2.19", "description", record.display_description),
        ("2.26", "tags", list(tags)),
        ("2.63", "trusted_image_certificates", None),
        ("2.73", "locked_reason", record.locked_reason),
        ("2.96", "pinned_availability_zone", record.availability_zone),
        ("2.100", "scheduler_hints", {}),
    )
    return shown | {name: value for since, name, value in later if request.at_least(since)}


def _disk_config(record: servers.Server) -> str:
    return "AUTO" if record.auto_disk_config else "MANUAL"


def _server_for_admins(request: expose.ApiRequest, record: servers.Server) -> dict[str, Any]:
    prefix = "OS-EXT-SRV-ATTR:"
    shown = {
        f"{prefix}host": record.host,
        f"{prefix}instance_name": record.instance_name,
        f"{prefix}hypervisor_hostname": record.node,
    }
    if request.at_least("2.3"):
        shown |= {f"{prefix}{name}": getattr(record, name) for name in ADMIN_COLUMNS}
        shown |= {f"{prefix}kernel_id": "", f"{prefix}ramdisk_id": ""}
    return shown


def host_id(project_id: str | None, host: str | None) -> str:
    """A name for the host that tells a project which of its servers are together, and nothing else."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def _server_flavor(request: expose.ApiRequest, record: servers.Server) -> dict[str, Any]:
    built_with = record.flavor
    if not request.at_least("2.47"):
        key = str(built_with.get("id", ""))
        return {"id": key, "links": [bookmark(request, "flavors", key)]}
    return {
        "original_name": built_with.get("name", ""),
        "vcpus": record.vcpus,
        "ram": record.memory_mb,
        "disk": record.root_gb,
        "ephemeral": record.ephemeral_gb,
        "swap": built_with.get("swap_mb", 0),
        "extra_specs": built_with.get("extra_specs", {}),
    }


def _server_image(request: expose.ApiRequest, record: servers.Server) -> dict[str, Any] | str:
    if not record.image_ref:
        return ""
    shown: dict[str, Any] = {"id": record.image_ref, "links": [bookmark(request, "images", record.image_ref)]}
    if request.at_least("2.98"):
        shown["properties"] = {}
    return shown


def _server_volumes(request: expose.ApiRequest, volumes: Sequence[attachments.AttachedVolume]) -> list[dict[str, Any]]:
    if not request.at_least("2.3"):
        return [{"id": volume.volume_id} for volume in volumes]
    return [{"id": volume.volume_id, "delete_on_termination": volume.delete_on_termination} for volume in volumes]


def _fault(request: expose.ApiRequest, fault: faults.Fault) -> dict[str, Any]:
    shown = {"code": fault.code, "created": moment(fault.created_at), "message": fault.message}
    # Details of an internal failure tell of the inside of the site.
    if fault.details and (request.context.is_admin or fault.code != 500):
        shown["details"] = fault.details
    return shown


def service(request: expose.ApiRequest, record: services.ServiceRecord, down_time: float) -> dict[str, Any]:
    """A daemon, as os-services lists it."""
    shown: dict[str, Any] = {
        "id": record.uuid if request.at_least("2.53") else record.id,
        "binary": record.binary,
        "host": record.host,
        "zone": zone_of(record),
        "status": "disabled" if record.disabled else "enabled",
        "state": "up" if record.is_up(down_time) else "down",
        "updated_at": moment_exact(record.last_seen_up),
        "disabled_reason": record.disabled_reason,
    }
    if request.at_least("2.11"):
        shown["forced_down"] = record.forced_down
    return shown


def zone_of(record: services.ServiceRecord) -> str:
    """The availability zone of a daemon: guests run in one, everything else is internal."""
    return ZONE if record.binary == services.COMPUTE else "internal"


def host_status(record: services.ServiceRecord, down_time: float) -> str:
    """What admins are told of a server's host."""
    if not record.is_up(down_time):
        return "DOWN"
    return "MAINTENANCE" if record.disabled else "UP"
