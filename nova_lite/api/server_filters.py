"""Which servers a list is asked for: the query string read into filters that the database keeps.

A filter that cannot be honoured is refused, never dropped: somebody may delete what the list shows. A filter on
something that no server has here (addresses, tags, key pairs) finds nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite import states
from nova_lite.api.schemas import servers as schemas
from nova_lite.api.schemas import types
from nova_lite.db import servers

NOT_FILTERS = frozenset(("limit", "marker", "sort_key", "sort_dir", "all_tenants"))
# Filters by something that no server has, with the values that say "those without it".
NOBODY_HAS: dict[str, frozenset[str]] = {
    name: frozenset(("",))
    for name in (
        "accessIPv4", "accessIPv6", "access_ip_v4", "access_ip_v6", "ip", "ip6", "kernel_id", "key_name", "ramdisk_id",
        "tags", "tags-any",
    )
} | {"config_drive": frozenset(("", *types.FALSE)), "soft_deleted": frozenset(types.FALSE)}  # fmt: skip
KEPT = frozenset(
    ("project_id", "tenant_id", "name", "display_name", "uuid", "host", "node", "user_id", "image", "image_ref",
     "changes-since", "deleted", "status", "vm_state")
)  # fmt: skip
FOR_ADMINS = frozenset(("deleted", "host", "node", "user_id", "project_id", "tenant_id"))


@dataclass(frozen=True)
class Wanted:
    """What a list is asked for."""

    filters: servers.ServerFilters
    all_projects: bool
    sort: Sequence[tuple[str, str]]


def read(request: expose.ApiRequest) -> Wanted | None:
    """The filters of the request; None when no server can pass them.

    Raises errors.Invalid for a value that cannot be read and for a filter that is not kept here, errors.Forbidden
    for what only admins may ask.
    """
    every = types.is_true(request.value("all_tenants") or "")
    given = {name: values for name, values in request.query.items() if name in _names(request) and values != [""]}
    if not request.context.is_admin:
        # As Nova: an admin's filters are dropped for others, except where the answer would be a wrong one.
        given = {name: values for name, values in given.items() if name not in FOR_ADMINS}
    for name, values in given.items():
        if name in NOBODY_HAS and values[-1] not in NOBODY_HAS[name]:
            return None
    statuses = _statuses(request, given)
    if statuses is not None and not statuses:
        return None
    _refuse_others(given)
    last = {name: values[-1] for name, values in given.items()}
    deleted = types.is_true(last.get("deleted", "")) or statuses == ("DELETED",)
    return Wanted(
        servers.ServerFilters(
            project_id=last.get("project_id") or last.get("tenant_id"),
            name=last.get("name") or last.get("display_name"),
            statuses=statuses or (),
            uuids=tuple(given.get("uuid", ())),
            host=last.get("host") or last.get("node"),
            user_id=last.get("user_id"),
            image_ref=last.get("image") or last.get("image_ref"),
            changes_since=_moment(last.get("changes-since")),
            deleted=deleted,
        ),
        every,
        _sort(request),
    )


def _names(request: expose.ApiRequest) -> frozenset[str]:
    """The parameters that are filters at the request's version; others mean nothing before 2.75."""
    found = schemas.LIST_PARAMETERS - NOT_FILTERS
    return found if request.at_least("2.73") else found - {"locked"}


def _refuse_others(given: dict[str, list[str]]) -> None:
    for name in given:
        if name not in KEPT and name not in NOBODY_HAS:
            raise errors.Invalid(f"Servers cannot be filtered by {name} here. Use one of: {', '.join(sorted(KEPT))}.")


def _statuses(request: expose.ApiRequest, given: dict[str, list[str]]) -> tuple[str, ...] | None:
    """The statuses asked for that exist; None when none was asked for, empty when none of those asked for exists."""
    if "status" not in given and "vm_state" not in given:
        return None
    found = {value.upper() for value in given.get("status", ()) if states.states_of(value)}
    if not found and "status" in given and request.at_least("2.38"):
        raise errors.Invalid("Invalid status value")
    if "vm_state" in given:
        shown = {
            states.api_status(value.lower(), task)
            for value in given["vm_state"]
            for task in (None, states.REBOOTING, states.REBOOTING_HARD)
        }
        found = found & shown if "status" in given else shown - {"UNKNOWN"}
    if "DELETED" in found and not request.context.is_admin:
        raise errors.Forbidden("Only administrators may list deleted instances")
    return tuple(sorted(found))


def _moment(text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        # In UTC the first and the last hours that can be written are before and after all times.
        return moment if moment.tzinfo is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as err:
        raise errors.Invalid(
            f"Invalid input for query parameters changes-since. Value: {text}. '{text}' is not a 'date-time'"
        ) from err


def _sort(request: expose.ApiRequest) -> list[tuple[str, str]]:
    """The keys with their directions; a key without one goes down."""
    keys, ways = request.query.get("sort_key", []), request.query.get("sort_dir", [])
    return [(key, ways[place] if place < len(ways) else "desc") for place, key in enumerate(keys)]
