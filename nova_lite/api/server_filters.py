"""Which servers a list is asked for: the query string read into filters that the database keeps.

A filter that cannot be honoured is refused, never dropped: somebody may delete what the list shows. A filter on
something that no server has here (addresses, key pairs) finds nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lite_common import errors, times
from lite_common.wsgi import expose
from nova_lite import policies, states
from nova_lite.api.schemas import servers as schemas
from nova_lite.api.schemas import types
from nova_lite.db.server_lists import ServerFilters

Given = Mapping[str, list[str]]

NOT_FILTERS = frozenset(("limit", "marker", "sort_key", "sort_dir", "all_tenants"))
# Filters by something that no server has, with the values that say "those without it".
NOBODY_HAS: dict[str, frozenset[str]] = {
    name: frozenset(("",)) for name in ("ip", "ip6", "kernel_id", "ramdisk_id")
} | {"config_drive": frozenset(("", *types.FALSE)), "soft_deleted": frozenset(types.FALSE)}
FOR_ADMINS = frozenset(("deleted", "host", "node", "user_id", "project_id", "tenant_id"))
# Parameters that are the names of columns, or other names for them.
EXACT = {
    "host": "host", "node": "node", "user_id": "user_id", "image": "image_ref", "image_ref": "image_ref",
    "task_state": "task_state", "flavor": "flavor_id", "locked_by": "locked_by",
}  # fmt: skip
PATTERNS = {
    "name": "display_name", "display_name": "display_name", "description": "display_description",
    "display_description": "display_description", "hostname": "hostname", "reservation_id": "reservation_id",
    "root_device_name": "root_device_name", "key_name": "key_name", "access_ip_v4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6", "accessIPv4": "access_ip_v4", "accessIPv6": "access_ip_v6",
    "availability_zone": "availability_zone",
}  # fmt: skip
LOCKERS = ("owner", "admin")
NUMBERS = ("power_state", "launch_index")
BOOLEANS = ("locked", "auto_disk_config")
TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")
SINCE = dict.fromkeys(TAGS, "2.26") | {"changes-before": "2.66", "locked": "2.73"}
KEPT = frozenset(
    (*EXACT, *PATTERNS, *NUMBERS, *BOOLEANS, *TAGS, *NOBODY_HAS, *FOR_ADMINS, "uuid", "changes-since",
     "changes-before", "status", "vm_state")
)  # fmt: skip
# Columns of Nova's that mean nothing here: sorting by them changes nothing, in Nova neither.
NO_ORDER = frozenset(
    ("architecture", "cell_name", "cleaned", "config_drive", "default_ephemeral_device", "default_swap_device",
     "deleted", "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "kernel_id", "key_data",
     "launched_on", "os_type", "progress", "ramdisk_id", "reservation_id", "root_gb", "shutdown_terminate",
     "user_data", "vm_mode")
)  # fmt: skip
ADMIN_ORDER = ("host", "node")
_YES, _NO = ("1", "t", "true", "on", "y", "yes"), ("0", "f", "false", "off", "n", "no")


@dataclass(frozen=True)
class Wanted:
    """What a list is asked for."""

    filters: ServerFilters
    all_projects: bool
    sort: Sequence[tuple[str, str]]


def read(request: expose.ApiRequest, *, detail: bool) -> Wanted | None:
    """The filters of the request; None when no server can pass them.

    Raises errors.Invalid for a value that cannot be read and for a filter that is not kept here, errors.Forbidden
    for what only admins may ask.
    """
    every = _everybody(request)
    if every:
        request.require(policies.ALL_TENANTS_DETAIL if detail else policies.ALL_TENANTS)
    sort = _sort(request)
    given = _given(request)
    _refuse_others(given)
    statuses = _statuses(request, given)
    if _impossible(given) or (statuses is not None and not statuses):
        return None
    exact = _columns(given, EXACT) | {name: int(given[name][-1]) for name in NUMBERS if name in given}
    exact |= {name: types.is_true(given[name][-1]) for name in BOOLEANS if name in given}
    filters = ServerFilters(
        project_id=_last(given, "project_id") or _last(given, "tenant_id"),
        statuses=statuses or (),
        vm_states=[state.lower() for state in given.get("vm_state", ())],
        uuids=tuple(given.get("uuid", ())),
        exact=exact,
        patterns=_columns(given, PATTERNS),
        tags=_tags(given.get("tags")),
        tags_any=_tags(given.get("tags-any")),
        not_tags=_tags(given.get("not-tags")),
        not_tags_any=_tags(given.get("not-tags-any")),
    )
    return Wanted(_in_time(filters, given, statuses), every, sort)


def moment(text: str | None, name: str) -> datetime.datetime | None:
    """The time that the parameter says, in UTC and without a zone. Raises errors.Invalid."""
    if text is None:
        return None
    try:
        return times.read(text)
    except ValueError as err:
        raise errors.Invalid(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        ) from err


def check_span(since: datetime.datetime | None, before: datetime.datetime | None) -> None:
    """Raises errors.Invalid for a span of time that ends before it begins."""
    if since is not None and before is not None and since > before:
        raise errors.Invalid("The value of changes-since must be less than or equal to changes-before.")


def _given(request: expose.ApiRequest) -> dict[str, list[str]]:
    """The filters of the request: parameters that mean something at its version and to its caller."""
    names = {name for name in schemas.LIST_PARAMETERS - NOT_FILTERS if request.at_least(SINCE.get(name, "2.1"))}
    given = {name: values for name, values in request.query.items() if name in names and values != [""]}
    if request.may(policies.ALL_FILTERS):
        return given
    # As Nova: an admin's filters are dropped for others, except where the answer would be a wrong one.
    return {name: values for name, values in given.items() if name not in FOR_ADMINS}


def _everybody(request: expose.ApiRequest) -> bool:
    """Whether servers of all projects are wanted: a parameter without a value says so too."""
    value = request.value("all_tenants")
    if value is None:
        return False
    if value == "" or value.lower() in _YES:
        return True
    if value.lower() not in _NO:
        raise errors.Invalid(f"Invalid input received: Unrecognized value '{value}' for all_tenants.")
    return False


def _impossible(given: Given) -> bool:
    """Whether a filter asks for what no server can be."""
    if any(name in NOBODY_HAS and values[-1] not in NOBODY_HAS[name] for name, values in given.items()):
        return True
    if given.get("locked_by", ["owner"])[-1] not in LOCKERS:
        return True
    # Negative numbers are nobody's, and long ones do not fit into the column.
    return any(not _is_number(given[name][-1]) for name in NUMBERS if name in given)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _refuse_others(given: Given) -> None:
    for name in given:
        if name not in KEPT:
            raise errors.Invalid(f"Servers cannot be filtered by {name} here. Use one of: {', '.join(sorted(KEPT))}.")


def _statuses(request: expose.ApiRequest, given: Given) -> tuple[str, ...] | None:
    """The statuses asked for that exist; None when none was asked for, empty when none of those asked for exists."""
    asks_deleted = "deleted" in map(str.lower, (*given.get("vm_state", ()), *given.get("status", ())))
    if asks_deleted and not request.context.is_admin:
        raise errors.Forbidden("Only administrators may list deleted instances")
    if "status" not in given:
        return None
    found = {value.upper() for value in given["status"] if states.states_of(value)}
    if not found and request.at_least("2.38"):
        raise errors.Invalid("Invalid status value")
    return tuple(sorted(found))


def _in_time(filters: ServerFilters, given: Given, statuses: tuple[str, ...] | None) -> ServerFilters:
    """With the limits of time. Who asks for changes is told of deletions too, unless he says otherwise."""
    since = moment(_last(given, "changes-since"), "changes-since")
    before = moment(_last(given, "changes-before"), "changes-before")
    check_span(since, before)
    deleted: bool | None = None if since or before else False
    if "deleted" in given:
        deleted = given["deleted"][-1].lower() in _YES
    if statuses == ("DELETED",) or list(filters.vm_states) == ["deleted"]:
        deleted = True
    return replace(filters, changes_since=since, changes_before=before, deleted=deleted)


def _columns(given: Given, names: Mapping[str, str]) -> dict[str, Any]:
    return {column: given[name][-1] for name, column in names.items() if name in given}


def _last(given: Given, name: str) -> str | None:
    values = given.get(name)
    return values[-1] if values else None


def _tags(values: Sequence[str] | None) -> tuple[str, ...]:
    """The tags of a list with commas."""
    return tuple(tag for tag in (values[-1].split(",") if values else ()) if tag)


def _sort(request: expose.ApiRequest) -> list[tuple[str, str]]:
    """The keys with their directions; a key without one goes down."""
    keys, ways = request.query.get("sort_key", []), request.query.get("sort_dir", [])
    for key in keys:
        if key in ADMIN_ORDER and not request.context.is_admin:
            raise errors.Forbidden(f"Only administrators can sort servers by {key}")
    ignored = NO_ORDER if request.at_least("2.73") else NO_ORDER | {"locked"}
    paired = [(key, ways[place] if place < len(ways) else "desc") for place, key in enumerate(keys)]
    return [(key, way) for key, way in paired if key not in ignored]
