"""Answers as Cinder gives them, field by field and microversion by microversion. Plain rows in, plain dicts out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder_lite import policies
from cinder_lite.db import attachments, services, types, volume_lists
from lite_common.wsgi import expose

Json = dict[str, Any]

# States of managing existing storage are told as those of ordinary volumes.
SHOWN_STATUS = {"managing": "creating", "error_managing": "error", "error_managing_deleting": "deleting"}
USER_VISIBLE_SPECS = ("multiattach", "RESKEY:availability_zones", "replication_enabled")


class VolumeView:
    """Makes the answers to one request; what depends on its version and caller is decided once."""

    def __init__(self, request: expose.ApiRequest, *, extended: bool = True) -> None:
        """`extended` adds the `os-vol-*` keys, which show and detail have and create and update have not."""
        # Keys that Cinder shows to administrators without a rule of their own.
        self._admin = bool(request.context.is_admin)
        self._sees_hosts = self._admin or request.context.is_service
        self._sees_backend = extended and request.may(policies.HOST_ATTRIBUTE)
        self._sees_project = extended and request.may(policies.TENANT_ATTRIBUTE)
        self._sees_migration = extended and request.may(policies.MIGRATION_ATTRIBUTE)
        self._version = request.version
        self._links = Links(request, "volumes")

    def detail(self, shown: volume_lists.Shown) -> list[Json]:
        """Every volume with all its fields."""
        return [
            self._volume(row, shown.attachments.get(row["id"], ()), shown.metadata.get(row["id"], {}))
            for row in shown.rows
        ]

    def summary(self, shown: volume_lists.Shown) -> list[Json]:
        """Id, name and links of every volume."""
        return [
            {"id": row["id"], "name": row["display_name"], "links": self._links.of(row["id"])} for row in shown.rows
        ]

    def _volume(self, row: volume_lists.Row, found: Any, metadata: Mapping[str, str]) -> Json:
        status = row["status"]
        answer = {
            "id": row["id"],
            "name": row["display_name"],
            "description": row["display_description"],
            "status": SHOWN_STATUS.get(status, status),
            "size": row["size"],
            "availability_zone": row["availability_zone"],
            "created_at": row["created_at"],
            "updated_at": row["updated_at"],
            "volume_type": row["volume_type"],
            "snapshot_id": row["snapshot_id"],
            "source_volid": row["source_volid"],
            "metadata": metadata,
            "links": self._links.of(row["id"]),
            "user_id": row["user_id"],
            "bootable": "true" if row["bootable"] else "false",
            "encrypted": row["encryption_key_id"] is not None,
            "replication_status": row["replication_status"],
            "consistencygroup_id": row["consistencygroup_id"],
            "multiattach": bool(row["multiattach"]),
            "attachments": [self._attachment(one) for one in found],
        }
        if self._sees_project:
            answer["os-vol-tenant-attr:tenant_id"] = row["project_id"]
        if self._admin:
            answer["migration_status"] = row["migration_status"]
        if self._sees_backend:
            answer["os-vol-host-attr:host"] = row["host"]
        if self._sees_migration:
            answer["os-vol-mig-status-attr:migstat"] = row["migration_status"]
            answer["os-vol-mig-status-attr:name_id"] = row["_name_id"]
        if self._version >= (3, 13):
            self._later(answer, row)
        return answer

    def _later(self, answer: Json, row: volume_lists.Row) -> None:
        version = self._version
        answer["group_id"] = row["group_id"]
        if version >= (3, 21) and self._admin:
            answer["provider_id"] = row["provider_id"]
        if version >= (3, 48):
            shared = row["shared_targets"]
            answer["shared_targets"] = True if shared is None and version < (3, 69) else shared
            answer["service_uuid"] = row["service_uuid"]
        if version >= (3, 61) and self._admin:
            answer["cluster_name"] = row["cluster_name"]
        if version >= (3, 63):
            answer["volume_type_id"] = row["volume_type_id"]
        if version >= (3, 64) and row["encryption_key_id"]:
            answer["encryption_key_id"] = row["encryption_key_id"]
        if version >= (3, 65):
            answer["consumes_quota"] = bool(row["use_quota"])

    def _attachment(self, row: volume_lists.Row) -> Json:
        return {
            # Upstream's habit: `id` is the volume's.
            "id": row["volume_id"],
            "attachment_id": row["id"],
            "volume_id": row["volume_id"],
            "server_id": row["instance_uuid"],
            "host_name": row["attached_host"] if self._sees_hosts else None,
            "device": row["mountpoint"],
            "attached_at": row["attach_time"],
        }


class Links:
    """The links of things of one collection, for one request."""

    def __init__(self, request: expose.ApiRequest, collection: str) -> None:
        base, _, prefix = request.base_url.rpartition("/")
        project = request.context.project_id
        self._own = f"{base}/{prefix}/{project}/{collection}/"
        self._bookmark = f"{base}/{project}/{collection}/"

    def of(self, thing: str) -> list[Json]:
        """The thing's own link and its bookmark."""
        return [{"rel": "self", "href": self._own + thing}, {"rel": "bookmark", "href": self._bookmark + thing}]


def attachment_summary(one: attachments.Attachment) -> Json:
    """An attachment in a list."""
    return {
        "id": one.id,
        "status": one.attach_status,
        "instance": one.instance_uuid,
        "volume_id": one.volume_id,
    }


def attachment_detail(one: attachments.Attachment) -> Json:
    """An attachment with its times, mode and (flat) connection info."""
    return attachment_summary(one) | {
        "attached_at": one.attach_time or "",
        "detached_at": one.detach_time or "",
        "attach_mode": one.attach_mode,
        "connection_info": one.connection_info or {},
    }


def volume_type(one: types.VolumeType, request: expose.ApiRequest) -> Json:
    """A volume type; extra specs that tell of backends are for admins."""
    answer = volume_type_made(one, request)
    return answer | ({"qos_specs_id": one.qos_specs_id} if request.context.is_admin else {})


def volume_type_made(one: types.VolumeType, request: expose.ApiRequest) -> Json:
    """The answer to a request for a new type: less than a list tells."""
    return volume_type_changed(one, request) | {"os-volume-type-access:is_public": one.is_public}


def volume_type_changed(one: types.VolumeType, request: expose.ApiRequest) -> Json:
    """The answer to a change of a type: less still."""
    specs = one.extra_specs
    every = request.may(policies.SENSITIVE_SPECS)
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "is_public": one.is_public,
        "extra_specs": dict(specs) if every else {key: specs[key] for key in USER_VISIBLE_SPECS if key in specs},
    }


def service(one: services.Service, down_after: float, request: expose.ApiRequest) -> Json:
    """A daemon, and whether it was heard of lately."""
    up = one.is_up(down_after)
    answer: Json = {
        "binary": one.binary,
        "host": one.host,
        "zone": one.availability_zone,
        "status": "disabled" if one.disabled else "enabled",
        "state": "up" if up else "down",
        "updated_at": one.updated_at,
        "disabled_reason": one.disabled_reason,
    }
    if one.binary == "cinder-volume":
        answer |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
    if request.at_least("3.7"):
        answer["cluster"] = None
    if request.at_least("3.49") and one.binary == "cinder-volume":
        answer["backend_state"] = "up" if up else "down"
    return answer
