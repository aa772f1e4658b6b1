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
    cascade=_values("True or false; there is nothing below a volume that would go with it."),
    force=_values("True or false; from 3.23 on true is 501 here."),
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
    detail=_values("True tells what each pool has."), name=_values("The pool of this name.")
)  # fmt: skip
LIMITS = _query(project_id=_values("For admins, from 3.39 on: the limits of this project."))
QUOTA_SET = _query(usage=_values("True tells what is used and reserved, too."))
