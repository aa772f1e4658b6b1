"""Query strings. What a value means is checked where it is used (`api/listing.py`), which has the texts for it; here
is what parameters there are. One that is not named here is a filter, or means nothing.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _values(description: str, **limits: Any) -> Schema:
    """A parameter; each value keeps the limits."""
    return {"type": "array", "items": {"type": "string", **limits}, "description": description}


def _query(*parts: Schema, **more: Schema) -> Schema:
    """The schema of a query string with these parameters."""
    properties: Schema = {}
    for part in (*parts, more):
        properties |= part
    return {"type": "object", "properties": properties}


PAGE: Schema = {
    "limit": _values("The longest page; never more than the service's own limit.", pattern="^[0-9]+$", maxLength=10),
    "offset": _values("How many to leave out first.", pattern="^[0-9]+$", maxLength=10),
    "marker": _values("The id after which the page begins."),
    "sort": _values("Keys, each with a direction: `name:asc,created_at`."),
    "sort_key": _values("One key, in place of `sort`."),
    "sort_dir": _values("`asc` or `desc`, the default."),
    "all_tenants": _values("For admins: those of every project."),
}
_VOLUME: Schema = {
    "name": _values("Exactly this name."),
    "status": _values("Exactly this status."),
    "metadata": _values("Pairs that the volume has, as `{'key': 'value'}`."),
    "bootable": _values("True or false."),
    "migration_status": _values("Exactly this status."),
    "availability_zone": _values("Exactly this zone."),
    "group_id": _values("Exactly this group."),
    "size": _values("Exactly so many GiB."),
    "created_at": _values("This time; from 3.60 on also comparisons, as `gte:2026-01-01T00:00:00`."),
    "updated_at": _values("As `created_at`."),
    "consumes_quota": _values("True or false."),
    "project_id": _values("For admins: those of this project."),
    "user_id": _values("For admins: those of this user."),
    "host": _values("For admins: those on this backend."),
}
VOLUMES = _query(PAGE, _VOLUME, with_count=_values("From 3.45 on: true tells how many there are in all."))
SUMMARY = _query({"all_tenants": PAGE["all_tenants"]}, _VOLUME)
DELETE = _query(
    cascade=_values("True deletes the volume's snapshots, too."),
    force=_values("For admins, from 3.23 on: true deletes the volume in any state."),
)
ATTACHMENTS = _query(
    PAGE,
    volume_id=_values("Those of this volume."),
    instance_id=_values("Those of this server."),
    status=_values("Those in this status."),
    attach_status=_values("As `status`."),
    project_id=_values("For admins: those of this project."),
)
SERVICES = _query(
    host=_values("Those on this host."), binary=_values("Those of this kind."), service=_values("As `binary`.")
)
POOLS = _query(
    detail=_values("True tells what each pool has."),
    name=_values("From 3.28 on: the pool of this name."),
    volume_type=_values("From 3.35 on: those that volumes of this type may be in."),
)
LIMITS = _query(project_id=_values("For admins, from 3.39 on: the limits of this project."))
QUOTA_SET = _query(usage=_values("True tells what is used and reserved, too."))
_MESSAGE: Schema = {
    "resource_uuid": _values("Those about this thing."),
    "resource_type": _values("Those about things of this kind."),
    "event_id": _values("Those of this event."),
    "request_id": _values("Those of this request."),
    "message_level": _values("Those of this level."),
}
SNAPSHOTS = _query(
    PAGE,
    name=_values("Exactly this name."),
    status=_values("Exactly this status."),
    volume_id=_values("Those of this volume."),
    metadata=_VOLUME["metadata"] | {"description": "Pairs that the snapshot has, as `{'key': 'value'}`."},
    availability_zone=_values("Those of volumes in this zone."),
    created_at=_VOLUME["created_at"],
    updated_at=_VOLUME["updated_at"],
    consumes_quota=_values("True or false."),
    project_id=_values("For admins: those of this project."),
    user_id=_values("For admins: those of this user."),
    with_count=_values("From 3.45 on: true tells how many there are in all."),
)
MESSAGES = {
    "3.0": _query({"all_tenants": PAGE["all_tenants"]}),
    "3.5": _query(PAGE, _MESSAGE),
}
TYPES = _query(
    PAGE,
    name=_values("The type of this name."),
    is_public=_values("For admins: true, false, or none for both."),
    extra_specs=_values("From 3.52 on: specs that the type has, as `{'key': 'value'}`."),
)
RESOURCE_FILTERS = _query(resource=_values("Those of this list."))
