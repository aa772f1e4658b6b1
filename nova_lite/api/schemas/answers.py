"""What answers look like. Told to clients in the API's document and checked by tests; nothing is checked at run time.

Source: Nova API reference; for images, Image service API v2 reference.
"""

from __future__ import annotations

from lite_common.wsgi.shapes import (
    ANY,
    FLAG,
    LINKS,
    MAYBE,
    NUMBER,
    NUMBERS,
    PAIRS,
    TEXT,
    UUID,
    Schema,
    listed,
    page,
    record,
)

_SUMMARY: Schema = {"id": TEXT, "name": TEXT, "links": LINKS}

_SERVER: Schema = _SUMMARY | {
    "id": UUID,
    "status": TEXT,
    "tenant_id": TEXT,
    "user_id": TEXT,
    "created": TEXT,
    "updated": TEXT,
    "hostId": TEXT,
    "accessIPv4": TEXT,
    "accessIPv6": TEXT,
    "addresses": ANY,
    "flavor": ANY,
    "image": {"type": ["object", "string"]},
    "metadata": PAIRS,
    "OS-DCF:diskConfig": TEXT,
}
_EXTENDED: Schema = {
    "key_name": MAYBE,
    "config_drive": TEXT,
    "OS-EXT-AZ:availability_zone": TEXT,
    "OS-EXT-STS:vm_state": TEXT,
    "OS-EXT-STS:task_state": MAYBE,
    "OS-EXT-STS:power_state": NUMBER,
    "OS-SRV-USG:launched_at": MAYBE,
    "OS-SRV-USG:terminated_at": MAYBE,
}
_ATTACHED: Schema = {"os-extended-volumes:volumes_attached": listed(record({"id": UUID}))}
_ATTACHED_3: Schema = {
    "os-extended-volumes:volumes_attached": listed(record({"id": UUID, "delete_on_termination": FLAG}))
}
# What came with later microversions.
_9: Schema = {"locked": FLAG}
_19 = _9 | {"description": MAYBE}
_26 = _19 | {"tags": listed(TEXT)}
_73 = _26 | {"locked_reason": MAYBE}
_90 = _73 | {"OS-EXT-SRV-ATTR:hostname": TEXT}
_WHOLE = _SERVER | _EXTENDED | _ATTACHED_3
_SERVERS = {
    "2.1": _SERVER | _EXTENDED | _ATTACHED,
    "2.3": _WHOLE,
    "2.9": _WHOLE | _9,
    "2.19": _WHOLE | _19,
    "2.26": _WHOLE | _26,
    "2.73": _WHOLE | _73,
    "2.90": _WHOLE | _90,
}
# A change was answered without what extensions had added until 2.75.
_CHANGED = {
    "2.1": _SERVER,
    "2.9": _SERVER | _9,
    "2.19": _SERVER | _19,
    "2.26": _SERVER | _26,
    "2.73": _SERVER | _73,
    "2.75": _WHOLE | _73,
    "2.90": _WHOLE | _90,
}
_SOMETIMES: Schema = {
    "progress": NUMBER,
    "fault": record({"code": NUMBER, "created": TEXT, "message": TEXT}, details=TEXT),
    "OS-EXT-SRV-ATTR:host": MAYBE,
    "OS-EXT-SRV-ATTR:instance_name": TEXT,
    "OS-EXT-SRV-ATTR:hypervisor_hostname": MAYBE,
}
SERVER = {first: record({"server": record(found, **_SOMETIMES)}) for first, found in _SERVERS.items()}
SERVERS_DETAIL = {first: page("servers", record(found, **_SOMETIMES)) for first, found in _SERVERS.items()}
SERVERS = page("servers", record(_SUMMARY | {"id": UUID}))
SERVER_CHANGED = {first: record({"server": record(found, **_SOMETIMES)}) for first, found in _CHANGED.items()}
# Who asks for the id of the reservation gets that, for one server or several.
SERVER_MADE: Schema = {
    "anyOf": [
        record({"server": record({"id": UUID, "links": LINKS}, **{"OS-DCF:diskConfig": TEXT})}),
        record({"reservation_id": TEXT}),
    ]
}

# `id` is the volume's; from 2.89 on the attachment has ids of its own.
_ATTACHMENT: Schema = {"serverId": UUID, "volumeId": UUID}
_ATTACHMENT_70 = _ATTACHMENT | {"tag": MAYBE}
_ATTACHMENT_79 = _ATTACHMENT_70 | {"delete_on_termination": FLAG}
_BY_VOLUME = {
    "2.1": _ATTACHMENT | {"id": UUID},
    "2.70": _ATTACHMENT_70 | {"id": UUID},
    "2.79": _ATTACHMENT_79 | {"id": UUID},
}
_ATTACHMENTS = _BY_VOLUME | {"2.89": _ATTACHMENT_79 | {"attachment_id": MAYBE, "bdm_uuid": UUID}}
ATTACHMENT = {first: record({"volumeAttachment": record(found, device=MAYBE)}) for first, found in _ATTACHMENTS.items()}
ATTACHMENT_MADE: dict[str, Schema | None] = {
    first: record({"volumeAttachment": record(found | {"device": MAYBE})}) for first, found in _BY_VOLUME.items()
}
ATTACHMENT_MADE["2.101"] = None
ATTACHMENTS = {
    first: record({"volumeAttachments": listed(record(found, device=MAYBE))}) for first, found in _ATTACHMENTS.items()
}

_FLAVOR: Schema = _SUMMARY | {
    "ram": NUMBER,
    "vcpus": NUMBER,
    "disk": NUMBER,
    "swap": {"type": ["integer", "string"]},
    "OS-FLV-EXT-DATA:ephemeral": NUMBER,
    "OS-FLV-DISABLED:disabled": FLAG,
    "os-flavor-access:is_public": FLAG,
    "rxtx_factor": {"type": "number"},
}
_FLAVORS = {
    "2.1": _FLAVOR,
    "2.55": _FLAVOR | {"description": MAYBE},
    "2.61": _FLAVOR | {"description": MAYBE, "extra_specs": PAIRS},
}
FLAVOR = {first: record({"flavor": record(found)}) for first, found in _FLAVORS.items()}
FLAVORS_DETAIL = {first: page("flavors", record(found)) for first, found in _FLAVORS.items()}
FLAVORS = page("flavors", record(_SUMMARY))
SPECS = record({"extra_specs": PAIRS})
SPEC = PAIRS

_SERVICE: Schema = {
    "id": {"type": ["integer", "string"]},
    "binary": TEXT,
    "host": TEXT,
    "zone": TEXT,
    "status": {"enum": ["enabled", "disabled"]},
    "state": {"enum": ["up", "down"]},
    "updated_at": MAYBE,
    "disabled_reason": MAYBE,
}
SERVICES = {
    "2.1": record({"services": listed(record(_SERVICE))}),
    "2.11": record({"services": listed(record(_SERVICE | {"forced_down": FLAG}))}),
}
ZONES = record(
    {
        "availabilityZoneInfo": listed(
            record({"zoneName": TEXT, "zoneState": record({"available": FLAG}), "hosts": {"type": ["object", "null"]}})
        )
    }
)

_IMAGE: Schema = {"id": UUID, "name": TEXT, "status": TEXT, "visibility": TEXT, "size": NUMBER, "disk_format": TEXT}
IMAGE = record(_IMAGE)
IMAGES = record({"images": listed(record(_IMAGE)), "first": TEXT}, next=TEXT)

_VERSION: Schema = {"id": TEXT, "status": TEXT, "links": LINKS}
VERSION = record({"version": record(_VERSION)})
VERSIONS = record({"versions": listed(record(_VERSION))})

METADATA = record({"metadata": PAIRS})
META = record({"meta": PAIRS})
TAGS = record({"tags": listed(TEXT)})
NO_ADDRESSES = record({"addresses": ANY})

_ACTION: Schema = {
    "action": MAYBE,
    "instance_uuid": UUID,
    "request_id": MAYBE,
    "user_id": MAYBE,
    "project_id": MAYBE,
    "start_time": MAYBE,
    "message": MAYBE,
}
_ACTIONS = {"2.1": _ACTION, "2.58": _ACTION | {"updated_at": MAYBE}}
_EVENT: Schema = {"event": TEXT, "start_time": MAYBE, "finish_time": MAYBE, "result": MAYBE}
_EVENTS = {"2.1": _EVENT, "2.62": _EVENT | {"hostId": TEXT}}
_INSIDE: Schema = {"traceback": MAYBE, "host": MAYBE, "details": MAYBE}


def _action(first: str) -> Schema:
    """An action by itself: events are for everybody from 2.51 on."""
    events = listed(record(_EVENTS["2.62" if first == "2.62" else "2.1"], **_INSIDE))
    members = _ACTIONS["2.58" if first in ("2.58", "2.62") else "2.1"]
    always = members if first == "2.1" else members | {"events": events}
    return record({"instanceAction": record(always, events=events)})


INSTANCE_ACTION = {first: _action(first) for first in ("2.1", "2.51", "2.58", "2.62")}
INSTANCE_ACTIONS = {
    first: record({"instanceActions": listed(record(found))}, links=LINKS) for first, found in _ACTIONS.items()
}

_NODE: Schema = {
    "id": {"type": ["integer", "string"]},
    "hypervisor_hostname": TEXT,
    "state": {"enum": ["up", "down"]},
    "status": {"enum": ["enabled", "disabled"]},
}
_NODE_DETAIL: Schema = _NODE | {
    "hypervisor_type": TEXT,
    "hypervisor_version": NUMBER,
    "host_ip": MAYBE,
    "service": record({"id": {"type": ["integer", "string"]}, "host": TEXT, "disabled_reason": MAYBE}),
}
_WITH_SERVERS: Schema = {"servers": listed(record({"name": TEXT, "uuid": UUID}))}
_CAPACITY: Schema = {
    "vcpus": NUMBER,
    "memory_mb": NUMBER,
    "local_gb": NUMBER,
    "vcpus_used": NUMBER,
    "memory_mb_used": NUMBER,
    "local_gb_used": NUMBER,
    "free_ram_mb": NUMBER,
    "free_disk_gb": NUMBER,
    "disk_available_least": NUMBER,
    "current_workload": NUMBER,
    "running_vms": NUMBER,
}
# What a host has is told by the placement service from 2.88 on, how long it has been up by the host itself.
_NODES = {
    "2.1": _NODE_DETAIL | _CAPACITY | {"cpu_info": {"type": ["object", "string"]}},
    "2.88": _NODE_DETAIL | {"uptime": MAYBE},
}
HYPERVISOR = {first: record({"hypervisor": record(found, **_WITH_SERVERS)}) for first, found in _NODES.items()}
HYPERVISORS = page("hypervisors", record(_NODE, **_WITH_SERVERS))
HYPERVISORS_DETAIL = {first: page("hypervisors", record(found, **_WITH_SERVERS)) for first, found in _NODES.items()}
HYPERVISOR_STATISTICS = record({"hypervisor_statistics": record(_CAPACITY | {"count": NUMBER})})

LIMITS = record({"limits": record({"rate": listed(ANY), "absolute": NUMBERS})})
QUOTA_SET = record({"quota_set": record({"id": TEXT})})

# Before 2.53 a change tells what it was asked for, then the daemon.
SERVICE = {
    "2.1": record({"service": record({"host": TEXT, "binary": TEXT})}),
    "2.53": record({"service": record(_SERVICE | {"forced_down": FLAG})}),
}
EVENTS = record({"events": listed(record({"name": TEXT, "server_uuid": UUID, "status": TEXT, "code": NUMBER}))})

# What Cinder has, in the form of the time when it was Nova's.
_PROXY: Schema = {
    "id": UUID,
    "status": TEXT,
    "size": NUMBER,
    "createdAt": TEXT,
    "displayName": MAYBE,
    "displayDescription": MAYBE,
}
_PROXY_VOLUME = record(
    _PROXY
    | {
        "availabilityZone": MAYBE,
        "volumeType": MAYBE,
        "snapshotId": MAYBE,
        "metadata": PAIRS,
        "attachments": listed(record({}, id=UUID, volumeId=UUID, serverId=MAYBE, device=TEXT)),
    }
)
_PROXY_SNAPSHOT = record(_PROXY | {"volumeId": UUID})
PROXY_VOLUME = record({"volume": _PROXY_VOLUME})
PROXY_VOLUMES = record({"volumes": listed(_PROXY_VOLUME)})
PROXY_SNAPSHOT = record({"snapshot": _PROXY_SNAPSHOT})
PROXY_SNAPSHOTS = record({"snapshots": listed(_PROXY_SNAPSHOT)})

_EXTENSION = record(
    {"alias": TEXT, "name": TEXT, "description": TEXT, "updated": TEXT, "links": listed(ANY), "namespace": TEXT}
)
EXTENSIONS = record({"extensions": listed(_EXTENSION)})
EXTENSION = record({"extension": _EXTENSION})
