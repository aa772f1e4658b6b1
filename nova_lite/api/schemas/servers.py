"""Requests for servers. Source: Nova API reference, "Servers"."""

from __future__ import annotations

from nova_lite.api.schemas import types

Schema = types.Schema

_REF: Schema = {"type": ["string", "integer"], "minLength": 1, "maxLength": 255, "minimum": 0}
# One request may ask for so many servers; there is no quota on them that would stop a slip of the finger.
_COUNT: Schema = {"type": ["integer", "string"], "pattern": "^([1-9][0-9]?|100)$", "minimum": 1, "maximum": 100}
_SIZE: Schema = {"type": ["integer", "string"], "pattern": "^[0-9]+$", "maxLength": 9, "minimum": 0}
_DESCRIPTION: Schema = {"type": ["string", "null"], "maxLength": 255, "pattern": r"^[^\x00-\x08\x0e-\x1f\x7f]*\Z"}
_DISK_CONFIG: Schema = {"type": "string", "enum": ["AUTO", "MANUAL"]}

_NETWORK: Schema = {
    "uuid": types.UUID,
    "port": {"type": ["string", "null"], "format": "uuid"},
    "fixed_ip": {"type": "string", "maxLength": 45},
}
_BLOCK_DEVICE = types.closed(
    {
        "source_type": {"type": "string", "enum": ["volume", "image", "snapshot", "blank"]},
        "destination_type": {"type": "string", "enum": ["local", "volume"]},
        "uuid": types.UUID,
        "image_id": types.UUID,
        "volume_id": types.UUID,
        "snapshot_id": types.UUID,
        "boot_index": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]{1,4}$"},
        "delete_on_termination": types.BOOLEAN,
        "volume_size": _SIZE,
        "device_name": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9._/-]*\Z"},
        "disk_bus": {"type": "string"},
        "device_type": {"type": "string"},
        "guest_format": {"type": "string", "maxLength": 255},
        "no_device": types.BOOLEAN,
    }
)


def _networks(members: Schema, *words: str) -> Schema:
    lists: Schema = {"type": "array", "items": types.closed(members)}
    return {"anyOf": [lists, {"type": "string", "enum": list(words)}]} if words else lists


def _create(properties: Schema, *required: str) -> Schema:
    server = types.closed(properties, ["name", "flavorRef", *required])
    hints: Schema = {"type": "object"}
    return types.closed(
        {"server": server, "os:scheduler_hints": hints, "OS-SCH-HNT:scheduler_hints": hints}, ["server"]
    )


_CREATE_1: Schema = {
    "name": types.NAME,
    "flavorRef": _REF,
    "imageRef": {"type": "string", "anyOf": [{"format": "uuid"}, {"maxLength": 0}]},
    "metadata": types.METADATA,
    "networks": _networks(_NETWORK),
    "availability_zone": {"type": "string", "minLength": 1, "maxLength": 255},
    "block_device_mapping_v2": {"type": "array", "items": _BLOCK_DEVICE},
    "min_count": _COUNT,
    "max_count": _COUNT,
    "OS-DCF:diskConfig": _DISK_CONFIG,
    "accessIPv4": types.IPV4,
    "accessIPv6": types.IPV6,
    "return_reservation_id": types.BOOLEAN,
    "adminPass": {"type": "string"},
    "config_drive": types.BOOLEAN,
    "key_name": types.NAME,
    "security_groups": {"type": "array", "items": types.closed({"name": {"type": "string", "maxLength": 255}})},
    "user_data": {"type": "string", "maxLength": 65535},
}
_CREATE_19 = _CREATE_1 | {"description": _DESCRIPTION}
_CREATE_37 = _CREATE_19 | {"networks": _networks(_NETWORK, "none", "auto")}
_CREATE_42 = _CREATE_37 | {"networks": _networks(_NETWORK | {"tag": types.TAG}, "none", "auto")}
_CREATE_52 = _CREATE_42 | {"tags": types.TAGS}
_CREATE_74 = _CREATE_52 | {"host": types.NAME, "hypervisor_hostname": types.NAME}
_CREATE_90 = _CREATE_74 | {"hostname": types.HOST_NAME}
_CREATE_94 = _CREATE_74 | {"hostname": types.FULL_HOST_NAME}

CREATE = {
    "2.1": _create(_CREATE_1),
    "2.19": _create(_CREATE_19),
    "2.37": _create(_CREATE_37, "networks"),
    "2.42": _create(_CREATE_42, "networks"),
    "2.52": _create(_CREATE_52, "networks"),
    "2.74": _create(_CREATE_74, "networks"),
    "2.90": _create(_CREATE_90, "networks"),
    "2.94": _create(_CREATE_94, "networks"),
}  # fmt: skip


def _update(properties: Schema) -> Schema:
    return types.closed({"server": types.closed(properties)}, ["server"])


_UPDATE_1: Schema = {
    "name": types.NAME,
    "OS-DCF:diskConfig": _DISK_CONFIG,
    "accessIPv4": types.IPV4,
    "accessIPv6": types.IPV6,
}
_UPDATE_19 = _UPDATE_1 | {"description": _DESCRIPTION}
UPDATE = {
    "2.1": _update(_UPDATE_1),
    "2.19": _update(_UPDATE_19),
    "2.90": _update(_UPDATE_19 | {"hostname": types.HOST_NAME}),
    "2.94": _update(_UPDATE_19 | {"hostname": types.FULL_HOST_NAME}),
}

# All the parameters that the reference names; the controller says which of them it can honour.
_LIST: Schema = {name: types.ANY_VALUES for name in (
    "accessIPv4", "accessIPv6", "access_ip_v4", "access_ip_v6", "all_tenants", "auto_disk_config",
    "availability_zone", "block_device_mapping", "changes-since", "config_drive", "created_at", "deleted",
    "description",
    "display_description", "display_name", "flavor", "host", "hostname", "image", "image_ref", "instance_type_id", "ip",
    "ip6", "kernel_id", "key_name", "launch_index", "launched_at", "locked_by", "marker", "metadata", "name", "node",
    "power_state", "progress", "project_id", "ramdisk_id", "reservation_id", "root_device_name", "security_groups",
    "services", "soft_deleted", "sort_dir", "sort_key", "status", "system_metadata", "task_state", "tenant_id",
    "terminated_at", "updated_at", "user_id", "uuid", "vm_state",
)}  # fmt: skip
_LIST["limit"] = types.NUMBERS
_LIST["sort_dir"] = {"type": "array", "items": {"enum": ["asc", "desc"]}}
_TAGS: Schema = {name: types.ANY_VALUES for name in ("not-tags", "not-tags-any", "tags", "tags-any")}
_LIST_75 = _LIST | _TAGS | {"changes-before": types.ANY_VALUES, "locked": {"type": "array", "items": types.BOOLEAN}}
# Every parameter that narrows, orders or pages a list, at any version.
LIST_PARAMETERS = frozenset(_LIST_75)

LIST = {"2.1": types.query(_LIST), "2.75": types.query(_LIST_75, strict=True)}
