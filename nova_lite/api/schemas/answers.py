"""What answers look like. Told to clients in the API's document and checked by tests; nothing is checked at run time.

Members may come with later microversions that are not told here, so every object is open. Source: Nova API reference;
for images, Image service API v2 reference.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
PAIRS: Schema = {"type": "object", "additionalProperties": TEXT}
ANY: Schema = {"type": "object"}


def record(properties: Schema, **optional: Schema) -> Schema:
    """An object that always has these members, and may have the optional ones."""
    return {"type": "object", "properties": properties | optional, "required": list(properties)}


def listed(item: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": item}


def _page(key: str, item: Schema) -> Schema:
    return record({key: listed(item)}, **{f"{key}_links": LINKS})


LINKS = listed(record({"rel": TEXT, "href": TEXT}))
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
    "key_name": MAYBE,
    "config_drive": TEXT,
    "OS-DCF:diskConfig": TEXT,
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
_SERVER_1 = _SERVER | _ATTACHED
_SERVER_3 = _SERVER | _ATTACHED_3
_SERVER_9 = _SERVER_3 | {"locked": FLAG}
_SERVER_19 = _SERVER_9 | {"description": MAYBE}
_SERVER_26 = _SERVER_19 | {"tags": listed(TEXT)}
_SERVER_73 = _SERVER_26 | {"locked_reason": MAYBE}
_SERVER_90 = _SERVER_73 | {"OS-EXT-SRV-ATTR:hostname": TEXT}
_SERVERS = {
    "2.1": _SERVER_1,
    "2.3": _SERVER_3,
    "2.9": _SERVER_9,
    "2.19": _SERVER_19,
    "2.26": _SERVER_26,
    "2.73": _SERVER_73,
    "2.90": _SERVER_90,
}
_SOMETIMES: Schema = {
    "progress": NUMBER,
    "fault": record({"code": NUMBER, "created": TEXT, "message": TEXT}, details=TEXT),
    "OS-EXT-SRV-ATTR:host": MAYBE,
    "OS-EXT-SRV-ATTR:instance_name": TEXT,
    "OS-EXT-SRV-ATTR:hypervisor_hostname": MAYBE,
}
SERVER = {first: record({"server": record(found, **_SOMETIMES)}) for first, found in _SERVERS.items()}
SERVERS_DETAIL = {first: _page("servers", record(found, **_SOMETIMES)) for first, found in _SERVERS.items()}
SERVERS = _page("servers", record(_SUMMARY | {"id": UUID}))
SERVER_MADE = record({"server": record({"id": UUID, "links": LINKS}, **{"OS-DCF:diskConfig": TEXT, "adminPass": TEXT})})

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
FLAVORS_DETAIL = {first: _page("flavors", record(found)) for first, found in _FLAVORS.items()}
FLAVORS = _page("flavors", record(_SUMMARY))
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
