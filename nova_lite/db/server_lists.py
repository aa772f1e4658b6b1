"""Lists of servers: which, in which order, from where on. One statement a page, and one more for a marker."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from lite_common import db, errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.db import servers
from nova_lite.db.models import instances as table
from nova_lite.db.models import tags as tags_table

ZONE = "nova"
# MariaDB's number for a regular expression that it cannot read.
REGEXP_ERROR = 1139
# Columns that a list may be filtered by: for one value, and for a regular expression.
EXACT = frozenset(
    ("host", "node", "user_id", "image_ref", "task_state", "power_state", "flavor_id", "launch_index", "locked",
     "auto_disk_config", "locked_by")
)  # fmt: skip
PATTERNS = frozenset(
    ("display_name", "display_description", "hostname", "reservation_id", "root_device_name", "key_name",
     "access_ip_v4", "access_ip_v6", "availability_zone")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerFilters:
    """Which servers a list has; None (or empty) does not filter.

    `project_id` None is every project. `statuses` are the API's. `exact` and `patterns` go by column. Tags: having
    all of `tags`, one of `tags_any`, lacking one of `not_tags`, lacking all of `not_tags_any`. `deleted` None is the
    living and the deleted.
    """

    project_id: str | None = None
    statuses: Collection[str] = ()
    vm_states: Collection[str] = ()
    uuids: Collection[str] = ()
    exact: Mapping[str, Any] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    changes_since: datetime.datetime | None = None
    changes_before: datetime.datetime | None = None
    deleted: bool | None = False
    tags: Collection[str] = ()
    tags_any: Collection[str] = ()
    not_tags: Collection[str] = ()
    not_tags_any: Collection[str] = ()


def _text(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    # As a plain text: the values of an enumeration do not include the empty one.
    return sa.func.coalesce(column, "", type_=sa.String)


def _number(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(column, 0)


def _time(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(column, sa.literal(datetime.datetime(1970, 1, 1), db.DateTime), type_=db.DateTime)


# What a list may be sorted by; columns that may be empty count as the smallest value.
SORT_KEYS: Mapping[str, sa.ColumnElement[Any]] = {
    "created_at": table.c.created_at,
    "updated_at": table.c.updated_at,
    "uuid": table.c.uuid,
    "id": table.c.uuid,
    "name": _text(table.c.display_name),
    "vm_state": table.c.vm_state,
    "project_id": table.c.project_id,
    "user_id": table.c.user_id,
    "memory_mb": table.c.memory_mb,
    "vcpus": table.c.vcpus,
    "instance_type_id": _text(table.c.flavor_id),
    "launched_at": _time(table.c.launched_at),
    "terminated_at": _time(table.c.terminated_at),
    # Truth has no order in SQL; numbers have.
    "auto_disk_config": _number(sa.cast(table.c.auto_disk_config, sa.Integer)),
    "locked": sa.cast(table.c.locked, sa.Integer),
    "launch_index": _number(table.c.launch_index),
    "power_state": _number(table.c.power_state),
} | {
    name: _text(table.c[name])
    for name in (
        "access_ip_v4", "access_ip_v6", "availability_zone", "display_description", "display_name", "host", "hostname",
        "image_ref", "key_name", "locked_by", "node", "root_device_name", "task_state",
    )
}  # fmt: skip
DEFAULT_SORT = (("created_at", "desc"),)
_ALIVE = table.c.deleted == 0


def list_page(
    database: db.Database,
    filters: ServerFilters,
    *,
    sort: Sequence[tuple[str, str]] = (),
    marker: str | None = None,
    limit: int | None = None,
) -> list[servers.Server]:
    """One page of servers, in the order of `sort`, (key of SORT_KEYS, "asc" or "desc"), after the server `marker`.

    Raises ServerNotFound when the marker is not a server, errors.Invalid for a pattern that the database cannot read.
    """
    # The number makes the order total, so that no server is on two pages or on none.
    order = [(SORT_KEYS[key], way) for key, way in (*sort, *DEFAULT_SORT)]
    order.append((table.c.id, order[-1][1]))
    wanted = sa.select(*servers.COLUMNS).where(*_conditions(filters))
    wanted = wanted.order_by(*(column.desc() if way == "desc" else column.asc() for column, way in order))
    if limit is not None:
        wanted = wanted.limit(limit)
    with database.connection() as conn, _naming_patterns(filters):
        if marker is not None:
            at = conn.execute(sa.select(*(column for column, _ in order)).where(table.c.uuid == marker)).first()
            if at is None:
                raise nova_errors.ServerNotFound(server=marker)
            wanted = wanted.where(_after(order, at))
        return [servers.record(row) for row in conn.execute(wanted)]


@contextlib.contextmanager
def _naming_patterns(filters: ServerFilters) -> Iterator[None]:
    """Each database has regular expressions of its own; what only Python could read is the client's error too."""
    try:
        yield
    except sa.exc.OperationalError as err:
        told = err.orig.args if err.orig is not None else ()
        if not filters.patterns or not told or told[0] != REGEXP_ERROR:
            raise
        patterns = ", ".join(map(repr, filters.patterns.values()))
        raise errors.Invalid(f"The filter {patterns} is no regular expression of the database: {told[-1]}.") from err


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project's living servers take together; memory in MiB."""

    servers: int
    vcpus: int
    memory_mb: int


def usage(database: db.Database, project_id: str | None) -> Usage:
    """What the project uses, in one statement."""
    sums = (sa.func.coalesce(sa.func.sum(table.c[name]), 0) for name in ("vcpus", "memory_mb"))
    wanted = sa.select(sa.func.count(), *sums).where(table.c.project_id == project_id, _ALIVE)
    with database.connection() as conn:
        row = conn.execute(wanted).one()
    return Usage(int(row[0]), int(row[1]), int(row[2]))


def _conditions(filters: ServerFilters) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if filters.deleted is not None:
        found.append(table.c.deleted != 0 if filters.deleted else _ALIVE)
    if filters.project_id is not None:
        found.append(table.c.project_id == filters.project_id)
    found += [table.c[name] == value for name, value in filters.exact.items()]
    found += [_pattern_column(name).regexp_match(pattern) for name, pattern in filters.patterns.items()]
    if filters.uuids:
        found.append(table.c.uuid.in_(list(filters.uuids)))
    if filters.vm_states:
        found.append(table.c.vm_state.in_(list(filters.vm_states)))
    if filters.statuses:
        found.append(sa.or_(sa.false(), *(_in_status(status) for status in filters.statuses)))
    if filters.changes_since is not None:
        found.append(table.c.updated_at >= filters.changes_since)
    if filters.changes_before is not None:
        found.append(table.c.updated_at <= filters.changes_before)
    return found + _tag_conditions(filters)


def _pattern_column(name: str) -> sa.ColumnElement[Any]:
    # Who asked for no zone is in the one there is.
    return sa.func.coalesce(table.c[name], ZONE if name == "availability_zone" else "")


def _tag_conditions(filters: ServerFilters) -> list[sa.ColumnElement[bool]]:
    def has(*tags: str) -> sa.ColumnElement[bool]:
        return sa.exists().where(tags_table.c.resource_id == table.c.uuid, tags_table.c.tag.in_(tags))

    found = [has(tag) for tag in filters.tags]
    if filters.tags_any:
        found.append(has(*filters.tags_any))
    if filters.not_tags:
        found.append(sa.not_(sa.and_(*(has(tag) for tag in filters.not_tags))))
    if filters.not_tags_any:
        found.append(sa.not_(has(*filters.not_tags_any)))
    return found


def _in_status(status: str) -> sa.ColumnElement[bool]:
    wanted = states.states_of(status)
    if wanted is None:
        return sa.false()
    vm_state, needed, excluded = wanted
    condition = table.c.vm_state == vm_state
    if needed:
        return sa.and_(condition, table.c.task_state.in_(needed))
    if excluded:
        return sa.and_(condition, sa.or_(table.c.task_state.is_(None), table.c.task_state.not_in(excluded)))
    return condition


def _after(order: Sequence[tuple[sa.ColumnElement[Any], str]], at: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Rows that come after the row with the values `at`: equal in the first columns and beyond in the next."""
    choices = []
    for position, (column, way) in enumerate(order):
        equal = [earlier == value for (earlier, _), value in zip(order[:position], at[:position], strict=True)]
        beyond = column < at[position] if way == "desc" else column > at[position]
        choices.append(sa.and_(*equal, beyond))
    return sa.or_(*choices)
