"""Statements on `instance_actions` and their events: what was done to a server, by whom, and how it ended.

nova-api writes the action when it has handed the work over, nova-compute one event when it has done it. An action
itself is never changed afterwards: its end is read off its events, which saves two statements on the attach path.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lite_common import context, db
from nova_lite.db.models import instance_actions as table
from nova_lite.db.models import instance_actions_events as events_table
from nova_lite.db.models import instances

SUCCESS, ERROR = "Success", "Error"


@dataclass(frozen=True, slots=True)
class Action:
    """One request that did something to a server. `message` is "Error" when it failed, `updated_at` its last news."""

    id: int
    action: str
    instance_uuid: str
    request_id: str | None
    user_id: str | None
    project_id: str | None
    start_time: datetime.datetime
    message: str | None
    updated_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A part of an action that a daemon has done; `details` is the failure in a sentence, `traceback` in full."""

    event: str
    start_time: datetime.datetime
    finish_time: datetime.datetime | None
    result: str | None
    host: str | None
    details: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True)
class ActionFilters:
    """Which actions a list has; `marker` is the request id of the last action of the page before."""

    changes_since: datetime.datetime | None = None
    changes_before: datetime.datetime | None = None
    marker: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """An action as `unended` sees it: `host` has its server, `ended` that a daemon, or a failure, has told its end."""

    action: Action
    host: str | None
    ended: bool


_OF_ACTION = events_table.c.action_id == table.c.id
_LAST = sa.select(sa.func.max(events_table.c.finish_time)).where(_OF_ACTION).scalar_subquery()
_FAILED = sa.select(sa.func.max(events_table.c.result)).where(_OF_ACTION, events_table.c.result == ERROR)
_updated = sa.func.coalesce(_LAST, table.c.updated_at, type_=db.DateTime)
_SHOWN = sa.select(
    table.c.id,
    table.c.action,
    table.c.instance_uuid,
    table.c.request_id,
    table.c.user_id,
    table.c.project_id,
    table.c.start_time,
    sa.func.coalesce(table.c.message, _FAILED.scalar_subquery()),
    _updated,
)
# Statements of every attach are built once: building one costs more than running it.
_OF_REQUEST = sa.and_(
    table.c.instance_uuid == sa.bindparam("server"), table.c.request_id == sa.bindparam("request"), table.c.deleted == 0
)
_TOLD = sa.or_(table.c.message.is_not(None), table.c.deleted != 0, sa.exists().where(_OF_ACTION).correlate(table))
_LEFT = (
    sa.select(
        table.c.id,
        table.c.action,
        table.c.instance_uuid,
        table.c.request_id,
        table.c.user_id,
        table.c.project_id,
        table.c.start_time,
        table.c.message,
        table.c.updated_at,
        instances.c.host,
        _TOLD,
    )
    .select_from(table.join(instances, instances.c.uuid == table.c.instance_uuid))
    .where(table.c.id > sa.bindparam("after"), table.c.start_time < sa.bindparam("before", type_=db.DateTime))
    .order_by(table.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_EVENT_COLUMNS = ("event", "start_time", "finish_time", "result", "host", "details", "traceback", "created_at")
_ADD_EVENT = events_table.insert().from_select(
    ["action_id", *_EVENT_COLUMNS, "deleted"],
    sa.select(
        sa.func.max(table.c.id),
        *(sa.bindparam(f"v_{name}", type_=events_table.c[name].type) for name in _EVENT_COLUMNS),
        sa.literal(0),
    )
    .where(_OF_REQUEST)
    # Nothing at all for a request that is no action.
    .having(sa.func.count() > 0),
    include_defaults=False,
)


def begin(database: db.Database, ctx: context.RequestContext, server_id: str, action: str) -> int:
    """Note that the request of `ctx` does the action to the server; the action's number."""
    now = db.utcnow()
    values = {
        "action": action,
        "instance_uuid": server_id,
        "request_id": ctx.request_id,
        "user_id": ctx.user_id,
        "project_id": ctx.project_id,
        "start_time": now,
        "created_at": now,
        "updated_at": now,
        "deleted": 0,
    }
    with database.connection() as conn:
        return int(conn.execute(table.insert(), values).lastrowid)


def fail(database: db.Database, action_id: int) -> None:
    """Note that the action failed before any daemon had taken it up."""
    with database.connection() as conn:
        db.compare_and_swap(conn, table, {"id": action_id}, {"deleted": 0}, {"message": ERROR})


def withdraw(database: db.Database, action_id: int) -> None:
    """Take the action back: it was refused before anything was done."""
    with database.connection() as conn:
        gone = {"deleted": table.c.id, "deleted_at": db.utcnow()}
        db.compare_and_swap(conn, table, {"id": action_id}, {"deleted": 0}, gone)


def last_number(database: db.Database) -> int:
    """The number of the last action of all; 0 when there is none."""
    with database.connection() as conn:
        return int(conn.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)


def is_open(database: db.Database, action_id: int) -> bool:
    """Whether nobody has told the action's end yet."""
    with database.connection() as conn:
        return conn.execute(sa.select(table.c.id).where(table.c.id == action_id, sa.not_(_TOLD))).first() is not None


def is_one_open(database: db.Database, server_id: str, action: str, since: datetime.datetime) -> bool:
    """Whether the server has an action of that name which began after that time and whose end nobody has told."""
    wanted = (table.c.instance_uuid == server_id, table.c.action == action, table.c.start_time > since)
    with database.connection() as conn:
        return conn.execute(sa.select(table.c.id).where(*wanted, sa.not_(_TOLD)).limit(1)).first() is not None


def unended(database: db.Database, after: int, before: datetime.datetime, limit: int = 1000) -> list[Left]:
    """The actions with greater numbers than `after` that began before that time, oldest first, at most so many; those
    that have ended as well, so that the caller knows how far it has read."""
    with database.connection() as conn:
        rows = conn.execute(_LEFT, {"after": after, "before": before, "most": limit})
        return [Left(Action(*row[:-2]), row[-2], bool(row[-1])) for row in rows]


def add_event(database: db.Database, ctx: context.RequestContext, server_id: str, event: Event) -> bool:
    """Add the event to the action that the request of `ctx` is for this server, in one statement.

    False when it is none: work that no user asked for has no action.
    """
    values = {f"v_{name}": getattr(event, name) for name in Event.__dataclass_fields__}
    values |= {"v_created_at": event.finish_time, "server": server_id, "request": ctx.request_id}
    with database.connection() as conn:
        return conn.execute(_ADD_EVENT, values).rowcount == 1


def list_page(database: db.Database, server_id: str, filters: ActionFilters) -> list[Action] | None:
    """The server's actions, the last one first; None when the marker is not one of them."""
    wanted = _SHOWN.where(table.c.instance_uuid == server_id, table.c.deleted == 0)
    if filters.changes_since is not None:
        wanted = wanted.where(_updated >= filters.changes_since)
    if filters.changes_before is not None:
        wanted = wanted.where(_updated <= filters.changes_before)
    if filters.limit is not None:
        wanted = wanted.limit(filters.limit)
    with database.connection() as conn:
        if filters.marker is not None:
            request = {"server": server_id, "request": filters.marker}
            last = conn.execute(sa.select(sa.func.max(table.c.id)).where(_OF_REQUEST), request).scalar()
            if last is None:
                return None
            wanted = wanted.where(table.c.id < last)
        return [Action(*row) for row in conn.execute(wanted.order_by(table.c.id.desc()))]


def get(database: db.Database, server_id: str, request_id: str) -> tuple[Action, Sequence[Event]] | None:
    """The action of a request with its events, the last one first; None when there is none."""
    request = {"server": server_id, "request": request_id}
    events = (
        sa.select(*(events_table.c[name] for name in Event.__dataclass_fields__))
        .where(events_table.c.action_id == sa.bindparam("number"))
        .order_by(events_table.c.id.desc())
    )
    with database.connection() as conn:
        row = conn.execute(_SHOWN.where(_OF_REQUEST).order_by(table.c.id.desc()), request).first()
        if row is None:
            return None
        return Action(*row), [Event(*one) for one in conn.execute(events, {"number": row[0]})]


def last_request(database: db.Database, server_id: str) -> str | None:
    """The request of the server's last action, if no event has told its end; None otherwise."""
    wanted = (
        sa.select(table.c.request_id, _LAST, table.c.message)
        .where(table.c.instance_uuid == server_id, table.c.deleted == 0)
        .order_by(table.c.id.desc())
        .limit(1)
    )
    with database.connection() as conn:
        row = conn.execute(wanted).first()
    return row[0] if row is not None and row[1] is None and row[2] is None else None
