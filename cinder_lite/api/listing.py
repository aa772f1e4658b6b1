"""What a list request asks for: which page, in which order, of which things. Rules as in Cinder's API reference."""

from __future__ import annotations

import ast
import datetime
from collections.abc import Collection, Mapping
from typing import Any

from cinder_lite import errors
from cinder_lite.db import paging, snapshot_lists, type_lists, volume_lists
from lite_common import times
from lite_common.wsgi import expose

TRUE = frozenset({"true", "1", "yes", "on", "y", "t"})
FALSE = frozenset({"false", "0", "no", "off", "n", "f"})
PAGING = frozenset({"limit", "offset", "marker", "sort", "sort_key", "sort_dir", "all_tenants", "with_count"})
VOLUME_FILTERS = frozenset(
    {
        "name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size",
        "created_at", "updated_at", "consumes_quota",
    }
)  # fmt: skip
ADMIN_VOLUME_FILTERS = frozenset(
    {
        "project_id", "tenant_id", "user_id", "host", "id", "volume_type_id", "display_name", "attach_status",
        "snapshot_id", "source_volid", "consistencygroup_id", "multiattach", "replication_status", "cluster_name",
        "encryption_key_id",
    }
)  # fmt: skip
SNAPSHOT_FILTERS = frozenset(
    {
        "name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota", "created_at", "updated_at",
    }
)  # fmt: skip
ADMIN_SNAPSHOT_FILTERS = frozenset({"project_id", "tenant_id", "user_id", "id"})
COLUMNS = {"name": "display_name", "consumes_quota": "use_quota", "tenant_id": "project_id"}
BOOLEANS = frozenset({"bootable", "consumes_quota", "multiattach"})
TIMES = frozenset({"created_at", "updated_at"})
# Filters that are no text, and so are not like anything.
NOT_LIKE = BOOLEANS | TIMES | {"size", "metadata"}
# The longest text that is read as a number: Python refuses to read very long ones.
DIGITS = 10
ATTACHMENT_FILTERS = {
    "volume_id": "volume_id",
    "instance_id": "instance_uuid",
    "status": "attach_status",
    "attach_status": "attach_status",
}

POOL_FILTERS = {"name": "3.28", "volume_type": "3.35"}
TYPE_FILTERS = frozenset({"name", "extra_specs"})
MESSAGE_FILTERS = frozenset({"resource_uuid", "resource_type", "event_id", "request_id", "message_level"})


def page(request: expose.ApiRequest, max_limit: int) -> paging.Page:
    """The page that `limit`, `offset`, `marker` and `sort` (or `sort_key` and `sort_dir`) describe.

    Raises errors.InvalidInput for values that make no sense.
    """
    limit = _number(request, "limit")
    return paging.Page(
        limit=max_limit if limit is None else min(limit, max_limit),
        marker=request.value("marker") or None,
        offset=_number(request, "offset") or 0,
        sort=_sort(request),
    )


def everyone(request: expose.ApiRequest) -> bool:
    """Whether an admin asks for all projects' things; a user's wish for that is silently not heard."""
    return bool(request.context.is_admin and flag(request.value("all_tenants") or "false", "all_tenants"))


def flag(text: str, name: str) -> bool:
    """The truth value of a word. Raises errors.InvalidInput for a word that is neither true nor false."""
    word = text.strip().lower()
    if word not in TRUE | FALSE:
        raise errors.InvalidInput(reason=f"The value of {name} must be true or false, not '{text}'.")
    return word in TRUE


def volume_filters(request: expose.ApiRequest) -> volume_lists.Filters:
    """The filters of a list of volumes.

    Below 3.31 an unknown filter is ignored, from then on it is an errors.InvalidInput.
    """
    return volume_lists.Filters(**_filters(request, VOLUME_FILTERS, ADMIN_VOLUME_FILTERS))


def snapshot_filters(request: expose.ApiRequest) -> snapshot_lists.Filters:
    """The filters of a list of snapshots, by the rules of those of volumes."""
    found = _filters(request, SNAPSHOT_FILTERS, ADMIN_SNAPSHOT_FILTERS)
    zone = found["equal"].pop("availability_zone", None)
    found["like"].pop("availability_zone", None)
    return snapshot_lists.Filters(**found, availability_zone=zone)


def _filters(request: expose.ApiRequest, for_all: frozenset[str], for_admins: frozenset[str]) -> dict[str, Any]:
    """project_id, equal, like, metadata and times, as the records of filters have them."""
    ctx = request.context
    allowed = for_all | (for_admins if ctx.is_admin else frozenset())
    asked = {name: values[-1] for name, values in request.query.items() if name not in PAGING}
    like = _inexact(request, asked)
    if request.at_least("3.31"):
        _refuse_unknown(asked, allowed)
        _refuse_unknown(like, allowed - NOT_LIKE)
    known = {name: value for name, value in asked.items() if name in allowed}
    spans = [moment for name in TIMES & set(known) for moment in _times(request, name, known.pop(name))]
    project = None if everyone(request) else str(ctx.project_id)
    if ctx.is_admin and ("project_id" in known or "tenant_id" in known):
        project = known.pop("project_id", None) or known.pop("tenant_id", None)
    pairs = _pairs(known.pop("metadata")) if "metadata" in known else {}
    return {
        "project_id": project,
        "equal": {COLUMNS.get(name, name): _value(name, value) for name, value in known.items()},
        "like": {COLUMNS.get(name, name): value for name, value in like.items() if name in allowed},
        "metadata": pairs,
        "times": spans,
    }


def attachment_filters(request: expose.ApiRequest) -> paging.Matches:
    """The filters of a list of attachments, by column. From 3.31 on an unknown one is an errors.InvalidInput."""
    return _matches(request, ATTACHMENT_FILTERS, {"project_id"} if request.context.is_admin else set())


def message_filters(request: expose.ApiRequest) -> paging.Matches:
    """The filters of a list of messages, by column. From 3.31 on an unknown one is an errors.InvalidInput."""
    return _matches(request, {name: name for name in MESSAGE_FILTERS}, set())


def _matches(request: expose.ApiRequest, columns: Mapping[str, str], others: Collection[str]) -> paging.Matches:
    """The filters on `columns`; `others` are read elsewhere."""
    asked = {name: values[-1] for name, values in request.query.items() if name not in PAGING}
    like = _inexact(request, asked)
    if request.at_least("3.31"):
        _refuse_unknown([*asked, *like], {*columns, *others})
    return paging.Matches(
        equal={columns[name]: value for name, value in asked.items() if name in columns},
        like={columns[name]: value for name, value in like.items() if name in columns},
    )


def _inexact(request: expose.ApiRequest, asked: dict[str, str]) -> dict[str, str]:
    """Takes the filters `name~` (3.34), which ask for a part of the value, out of `asked`."""
    if not request.at_least("3.34"):
        return {}
    return {name[:-1]: asked.pop(name) for name in list(asked) if name.endswith("~")}


def type_filters(request: expose.ApiRequest) -> type_lists.Filters:
    """The filters of a list of types; `is_public` is heard of admins only (`None`: private ones, too)."""
    admin = bool(request.context.is_admin)
    asked = {name: values[-1] for name, values in request.query.items() if name not in PAGING}
    if not admin:
        asked.pop("is_public", None)
    if request.at_least("3.31"):
        _refuse_unknown(asked, {*TYPE_FILTERS, "is_public"})
    public = asked.pop("is_public", "true")
    specs = asked.get("extra_specs") if request.at_least("3.52") else None
    return type_lists.Filters(
        project_id=str(request.context.project_id),
        is_public=None if public.strip().lower() == "none" else flag(public, "is_public"),
        equal={name: asked[name] for name in ("name",) if name in asked},
        extra_specs=_pairs(specs, "extra_specs") if specs else {},
    )


def pool_filters(request: expose.ApiRequest) -> dict[str, str]:
    """The filters of a list of pools: `name` since 3.28, `volume_type` since 3.35."""
    asked = {name: values[-1] for name, values in request.query.items() if name not in PAGING and name != "detail"}
    known = [name for name, since in POOL_FILTERS.items() if request.at_least(since)]
    if request.at_least("3.31"):
        _refuse_unknown(asked, known)
    return {name: asked[name] for name in known if name in asked}


def _refuse_unknown(asked: Collection[str], allowed: Collection[str]) -> None:
    unknown = sorted(set(asked) - set(allowed))
    if unknown:
        raise errors.InvalidInput(reason=f"Invalid filters {', '.join(unknown)} are found in query options.")


def _number(request: expose.ApiRequest, name: str) -> int | None:
    text = request.value(name)
    if text is None:
        return None
    return _integer(name, text)


def _integer(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > DIGITS or int(text) > 2**31 - 1:
        raise errors.InvalidInput(reason=f"{name} must be an integer from 0, not '{text[:100]}'.")
    return int(text)


def _sort(request: expose.ApiRequest) -> list[tuple[str, bool]]:
    combined, keys, directions = (request.value(name) for name in ("sort", "sort_key", "sort_dir"))
    if combined and (keys or directions):
        raise errors.InvalidInput(reason="The 'sort_key' and 'sort_dir' parameters cannot be used with 'sort'.")
    if combined:
        parts = [part.strip().partition(":") for part in combined.split(",")]
        pairs = [(key, direction or "desc") for key, _, direction in parts]
    else:
        pairs = [(keys or "created_at", directions or "desc")]
    for _, direction in pairs:
        if direction not in ("asc", "desc"):
            raise errors.InvalidInput(reason=f"Sort direction '{direction}' is neither asc nor desc.")
    return [(key, direction == "desc") for key, direction in pairs]


def _value(name: str, text: str) -> Any:
    if name in BOOLEANS:
        return flag(text, name)
    return _integer(name, text) if name == "size" else text


def _times(request: expose.ApiRequest, name: str, text: str) -> list[tuple[str, str, datetime.datetime]]:
    """`gt:2026-01-01T00:00:00,lt:...` as comparisons; before 3.60 one moment that must be equal."""
    found = []
    for part in text.split(","):
        word, colon, rest = part.partition(":")
        comparison, moment = (word, rest) if colon and word in volume_lists.COMPARISONS else ("eq", part)
        if comparison != "eq" and not request.at_least("3.60"):
            raise errors.InvalidInput(reason=f"Comparing {name} needs microversion 3.60.")
        try:
            found.append((name, comparison, times.read(moment)))
        except ValueError as err:
            raise errors.InvalidInput(reason=f"'{moment}' in {name} is not a time.") from err
    return found


def _pairs(text: str, name: str = "metadata") -> Mapping[str, str]:
    """`{'key': 'value'}`, as clients write it: Python's form or JSON's."""
    try:
        read = ast.literal_eval(text) if len(text) <= 4096 else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        read = None
    if not isinstance(read, dict) or not all(isinstance(item, str) for pair in read.items() for item in pair):
        raise errors.InvalidInput(reason=f"{name} must have the form {{'key': 'value'}}, not {text[:100]}.")
    return read
