"""Statements on `instances`. The states in it are written here alone, and only by the moves of `nova_lite.states`."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from lite_common import db
from nova_lite import errors, states
from nova_lite.db import services
from nova_lite.db.models import block_device_mapping, instances
from nova_lite.db.models import instances as table
from nova_lite.db.models import services as services_table

INSTANCE_NAME = "instance-%08x"


@dataclass(frozen=True, slots=True)
class Server:
    """A server. Times are UTC, `memory_mb` MiB, `root_gb` GB; `flavor` holds what the flavor was when it was built.

    `host` is the nova-compute that has it. `deleted` is 0 for a living row.
    """

    id: int
    uuid: str
    project_id: str
    user_id: str
    display_name: str
    display_description: str | None
    hostname: str | None
    host: str | None
    node: str | None
    vm_state: str
    task_state: str | None
    power_state: int
    image_ref: str | None
    root_device_name: str | None
    launched_at: datetime.datetime | None
    terminated_at: datetime.datetime | None
    locked: bool
    availability_zone: str | None
    memory_mb: int
    vcpus: int
    root_gb: int
    ephemeral_gb: int
    reservation_id: str | None
    launch_index: int | None
    key_name: str | None
    user_data: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    deleted_at: datetime.datetime | None
    deleted: int
    flavor: dict[str, Any]
    instance_metadata: dict[str, str]

    @property
    def instance_name(self) -> str:
        """Its name at the hypervisor."""
        return INSTANCE_NAME % self.id

    @property
    def status(self) -> str:
        """The status that the API shows."""
        return states.api_status(self.vm_state, self.task_state)

    @property
    def state_columns(self) -> dict[str, str | None]:
        """The two states by column."""
        return {"vm_state": self.vm_state, "task_state": self.task_state}


@dataclass(frozen=True, slots=True)
class ServerFilters:
    """Which servers a list has; None (or empty) does not filter.

    `name` is a regular expression. `statuses` are the API's. `project_id` None is every project.
    """

    project_id: str | None = None
    name: str | None = None
    statuses: Collection[str] = ()
    uuids: Collection[str] = ()
    host: str | None = None
    user_id: str | None = None
    image_ref: str | None = None
    changes_since: datetime.datetime | None = None
    deleted: bool = False


COLUMNS = tuple(table.c[name] for name in Server.__dataclass_fields__)
_ALIVE = table.c.deleted == 0

# Statements of every request are built once: building one costs more than running it.
_GET_ANY = sa.select(*COLUMNS).where(table.c.uuid == sa.bindparam("server"))
_GET = _GET_ANY.where(_ALIVE)
_HOLDS = sa.and_(
    services_table.c.host == table.c.host,
    services_table.c.binary == services.COMPUTE,
    services_table.c.deleted == 0,
)
_WITH_SERVICE = (
    sa.select(*COLUMNS, *services.COLUMNS)
    .select_from(table.outerjoin(services_table, _HOLDS))
    .where(table.c.uuid == sa.bindparam("server"), _ALIVE)
)

# What a list may be sorted by; columns that may be empty count as the empty text.
SORT_KEYS: Mapping[str, sa.ColumnElement[Any]] = {
    "created_at": table.c.created_at,
    "updated_at": table.c.updated_at,
    "uuid": table.c.uuid,
    "id": table.c.uuid,
    "display_name": sa.func.coalesce(table.c.display_name, ""),
    "name": sa.func.coalesce(table.c.display_name, ""),
    "host": sa.func.coalesce(table.c.host, ""),
    "vm_state": table.c.vm_state,
    "task_state": sa.func.coalesce(table.c.task_state, ""),
    "project_id": table.c.project_id,
    "user_id": table.c.user_id,
    "image_ref": sa.func.coalesce(table.c.image_ref, ""),
    "memory_mb": table.c.memory_mb,
    "vcpus": table.c.vcpus,
}
DEFAULT_SORT = (("created_at", "desc"),)


def record(row: Sequence[Any]) -> Server:
    """The record of a row of COLUMNS."""
    *plain, flavor, metadata = row
    texts = (orjson.loads(text) if text else {} for text in (flavor, metadata))
    return Server(*(*plain, *texts))


def create(database: db.Database, values: Mapping[str, Any]) -> int:
    """Make the row of a new server (it is building, and scheduled); returns its number."""
    filled = dict(values)
    for column in ("flavor", "instance_metadata"):
        filled[column] = orjson.dumps(filled[column]).decode()
    now = db.utcnow()
    begun = {"vm_state": states.BUILDING, "task_state": states.SCHEDULING, "power_state": 0}
    with database.connection() as conn:
        result = conn.execute(
            table.insert().values(filled | begun | {"created_at": now, "updated_at": now, "deleted": 0})
        )
    return int(result.lastrowid)


def get(database: db.Database, server_id: str, *, deleted: bool = False) -> Server:
    """The server; one that is deleted only if asked. Raises ServerNotFound."""
    with database.connection() as conn:
        row = conn.execute(_GET_ANY if deleted else _GET, {"server": server_id}).first()
    if row is None:
        raise errors.ServerNotFound(server=server_id)
    return record(row)


def get_with_service(database: db.Database, server_id: str) -> tuple[Server, services.ServiceRecord | None]:
    """The server and the nova-compute that has it, in one statement. Raises ServerNotFound."""
    with database.connection() as conn:
        row = conn.execute(_WITH_SERVICE, {"server": server_id}).first()
    if row is None:
        raise errors.ServerNotFound(server=server_id)
    split = len(COLUMNS)
    return record(row[:split]), services.record(row[split:]) if row[split] is not None else None


def list_page(
    database: db.Database,
    filters: ServerFilters,
    *,
    sort: Sequence[tuple[str, str]] = (),
    marker: str | None = None,
    limit: int | None = None,
) -> list[Server]:
    """One page of servers, in the order of `sort`, (key of SORT_KEYS, "asc" or "desc"), after the server `marker`.

    One statement, and one more for a marker. Raises ServerNotFound when the marker is not a server.
    """
    # The number makes the order total, so that no server is on two pages or on none.
    order = [(SORT_KEYS[key], way) for key, way in (*sort, *DEFAULT_SORT)]
    order.append((table.c.id, order[-1][1]))
    wanted = sa.select(*COLUMNS).where(*_conditions(filters))
    wanted = wanted.order_by(*(column.desc() if way == "desc" else column.asc() for column, way in order))
    if limit is not None:
        wanted = wanted.limit(limit)
    with database.connection() as conn:
        if marker is not None:
            at = conn.execute(sa.select(*(column for column, _ in order)).where(table.c.uuid == marker)).first()
            if at is None:
                raise errors.ServerNotFound(server=marker)
            wanted = wanted.where(_after(order, at))
        return [record(row) for row in conn.execute(wanted)]


def on_host(
    database: db.Database, host: str, *, tasks: Collection[str | None] | None = None, idle_since: Any = None
) -> list[Server]:
    """The living servers of a host; those in one of the task states, last changed before a moment, if so asked."""
    wanted = sa.select(*COLUMNS).where(table.c.host == host, _ALIVE).order_by(table.c.id)
    if tasks is not None:
        named = table.c.task_state.in_([task for task in tasks if task])
        wanted = wanted.where(sa.or_(named, table.c.task_state.is_(None)) if None in tasks else named)
    if idle_since is not None:
        wanted = wanted.where(table.c.updated_at < idle_since)
    with database.connection() as conn:
        return [record(row) for row in conn.execute(wanted)]


def deleted_among(database: db.Database, server_ids: Collection[str]) -> list[Server]:
    """Those of the ids whose servers are deleted."""
    wanted = sa.select(*COLUMNS).where(table.c.uuid.in_(list(server_ids)), table.c.deleted != 0)
    with database.connection() as conn:
        return [record(row) for row in conn.execute(wanted)]


def count_by_host(database: db.Database) -> dict[str, int]:
    """How many living servers each host has."""
    wanted = sa.select(table.c.host, sa.func.count()).where(_ALIVE, table.c.host.is_not(None)).group_by(table.c.host)
    with database.connection() as conn:
        return {row[0]: row[1] for row in conn.execute(wanted)}


def move(database: db.Database, server_id: str, name: str, **values: Any) -> bool:
    """Make the named move of `states.MOVES` if the server's states allow it now; False when they do not.

    `values` are further columns written by the same statement.
    """
    chosen = states.MOVES[name]
    expected = dict(chosen.expected) | {"deleted": 0}
    with database.connection() as conn:
        return db.compare_and_swap(conn, table, {"uuid": server_id}, expected, dict(chosen.values) | values)


def take_back(database: db.Database, server: Server, name: str) -> bool:
    """Undo the named move, made from the states in `server`, if nothing has happened since."""
    chosen = states.MOVES[name]
    before = {column: getattr(server, column) for column in chosen.values}
    with database.connection() as conn:
        return db.compare_and_swap(conn, table, {"uuid": server.uuid}, dict(chosen.values) | {"deleted": 0}, before)


def rename(database: db.Database, server_id: str, values: Mapping[str, Any]) -> None:
    """Write a new name or description. Raises ServerNotFound."""
    with database.connection() as conn:
        if not db.compare_and_swap(conn, table, {"uuid": server_id}, {"deleted": 0}, values):
            raise errors.ServerNotFound(server=server_id)


def bury(database: db.Database, server_id: str) -> None:
    """Mark the server and whatever block devices it still has as deleted, in one transaction."""
    now = db.utcnow()
    chosen = states.MOVES["deleted"]
    devices = block_device_mapping

    def work(conn: sa.Connection) -> None:
        gone = {"deleted": table.c.id, "deleted_at": now, "terminated_at": now, "updated_at": now}
        conn.execute(instances.update().where(table.c.uuid == server_id, _ALIVE).values(dict(chosen.values) | gone))
        conn.execute(
            devices.update()
            .where(devices.c.instance_uuid == server_id, devices.c.deleted == 0)
            .values(deleted=devices.c.id, deleted_at=now)
        )

    database.run(work)


def _conditions(filters: ServerFilters) -> list[sa.ColumnElement[bool]]:
    found = [table.c.deleted != 0 if filters.deleted else _ALIVE]
    for column, value in (
        (table.c.project_id, filters.project_id),
        (table.c.host, filters.host),
        (table.c.user_id, filters.user_id),
        (table.c.image_ref, filters.image_ref),
    ):
        if value is not None:
            found.append(column == value)
    if filters.name is not None:
        found.append(table.c.display_name.regexp_match(filters.name))
    if filters.uuids:
        found.append(table.c.uuid.in_(list(filters.uuids)))
    if filters.changes_since is not None:
        found.append(table.c.updated_at >= filters.changes_since)
    if filters.statuses:
        found.append(sa.or_(sa.false(), *(_in_status(status) for status in filters.statuses)))
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
