"""Statements on `instance_faults`: why something that was done to a server failed."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from oslo_db import exception as db_exc

from lite_common import db
from nova_lite.db.models import instance_faults as table

MESSAGE_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure: an HTTP-like code, a message for the user, details for the operator."""

    instance_uuid: str
    code: int
    message: str
    details: str
    host: str | None
    created_at: datetime.datetime


_COLUMNS = tuple(table.c[name] for name in Fault.__dataclass_fields__)


def add(database: db.Database, server_id: str, *, code: int, message: str, details: str, host: str) -> None:
    """Keep a failure, if the server exists; a message too long for its column is cut there and whole in the details."""
    if len(message) > MESSAGE_LENGTH:
        details = f"{message}\n{details}" if details != message else message
        message = message[: MESSAGE_LENGTH - 3] + "..."
    values = {"instance_uuid": server_id, "code": code, "message": message, "details": details, "host": host}
    # A message for a server that never was has nobody to be told.
    with database.connection() as conn, contextlib.suppress(db_exc.DBReferenceError):
        conn.execute(table.insert().values(values | {"created_at": db.utcnow()}))


def latest(database: db.Database, server_ids: Collection[str]) -> dict[str, Fault]:
    """The last failure of each of the servers that has one, in one statement."""
    if not server_ids:
        return {}
    last = (
        sa.select(sa.func.max(table.c.id))
        .where(table.c.instance_uuid.in_(list(server_ids)), table.c.deleted == 0)
        .group_by(table.c.instance_uuid)
    )
    with database.connection() as conn:
        rows = conn.execute(sa.select(*_COLUMNS).where(table.c.id.in_(last)))
        return {row.instance_uuid: Fault(*row) for row in rows}
