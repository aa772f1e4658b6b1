"""The table of steps, the same in both services: what daemons did, for which request, to which things, how it ended.

Rows are written in batches by `lite_common.journal`, never on a request's path, and read by `lite_common.wsgi.records`.
A row may be written any number of times, in any order, by a daemon or by its successor: it is known by host, service,
process and number, and what has ended does not run again.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.dialects import mysql, sqlite

from lite_common import db, errors

LOG = logging.getLogger(__name__)
T = TypeVar("T")

# What steps work on, by the names under which they know it; each has a column of its own.
SUBJECTS = ("server", "volume", "attachment", "snapshot")
RUNNING, OK, ERROR, DIED = "running", "ok", "error", "died"
# Rows of one DELETE, so that pruning keeps nobody waiting.
PRUNED = 1000
# Longer messages are cut.
LONGEST_ERROR = 1000

metadata = sa.MetaData()

STEPS = sa.Table(
    "steps",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("service", sa.String(32), nullable=False),
    sa.Column("process", sa.String(64), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("parent", sa.BigInteger),
    sa.Column("request_id", sa.String(64)),
    sa.Column("step", sa.String(64), nullable=False),
    *(sa.Column(f"{name}_id", sa.String(36)) for name in SUBJECTS),
    sa.Column("project_id", sa.String(255)),
    sa.Column("user_id", sa.String(255)),
    sa.Column("started_at", db.DateTime, nullable=False),
    sa.Column("finished_at", db.DateTime),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.String(255)),
    sa.UniqueConstraint("host", "service", "process", "number", name="uniq_steps0host0service0process0number"),
    sa.Index("steps_request_id_idx", "request_id"),
    *(sa.Index(f"steps_{name}_id_idx", f"{name}_id") for name in SUBJECTS),
    sa.Index("steps_started_at_idx", "started_at"),
    sa.Index("steps_outcome_idx", "outcome", "host", "service"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


@dataclass(frozen=True)
class Step:
    """One step as it is told to others; `ids` has the subjects that are known."""

    request_id: str | None
    service: str
    host: str
    process: str
    number: int
    parent: int | None
    step: str
    ids: Mapping[str, str]
    project_id: str | None
    user_id: str | None
    started_at: datetime.datetime
    finished_at: datetime.datetime | None
    outcome: str
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True)
class StepFilters:
    """Which steps a list has.

    `request_id` and `ids` name what they are about; all of them must fit. `project_id` None: of every project. `marker`
    is the row after which the page begins.
    """

    request_id: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    since: datetime.datetime | None = None
    project_id: str | None = None
    marker: int | None = None
    limit: int = 1000


class PageFilters(Protocol):
    """Whose records, since when, and which part of them."""

    @property
    def since(self) -> datetime.datetime | None:
        """Those that began then or later."""

    @property
    def project_id(self) -> str | None:
        """Those of this project; None: of every project."""

    @property
    def marker(self) -> int | None:
        """The row after which the page begins."""

    @property
    def limit(self) -> int:
        """Most rows."""


_PLAIN = tuple(name for name in Step.__dataclass_fields__ if name != "ids")
_SHOWN = sa.select(STEPS.c.id, *(STEPS.c[f"{name}_id"] for name in SUBJECTS), *(STEPS.c[name] for name in _PLAIN))
# What the end of a step adds; in this order, because MySQL sees what it has just set.
_END = ("finished_at", "error", "error_type", "outcome")


def write(database: db.Database, steps: Sequence[Step]) -> None:
    """Add the steps, or what is new of them.

    Raises errors.Unavailable when the database is down. What no row can hold is left out, and the log says so.
    """
    if steps:
        upsert(database, _upsert(database.engine.dialect.name), [_row(step) for step in steps])


def upsert(database: db.Database, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Run the statement for all rows at once; one bad row does not keep the others out. Raises as `write`."""
    try:
        if database.is_sqlite:
            # There it is a statement for each row; together they are one transaction.
            database.run(lambda conn: conn.execute(statement, rows) and None)
        else:
            with database.connection() as conn:
                conn.execute(statement, rows)
    except db_exc.DBDeadlock as err:
        raise errors.Unavailable("The tables of records are busy.") from err
    except db_exc.DBError as err:
        if len(rows) == 1:
            LOG.warning("a step or an operation cannot be recorded: %s", err)
            return
        for row in rows:
            upsert(database, statement, [row])


def inserting(table: sa.Table, dialect: str) -> tuple[Any, Any]:
    """An INSERT, and the columns of the row that it would have made, for `or_update`."""
    if dialect == "sqlite":
        insert = sqlite.insert(table)
        return insert, insert.excluded
    # mysqlclient makes one statement of all rows of this form.
    insert_mysql = mysql.insert(table)
    return insert_mysql, insert_mysql.inserted


def or_update(insert: Any, key: Sequence[str], values: Mapping[str, Any]) -> Any:
    """The INSERT that, where the key is there, sets these values, in their order."""
    if isinstance(insert, sqlite.Insert):
        return insert.on_conflict_do_update(index_elements=list(key), set_=dict(values))
    return insert.on_duplicate_key_update(list(values.items()))


def literals(*words: str) -> list[Any]:
    """Words written out: mysqlclient puts rows together only where nothing but the row itself is bound."""
    return [sa.literal_column(f"'{word}'") for word in words]


@functools.cache
def _upsert(dialect: str) -> Any:
    insert, new = inserting(STEPS, dialect)
    is_news = sa.or_(STEPS.c.outcome == literals(RUNNING)[0], new.outcome.in_(literals(OK, ERROR)))
    values = {name: sa.case((is_news, new[name]), else_=STEPS.c[name]) for name in _END}
    return or_update(insert, ["host", "service", "process", "number"], values)


def _row(step: Step) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(step, name) for name in _PLAIN}
    return row | {f"{name}_id": step.ids.get(name) for name in SUBJECTS}


def mark_died(database: db.Database, host: str, service: str, alive: Sequence[str]) -> int:
    """Say of steps of this daemon that still run in none of the processes `alive` that they died; how many."""
    statement = (
        STEPS.update()
        .where(STEPS.c.outcome == RUNNING, STEPS.c.host == host, STEPS.c.service == service)
        .where(STEPS.c.process.not_in(list(alive)))
        .values(outcome=DIED)
    )
    with database.connection() as conn:
        return int(conn.execute(statement).rowcount)


def prune(database: db.Database, before: datetime.datetime) -> int:
    """Remove the steps that began earlier; how many there were."""
    return remove(database, STEPS, before)


def remove(database: db.Database, table: sa.Table, before: datetime.datetime) -> int:
    """Remove the rows of a table of records that began earlier; how many there were."""
    number = 0
    due = sa.select(table.c.id).where(table.c.started_at < before).order_by(table.c.started_at).limit(PRUNED)
    with database.connection() as conn:
        while True:
            ids = [row.id for row in conn.execute(due)]
            if ids:
                number += conn.execute(table.delete().where(table.c.id.in_(ids))).rowcount
            if len(ids) < PRUNED:
                return number


def page(database: db.Database, filters: StepFilters) -> list[tuple[int, Step]] | None:
    """The steps, the oldest first, each with its row's number; None when the marker is no row.

    A request that touched a thing is told as a whole, with those of its steps that did not know the thing (yet).
    """
    found = page_of(database, STEPS, _about(filters), filters)
    return None if found is None else [(row[0], told(Step, _PLAIN, row)) for row in found]


def page_of(
    database: db.Database, table: sa.Table, statement: sa.Select, filters: PageFilters
) -> Sequence[sa.Row[Any]] | None:
    """The rows of a statement on a table of records that are of the project and the page; None for a wrong marker."""
    if filters.project_id is not None:
        statement = statement.where(table.c.project_id == filters.project_id)
    if filters.since is not None:
        statement = statement.where(table.c.started_at >= filters.since)
    with database.connection() as conn:
        if filters.marker is not None:
            last = conn.execute(sa.select(table.c.started_at).where(table.c.id == filters.marker)).scalar()
            if last is None:
                return None
            beyond = sa.and_(table.c.started_at == last, table.c.id > filters.marker)
            statement = statement.where(sa.or_(table.c.started_at > last, beyond))
        return conn.execute(statement.order_by(table.c.started_at, table.c.id).limit(filters.limit)).all()


def told(kind: Callable[..., T], plain: Sequence[str], row: sa.Row[Any]) -> T:
    """A row (its number, the ids of its subjects, the `plain` columns) as a record of that kind."""
    known = zip(SUBJECTS, row[1 : 1 + len(SUBJECTS)], strict=True)
    rest = dict(zip(plain, row[1 + len(SUBJECTS) :], strict=True))
    return kind(ids={name: value for name, value in known if value is not None}, **rest)


def _about(filters: StepFilters) -> sa.Select:
    """Which rows the filters name. Only work for a user is taken whole: a timer's turn is about many things."""
    statement = _SHOWN
    if filters.request_id is not None:
        statement = statement.where(STEPS.c.request_id == filters.request_id)
    if filters.ids:
        of_request = STEPS.alias("of_request")
        same = of_request.c.request_id == STEPS.c.request_id
        touching = [STEPS.c[f"{name}_id"] == value for name, value in filters.ids.items()]
        # Two selects by an index each; with OR in one, MariaDB would read the whole table.
        whole = sa.select(of_request.c.id).select_from(STEPS.join(of_request, same))
        wanted = sa.union(
            sa.select(STEPS.c.id).where(*touching), whole.where(*touching, STEPS.c.project_id.is_not(None))
        ).subquery()
        statement = statement.join(wanted, wanted.c.id == STEPS.c.id)
    return statement
