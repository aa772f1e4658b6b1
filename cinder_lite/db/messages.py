"""User messages: why something failed after the request had been accepted. Each lives until `expires_at`."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cinder_lite import errors
from cinder_lite.db import models, paging
from lite_common import db

TABLE = models.messages
# So many rows go in one statement, so that a long absence of the one who prunes locks nobody out.
BATCH = 500


@dataclass(frozen=True)
class Message:
    """A message as stored; what action and detail mean is told by `volume/messages.py`."""

    id: str
    project_id: str
    request_id: str | None
    resource_type: str | None
    resource_uuid: str | None
    event_id: str
    action_id: str
    detail_id: str
    message_level: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None


COLUMNS = [TABLE.c[name] for name in Message.__dataclass_fields__]
SORT_KEYS: dict[str, sa.ColumnElement[Any]] = {
    "id": TABLE.c.id,
    "created_at": TABLE.c.created_at,
    "expires_at": TABLE.c.expires_at,
    "event_id": TABLE.c.event_id,
    "message_level": TABLE.c.message_level,
    **{name: sa.func.coalesce(TABLE.c[name], "") for name in ("request_id", "resource_type", "resource_uuid")},
}


def insert(conn: sa.Connection, values: Mapping[str, Any], lifetime: float) -> str:
    """Add a message that lives for `lifetime` seconds; its id."""
    message_id, now = str(uuid.uuid4()), db.utcnow()
    times = {"created_at": now, "expires_at": now + datetime.timedelta(seconds=lifetime)}
    conn.execute(TABLE.insert().values({"id": message_id, **times, **values}))
    return message_id


def get(conn: sa.Connection, message_id: str, project_id: str | None) -> Message:
    """The message. Raises errors.MessageNotFound, also when it is another project's than `project_id` (None: any)."""
    row = conn.execute(sa.select(*COLUMNS).where(TABLE.c.id == message_id, *_of(project_id))).first()
    if row is None:
        raise errors.MessageNotFound(message_id=message_id)
    return Message(*row)


def page(conn: sa.Connection, project_id: str | None, matches: paging.Matches, wanted: paging.Page) -> list[Message]:
    """A page of the messages of a project (None: any) whose columns match."""
    statement = sa.select(*COLUMNS).where(*_of(project_id), *matches.conditions(TABLE))
    statement = paging.apply(conn, statement, wanted, SORT_KEYS, TABLE)
    return [Message(*row) for row in conn.execute(statement)]


def delete(conn: sa.Connection, message_id: str, project_id: str | None) -> None:
    """Remove the message for good. Raises errors.MessageNotFound."""
    if conn.execute(TABLE.delete().where(TABLE.c.id == message_id, *_of(project_id))).rowcount == 0:
        raise errors.MessageNotFound(message_id=message_id)


def prune(conn: sa.Connection) -> int:
    """Remove for good the messages whose time is up; how many there were."""
    number = 0
    while True:
        due = sa.select(TABLE.c.id).where(TABLE.c.expires_at < db.utcnow()).limit(BATCH)
        ids = [row.id for row in conn.execute(due)]
        if ids:
            number += conn.execute(TABLE.delete().where(TABLE.c.id.in_(ids))).rowcount
        if len(ids) < BATCH:
            return number


def _of(project_id: str | None) -> list[sa.ColumnElement[bool]]:
    mine: list[sa.ColumnElement[bool]] = [TABLE.c.deleted.is_(False)]
    return mine if project_id is None else [*mine, TABLE.c.project_id == project_id]
