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
    locked_by: str | None
    locked_reason: str | None
    access_ip_v4: str | None
    access_ip_v6: str | None
    auto_disk_config: bool | None
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


def claim(database: db.Database, server: Server) -> bool:
    """Touch the row if nobody has since it was read; of several daemons that want to go on with it one may."""
    with database.connection() as conn:
        expected = {"deleted": 0, "task_state": server.task_state, "updated_at": server.updated_at}
        return db.compare_and_swap(conn, table, {"uuid": server.uuid}, expected, {"task_state": server.task_state})


def describe(database: db.Database, server_id: str, values: Mapping[str, Any]) -> None:
    """Write columns that only tell something: names, addresses, locks; never states. Raises ServerNotFound."""
    with database.connection() as conn:
        if not db.compare_and_swap(conn, table, {"uuid": server_id}, {"deleted": 0}, values):
            raise errors.ServerNotFound(server=server_id)


def swap_metadata(database: db.Database, server: Server, metadata: Mapping[str, str]) -> bool:
    """Write other metadata if it is still what `server` has; False when somebody else has changed it."""
    before, after = (orjson.dumps(one).decode() for one in (server.instance_metadata, metadata))
    with database.connection() as conn:
        expected = {"deleted": 0, "instance_metadata": before}
        return db.compare_and_swap(conn, table, {"uuid": server.uuid}, expected, {"instance_metadata": after})


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
