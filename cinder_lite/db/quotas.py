"""Quota rows. What a project uses is counted from its volumes and open reservations, never added up.

`quota_usages` keeps the count for readers and is the lock that makes one project's reservations queue; because the
count is made anew inside each transaction that changes it, no crash can make it drift.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from cinder_lite.db import models
from lite_common import db

USAGES = models.quota_usages
VOLUMES = "volumes"
GIGABYTES = "gigabytes"
SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class Usage:
    """How much of a resource a project has in volumes and in reservations not yet settled."""

    in_use: int = 0
    reserved: int = 0


def limits(conn: sa.Connection, project_id: str) -> dict[str, int]:
    """The limits that were set for this project, by resource; -1: none."""
    table = models.quotas
    statement = sa.select(table.c.resource, table.c.hard_limit).where(
        table.c.project_id == project_id, table.c.deleted.is_(False)
    )
    return {row.resource: -1 if row.hard_limit is None else row.hard_limit for row in conn.execute(statement)}


def set_limits(conn: sa.Connection, project_id: str, values: Mapping[str, int]) -> None:
    """Set the project's own limits of these resources. To be called inside a transaction."""
    table = models.quotas
    for resource, limit in values.items():
        mine = sa.and_(table.c.project_id == project_id, table.c.resource == resource, table.c.deleted.is_(False))
        found = conn.execute(table.update().where(mine).values(hard_limit=limit, updated_at=db.utcnow()))
        if found.rowcount == 0:
            row = {"project_id": project_id, "resource": resource, "hard_limit": limit, "created_at": db.utcnow()}
            conn.execute(table.insert().values(row))


def drop_limits(conn: sa.Connection, project_id: str) -> None:
    """Forget the project's own limits, so that the defaults hold."""
    table = models.quotas
    mine = sa.and_(table.c.project_id == project_id, table.c.deleted.is_(False))
    conn.execute(table.update().where(mine).values(deleted=True, deleted_at=db.utcnow()))


def count(conn: sa.Connection, project_id: str) -> dict[str, Usage]:
    """Usage by resource: volumes, snapshots, gigabytes of both, and all that per volume type (`volumes_NAME`).

    A volume that grows or changes its type counts as what it will be. Three statements.
    """
    volumes, snapshots, open_ = models.volumes, models.snapshots, models.reservations
    in_use: dict[str, int] = {VOLUMES: 0, GIGABYTES: 0}
    type_id, size = (
        sa.func.coalesce(volumes.c[later], volumes.c[now])
        for later, now in (("retype_type_id", "volume_type_id"), ("extend_new_size", "size"))
    )
    for resource, statement in (
        (VOLUMES, _per_type(volumes, type_id, size)),
        (SNAPSHOTS, _per_type(snapshots, snapshots.c.volume_type_id, snapshots.c.volume_size)),
    ):
        for name, number, total in conn.execute(statement, {"project": project_id}):
            for counted, amount in ((resource, number), (GIGABYTES, int(total))):
                in_use[counted] = in_use.get(counted, 0) + amount
                in_use[f"{counted}_{name}"] = in_use.get(f"{counted}_{name}", 0) + amount
    unsettled = (
        sa.select(open_.c.resource, sa.func.sum(open_.c.delta))
        .where(open_.c.project_id == project_id, open_.c.deleted.is_(False), open_.c.expire > db.utcnow())
        .group_by(open_.c.resource)
    )
    reserved = {resource: int(delta) for resource, delta in conn.execute(unsettled)}
    return {name: Usage(in_use.get(name, 0), reserved.get(name, 0)) for name in {**in_use, **reserved}}


def _per_type(table: sa.Table, type_id: sa.ColumnElement[Any], size: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Type's name, number and GiB of what the table holds for the parameter `project`."""
    types = models.volume_types
    return (
        sa.select(types.c.name, sa.func.count(), sa.func.coalesce(sa.func.sum(size), 0))
        .select_from(table.join(types, type_id == types.c.id))
        .where(table.c.project_id == sa.bindparam("project"), table.c.deleted.is_(False), table.c.use_quota.is_(True))
        .group_by(types.c.name)
    )


def lock(conn: sa.Connection, project_id: str) -> None:
    """Hold the project's usage rows until the transaction ends. To be taken before its volumes are changed."""
    statement = sa.select(USAGES.c.id).where(USAGES.c.project_id == project_id).order_by(USAGES.c.id)
    conn.execute(statement.with_for_update()).all()


def store(conn: sa.Connection, project_id: str, counted: Mapping[str, Usage] | None = None) -> dict[str, int]:
    """Write the count (made now unless given) to quota_usages; returns the rows' ids by resource."""
    counted = count(conn, project_id) if counted is None else counted
    columns = (USAGES.c.id, USAGES.c.resource, USAGES.c.in_use, USAGES.c.reserved)
    known = {row.resource: row for row in conn.execute(sa.select(*columns).where(USAGES.c.project_id == project_id))}
    ids = {resource: row.id for resource, row in known.items()}
    now = db.utcnow()
    for resource in sorted({*known, *counted}):
        usage = counted.get(resource, Usage())
        row = known.get(resource)
        if row is None:
            values = {"project_id": project_id, "resource": resource, "created_at": now, "race_preventer": True}
            made = conn.execute(USAGES.insert().values(values | {"in_use": usage.in_use, "reserved": usage.reserved}))
            ids[resource] = made.inserted_primary_key[0]  # type: ignore[index]  # an INSERT of one row has a key
        elif (row.in_use, row.reserved) != (usage.in_use, usage.reserved):
            changed = {"in_use": usage.in_use, "reserved": usage.reserved, "updated_at": now}
            conn.execute(USAGES.update().where(USAGES.c.id == row.id).values(changed))
    return ids


def recount(conn: sa.Connection, project_id: str) -> None:
    """Store the count after a change of what is counted, in the transaction that made it, under lock()."""
    try:
        store(conn, project_id)
    except db.Duplicate as err:
        # Two first changes of a project at once have no row to lock; the other one has made the rows now.
        raise db_exc.RetryRequest(err) from err


def reserve(
    conn: sa.Connection, project_id: str, deltas: Mapping[str, int], counted: Mapping[str, Usage], expire_after: int
) -> list[str]:
    """Add one reservation per resource for `expire_after` seconds; returns their uuids.

    `counted` is the usage before, made under lock() in the same transaction.
    """
    after = dict(counted)
    for resource, delta in deltas.items():
        before = after.get(resource, Usage())
        after[resource] = Usage(before.in_use, before.reserved + delta)
    try:
        ids = store(conn, project_id, after)
    except db.Duplicate as err:
        # Two first reservations of a project at once have no row to lock; the other one has made the rows now.
        raise db_exc.RetryRequest(err) from err
    now = db.utcnow()
    rows: list[dict[str, Any]] = [
        {
            "uuid": str(uuid.uuid4()),
            "usage_id": ids[resource],
            "project_id": project_id,
            "resource": resource,
            "delta": delta,
            "expire": now + datetime.timedelta(seconds=expire_after),
            "created_at": now,
        }
        for resource, delta in deltas.items()
    ]
    conn.execute(models.reservations.insert(), rows)
    return [row["uuid"] for row in rows]


def overdue(conn: sa.Connection) -> dict[str, list[str]]:
    """The reservations, by project, that have expired and were never settled.

    The projects are found by their usage rows, which are few and say what is reserved; nobody reads all that was ever
    reserved for this.
    """
    suspects = sa.select(USAGES.c.project_id).where(USAGES.c.reserved > 0).distinct()
    table = models.reservations
    found: dict[str, list[str]] = {}
    for project in [row[0] for row in conn.execute(suspects)]:
        mine = sa.and_(table.c.project_id == project, table.c.deleted.is_(False), table.c.expire <= db.utcnow())
        uuids = [row[0] for row in conn.execute(sa.select(table.c.uuid).where(mine))]
        if uuids:
            found[project] = uuids
    return found


def settle(conn: sa.Connection, project_id: str, uuids: list[str]) -> None:
    """End these reservations; what became of them shows in the count. Nothing happens to those already ended."""
    lock(conn, project_id)
    table = models.reservations
    mine = sa.and_(table.c.uuid.in_(uuids), table.c.deleted.is_(False))
    conn.execute(table.update().where(mine).values(deleted=True, deleted_at=db.utcnow()))
    store(conn, project_id)
