"""What answers look like. Told to clients in the API's document and checked by tests; nothing is checked at run time.

Source: Block Storage API reference.
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


# Create and update tell less than show.
VOLUME_MADE = {first: record({"volume": record(found)}) for first, found in _VOLUMES.items()}
VOLUME = {first: record({"volume": record(found | _TENANT, **_FOR_ADMINS)}) for first, found in _VOLUMES.items()}
VOLUMES_DETAIL = {
    first: page("volumes", record(found | _TENANT, **_FOR_ADMINS), count=NUMBER) for first, found in _VOLUMES.items()
}
VOLUMES = page("volumes", record(_SUMMARY), count=NUMBER)
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
ATTACHMENTS = page("attachments", record(_ATTACHMENT))
ATTACHMENTS_DETAIL = page("attachments", record(_ATTACHMENT_DETAIL))

_TYPE_CHANGED: Schema = {"id": UUID, "name": TEXT, "description": MAYBE, "is_public": FLAG, "extra_specs": PAIRS}
_TYPE_MADE = _TYPE_CHANGED | {"os-volume-type-access:is_public": FLAG}
_TYPE = record(_TYPE_MADE, qos_specs_id=MAYBE)
TYPE = record({"volume_type": _TYPE})
# Create and update tell less than show.
TYPE_MADE = record({"volume_type": record(_TYPE_MADE)})
TYPE_CHANGED = record({"volume_type": record(_TYPE_CHANGED)})
TYPES = record({"volume_types": listed(_TYPE)}, volume_type_links=LINKS)
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
LIMITS = record({"limits": record({"rate": listed(ANY), "absolute": NUMBERS})})
QUOTA_SET = record({"quota_set": record({}, id=TEXT)})
VERSIONS = record(
    {"versions": listed(record({"id": TEXT, "status": TEXT, "version": TEXT, "min_version": TEXT, "links": LINKS}))}
)
QUOTA_CLASS = record({"quota_class_set": {"type": "object", "additionalProperties": {"type": ["integer", "string"]}}})

_SNAPSHOT: Schema = {
    "id": UUID,
    "name": MAYBE,
    "description": MAYBE,
    "volume_id": UUID,
    "status": TEXT,
    "size": NUMBER,
    "metadata": PAIRS,
    "created_at": MAYBE,
    "updated_at": MAYBE,
}
_SNAPSHOT_14 = _SNAPSHOT | {"group_snapshot_id": MAYBE}
_SNAPSHOT_41 = _SNAPSHOT_14 | {"user_id": MAYBE}
_SNAPSHOT_65 = _SNAPSHOT_41 | {"consumes_quota": FLAG}
_SNAPSHOTS = {"3.0": _SNAPSHOT, "3.14": _SNAPSHOT_14, "3.41": _SNAPSHOT_41, "3.65": _SNAPSHOT_65}
_PROGRESS: Schema = {
    "os-extended-snapshot-attributes:project_id": TEXT,
    "os-extended-snapshot-attributes:progress": MAYBE,
}
# Create, update and the short list tell less than show.
SNAPSHOT_MADE = {first: record({"snapshot": record(found)}) for first, found in _SNAPSHOTS.items()}
SNAPSHOT = {first: record({"snapshot": record(found | _PROGRESS)}) for first, found in _SNAPSHOTS.items()}
SNAPSHOTS = {first: page("snapshots", record(found), count=NUMBER) for first, found in _SNAPSHOTS.items()}
SNAPSHOTS_DETAIL = {
    first: page("snapshots", record(found | _PROGRESS), count=NUMBER) for first, found in _SNAPSHOTS.items()
}

_MESSAGE = record(
    {
        "id": UUID,
        "event_id": TEXT,
        "user_message": TEXT,
        "message_level": TEXT,
        "created_at": MAYBE,
        "guaranteed_until": MAYBE,
        "request_id": MAYBE,
        "links": LINKS,
    },
    resource_type=TEXT,
    resource_uuid=UUID,
)
MESSAGE = record({"message": _MESSAGE})
MESSAGES = page("messages", _MESSAGE)

TYPE_ACCESS = record({"volume_type_access": listed(record({"volume_type_id": UUID, "project_id": TEXT}))})
_DEFAULT = record({"project_id": TEXT, "volume_type_id": UUID})
DEFAULT_TYPE = record({"default_type": _DEFAULT})
DEFAULT_TYPES = record({"default_types": listed(_DEFAULT)})
NO_ENCRYPTION: Schema = {"type": "object", "maxProperties": 0}
RESOURCE_FILTERS = record({"resource_filters": listed(record({"resource": TEXT, "filters": listed(TEXT)}))})

_EXTENSION = record({"alias": TEXT, "name": TEXT, "description": TEXT, "updated": TEXT, "links": listed(ANY)})
EXTENSIONS = record({"extensions": listed(_EXTENSION)})
