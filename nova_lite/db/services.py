"""Statements on `services`: who has reported, and when."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lite_common import db
from nova_lite.db.models import compute_nodes, instances
from nova_lite.db.models import services as table

COMPUTE = "nova-compute"


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One daemon on one host, as it last reported. Times are UTC."""

    id: int
    uuid: str
    host: str
    binary: str
    topic: str | None
    report_count: int
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    last_seen_up: datetime.datetime | None
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None

    def is_up(self, down_time: float) -> bool:
        """Whether it reported within the last `down_time` seconds and nobody forced it down."""
        age = self.age
        return not self.forced_down and age is not None and age <= down_time

    @property
    def age(self) -> float | None:
        """Seconds since the last report; None if there never was one."""
        seen = self.last_seen_up or self.created_at
        return (db.utcnow() - seen).total_seconds() if seen else None


COLUMNS = tuple(table.c[name] for name in ServiceRecord.__dataclass_fields__)


def report(database: db.Database, host: str, binary: str, topic: str) -> None:
    """Note that the daemon is alive; its first report makes its row."""
    now = db.utcnow()
    seen = {"report_count": table.c.report_count + 1, "last_seen_up": now, "updated_at": now}
    mine = table.update().where(table.c.host == host, table.c.binary == binary, table.c.deleted == 0)
    first = {"uuid": str(uuid.uuid4()), "host": host, "binary": binary, "topic": topic, "report_count": 1}
    with database.connection() as conn:
        if conn.execute(mine.values(seen)).rowcount:
            return
        try:
            conn.execute(table.insert().values(first | {"last_seen_up": now, "created_at": now, "updated_at": now}))
        except db.Duplicate:
            conn.execute(mine.values(seen))


def beats(database: db.Database, host: str, binary: str, down_time: float) -> int | None:
    """How often the daemon has reported, if it did within the last `down_time` seconds; else None."""
    found = [one for one in list_all(database, host=host, binary=binary) if (one.age or 0) <= down_time]
    return found[0].report_count if found else None


def list_all(database: db.Database, *, host: str | None = None, binary: str | None = None) -> list[ServiceRecord]:
    """Every service, or those of a host or a binary, in the order in which they first reported."""
    wanted = sa.select(*COLUMNS).where(table.c.deleted == 0).order_by(table.c.id)
    if host is not None:
        wanted = wanted.where(table.c.host == host)
    if binary is not None:
        wanted = wanted.where(table.c.binary == binary)
    with database.connection() as conn:
        return [record(row) for row in conn.execute(wanted)]


def change(database: db.Database, service: ServiceRecord, **values: Any) -> None:
    """Write whether new servers may go there (`disabled`, `disabled_reason`), or that it is `forced_down`."""
    with database.connection() as conn:
        db.compare_and_swap(conn, table, {"id": service.id}, {"deleted": 0}, values)


def forget(database: db.Database, service: ServiceRecord) -> bool:
    """Take a daemon that is no more out of the lists; False for a nova-compute that still has servers.

    One that runs after all is back with its next report.
    """
    hosts = service.binary == COMPUTE
    busy = sa.exists().where(instances.c.host == service.host, instances.c.deleted == 0)

    def work(conn: sa.Connection) -> bool:
        gone = {"deleted_at": db.utcnow()}
        mine = table.update().where(table.c.id == service.id, table.c.deleted == 0)
        if hosts:
            mine = mine.where(sa.not_(busy))
        if not conn.execute(mine.values(deleted=table.c.id, **gone)).rowcount:
            return False
        if hosts:
            node = compute_nodes.update().where(compute_nodes.c.host == service.host, compute_nodes.c.deleted == 0)
            conn.execute(node.values(deleted=compute_nodes.c.id, **gone))
        return True

    return database.run(work)


def record(row: Sequence[Any]) -> ServiceRecord:
    """The record of a row of COLUMNS."""
    return ServiceRecord(*row)
