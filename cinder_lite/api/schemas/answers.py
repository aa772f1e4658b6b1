"""What answers look like. Told to clients in the API's document and checked by tests; nothing is checked at run time.

Members may come with later microversions that are not told here, so every object is open. Source: Block Storage API
reference.
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


LINKS = listed(record({"rel": TEXT, "href": TEXT}))
_ATTACHED = record(
    {
        "id": UUID,
        "attachment_id": UUID,
        "volume_id": UUID,
        "server_id": MAYBE,
        "host_name": MAYBE,
        "device": MAYBE,
        "attached_at": MAYBE,
    }
)
_SUMMARY: Schema = {"id": UUID, "name": MAYBE, "links": LINKS}
_VOLUME: Schema = _SUMMARY | {
    "description": MAYBE,
    "status": TEXT,
    "size": NUMBER,
    "availability_zone": MAYBE,
    "created_at": MAYBE,
    "updated_at": MAYBE,
    "volume_type": MAYBE,
    "snapshot_id": MAYBE,
    "source_volid": MAYBE,
    "metadata": PAIRS,
    "user_id": MAYBE,
    "bootable": {"enum": ["true", "false"]},
    "encrypted": FLAG,
    "replication_status": MAYBE,
    "consistencygroup_id": MAYBE,
    "multiattach": FLAG,
    "attachments": listed(_ATTACHED),
}
_VOLUME_13 = _VOLUME | {"group_id": MAYBE}
_VOLUME_48 = _VOLUME_13 | {"shared_targets": {"type": ["boolean", "null"]}, "service_uuid": MAYBE}
_VOLUME_63 = _VOLUME_48 | {"volume_type_id": MAYBE}
_VOLUME_65 = _VOLUME_63 | {"consumes_quota": FLAG}
_VOLUMES = {"3.0": _VOLUME, "3.13": _VOLUME_13, "3.48": _VOLUME_48, "3.63": _VOLUME_63, "3.65": _VOLUME_65}
_FOR_ADMINS: Schema = {
    "os-vol-host-attr:host": MAYBE,
    "os-vol-mig-status-attr:migstat": MAYBE,
    "os-vol-mig-status-attr:name_id": MAYBE,
    "migration_status": MAYBE,
}
_TENANT: Schema = {"os-vol-tenant-attr:tenant_id": MAYBE}


def _page(key: str, item: Schema) -> Schema:
    return record({key: listed(item)}, **{f"{key}_links": LINKS, "count": NUMBER})


# Create and update tell less than show.
VOLUME_MADE = {first: record({"volume": record(found)}) for first, found in _VOLUMES.items()}
VOLUME = {first: record({"volume": record(found | _TENANT, **_FOR_ADMINS)}) for first, found in _VOLUMES.items()}
VOLUMES_DETAIL = {first: _page("volumes", record(found | _TENANT, **_FOR_ADMINS)) for first, found in _VOLUMES.items()}
VOLUMES = _page("volumes", record(_SUMMARY))
SUMMARY = record({"volume-summary": record({"total_count": NUMBER, "total_size": NUMBER}, metadata=ANY)})
METADATA = record({"metadata": PAIRS})
META = record({"meta": PAIRS})

_ATTACHMENT: Schema = {"id": UUID, "status": TEXT, "instance": MAYBE, "volume_id": UUID}
_ATTACHMENT_DETAIL: Schema = _ATTACHMENT | {
    "attached_at": TEXT,
    "detached_at": TEXT,
    "attach_mode": MAYBE,
    "connection_info": ANY,
}
ATTACHMENT = record({"attachment": record(_ATTACHMENT_DETAIL)})
ATTACHMENTS = _page("attachments", record(_ATTACHMENT))
ATTACHMENTS_DETAIL = _page("attachments", record(_ATTACHMENT_DETAIL))

_TYPE = record(
    {
        "id": UUID,
        "name": TEXT,
        "description": MAYBE,
        "is_public": FLAG,
        "os-volume-type-access:is_public": FLAG,
        "extra_specs": PAIRS,
    },
    qos_specs_id=MAYBE,
)
TYPE = record({"volume_type": _TYPE})
TYPES = record({"volume_types": listed(_TYPE)})
SPECS = record({"extra_specs": PAIRS})
SPEC = PAIRS

_SERVICE: Schema = {
    "binary": TEXT,
    "host": TEXT,
    "zone": TEXT,
    "status": {"enum": ["enabled", "disabled"]},
    "state": {"enum": ["up", "down"]},
    "updated_at": MAYBE,
    "disabled_reason": MAYBE,
}
SERVICES = {
    "3.0": record({"services": listed(record(_SERVICE))}),
    "3.7": record({"services": listed(record(_SERVICE | {"cluster": MAYBE}, backend_state=TEXT))}),
}
SERVICE = record(
    {"host": TEXT, "service": TEXT, "binary": TEXT, "disabled": FLAG, "status": TEXT}, disabled_reason=TEXT
)
ZONES = record({"availabilityZoneInfo": listed(record({"zoneName": TEXT, "zoneState": record({"available": FLAG})}))})
POOLS = record({"pools": listed(record({"name": TEXT}, capabilities=ANY))})
LIMITS = record(
    {"limits": record({"rate": listed(ANY), "absolute": {"type": "object", "additionalProperties": NUMBER}})}
)
QUOTA_SET = record({"quota_set": record({}, id=TEXT)})
VERSIONS = record(
    {"versions": listed(record({"id": TEXT, "status": TEXT, "version": TEXT, "min_version": TEXT, "links": LINKS}))}
)
