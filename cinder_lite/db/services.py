"""The services table: who is there, since when, and when they were last heard of."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from cinder_lite import errors
from cinder_lite.db import models
from lite_common import db

TABLE = models.services


@dataclass(frozen=True)
class Service:
    """A daemon as it last reported; `host` is `host@backend` for a volume daemon's backend."""

    id: int
    uuid: str
    host: str
    binary: str
    topic: str
    availability_zone: str
    disabled: bool
    disabled_reason: str | None
    report_count: int
    created_at: datetime.datetime
    updated_at: datetime.datetime | None

    def is_up(self, down_after: float) -> bool:
        """Whether it was heard of within the last `down_after` seconds."""
        return (db.utcnow() - (self.updated_at or self.created_at)).total_seconds() <= down_after


COLUMNS = [TABLE.c[name] for name in Service.__dataclass_fields__]


def beat(database: db.Database, host: str, binary: str, topic: str, availability_zone: str) -> None:
    """Say that this service is alive; its row is made by the first beat. One statement after that."""
    mine = sa.and_(TABLE.c.host == host, TABLE.c.binary == binary)
    seen = {
        "report_count": TABLE.c.report_count + 1,
        "updated_at": db.utcnow(),
        "availability_zone": availability_zone,
        "deleted": False,
        "deleted_at": None,
    }
    first = {"uuid": str(uuid.uuid4()), "host": host, "binary": binary, "topic": topic, "report_count": 1}
    with database.connection() as conn:
        if conn.execute(TABLE.update().where(mine).values(seen)).rowcount:
            return
        now = db.utcnow()
        row = first | {"created_at": now, "updated_at": now, "availability_zone": availability_zone}
        try:
            conn.execute(TABLE.insert().values(row))
        except db.Duplicate:
            conn.execute(TABLE.update().where(mine).values(seen))


def beats(database: db.Database, host: str, binary: str, down_after: float) -> int | None:
    """How often the service has reported, if it did within the last `down_after` seconds; else None."""
    with database.connection() as conn:
        found = [one for one in listed(conn, host=host, binary=binary) if one.host == host and one.is_up(down_after)]
    return found[0].report_count if found else None


def get(conn: sa.Connection, host: str, binary: str) -> Service:
    """The service. Raises errors.ServiceNotFound."""
    for found in listed(conn, host=host, binary=binary):
        return found
    raise errors.ServiceNotFound(host=host, binary=binary)


def listed(conn: sa.Connection, *, host: str | None = None, binary: str | None = None) -> list[Service]:
    """The services, optionally of one host (`host` also finds `host@backend`) or one binary."""
    statement = sa.select(*COLUMNS).where(TABLE.c.deleted.is_(False)).order_by(TABLE.c.id)
    if binary is not None:
        statement = statement.where(TABLE.c.binary == binary)
    if host is not None:
        below = sa.and_(TABLE.c.host > f"{host}@", TABLE.c.host < f"{host}A")
        statement = statement.where(sa.or_(TABLE.c.host == host, below))
    return [Service(*row) for row in conn.execute(statement)]


def set_disabled(conn: sa.Connection, host: str, binary: str, disabled: bool, reason: str | None) -> Service:
    """Disable or enable the service and return it. Raises errors.ServiceNotFound."""
    mine = sa.and_(TABLE.c.host == host, TABLE.c.binary == binary, TABLE.c.deleted.is_(False))
    # updated_at is the heartbeat; an administrator's change is told by modified_at.
    values = {"disabled": disabled, "disabled_reason": reason, "modified_at": db.utcnow()}
    if conn.execute(TABLE.update().where(mine).values(values)).rowcount == 0:
        raise errors.ServiceNotFound(host=host, binary=binary)
    return next(one for one in listed(conn, binary=binary) if one.host == host)


def zones(services: Iterable[Service]) -> dict[str, bool]:
    """Availability zones that have a volume backend; True where one of its backends is enabled."""
    found: dict[str, bool] = {}
    for service in services:
        if service.binary == "cinder-volume":
            found[service.availability_zone] = found.get(service.availability_zone, False) or not service.disabled
    return found


def probe(conn: sa.Connection) -> None:
    """Return when the database answers."""
    conn.execute(sa.select(sa.literal(1)))
