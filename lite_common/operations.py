"""The table of operations, the same in both services: what was wanted of a thing, and how far that has got.

A row is one operation on one subject, over all daemons of the service that work on it: create, attach, delete ... Its
own number is the generation: it grows with each new operation. Rows are made of what the journal tells, after the fact
and in any order: of two that began within the time of a batch, in two daemons, the later may have the smaller number,
and `started_at` tells which was first. What keeps two requests from each other is the thing's own row, not this one.
See docs/adr/0014.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from lite_common import db, records
from lite_common.records import DIED, ERROR, OK, RUNNING, SUBJECTS

SUPERSEDED = "superseded"
# An operation of which nothing was heard for so many seconds belongs to nobody any more.
LOST_AFTER = 3600.0
# So many things are remembered.
REMEMBERED = 5000

TABLE = sa.Table(
    "operations",
    records.metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("subject", sa.String(36), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("wanted", sa.String(32), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    *(sa.Column(f"{name}_id", sa.String(36)) for name in SUBJECTS),
    sa.Column("project_id", sa.String(255)),
    sa.Column("user_id", sa.String(255)),
    sa.Column("service", sa.String(32), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("process", sa.String(64), nullable=False),
    sa.Column("step_begun", sa.String(64)),
    sa.Column("step_finished", sa.String(64)),
    sa.Column("started_at", db.DateTime, nullable=False),
    sa.Column("updated_at", db.DateTime, nullable=False),
    sa.Column("finished_at", db.DateTime),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("last_error", sa.Text),
    sa.UniqueConstraint("request_id", "kind", "subject", name="uniq_operations0request_id0kind0subject"),
    *(sa.Index(f"operations_{name}_id_idx", f"{name}_id") for name in SUBJECTS),
    sa.Index("operations_subject_idx", "subject"),
    sa.Index("operations_started_at_idx", "started_at"),
    sa.Index("operations_outcome_idx", "outcome", "host", "service"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


@dataclass(frozen=True)
class Operation:
    """One operation as it is told to others. Service, host and process are those that worked on it last."""

    kind: str
    wanted: str
    generation: int
    ids: Mapping[str, str]
    request_id: str
    project_id: str | None
    user_id: str | None
    service: str
    host: str
    process: str
    step_begun: str | None
    step_finished: str | None
    started_at: datetime.datetime
    updated_at: datetime.datetime
    finished_at: datetime.datetime | None
    outcome: str
    last_error: str | None


@dataclass(frozen=True)
class News:
    """What a daemon tells of an operation: of a moment, or of the time from `started_at` to `updated_at`.

    `about` is the name of its subject among `ids`; where that is not among them, the row is found by the others.
    """

    kind: str
    wanted: str
    about: str
    ids: Mapping[str, str]
    request_id: str
    project_id: str | None
    user_id: str | None
    service: str
    host: str
    process: str
    started_at: datetime.datetime
    updated_at: datetime.datetime
    step_begun: str | None = None
    step_finished: str | None = None
    outcome: str = RUNNING
    last_error: str | None = None

    def then(self, later: News) -> News:
        """Both as one."""
        return dataclasses.replace(
            later,
            ids={**self.ids, **later.ids},
            started_at=min(self.started_at, later.started_at),
            updated_at=max(self.updated_at, later.updated_at),
            step_begun=later.step_begun or self.step_begun,
            step_finished=later.step_finished or self.step_finished,
            outcome=later.outcome if later.outcome != RUNNING else self.outcome,
            last_error=later.last_error or self.last_error,
        )


@dataclass(frozen=True)
class Filters:
    """Which operations a list has, as `records.StepFilters`; `outcome` None: however they ended."""

    request_id: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    outcome: str | None = None
    since: datetime.datetime | None = None
    project_id: str | None = None
    marker: int | None = None
    limit: int = 1000


def merged(news: Iterable[News]) -> list[News]:
    """One for each operation, in the order in which they were first heard of."""
    found: dict[tuple[str, str, str], News] = {}
    for one in news:
        subject = one.ids.get(one.about) or " ".join(one.ids.values())
        key = (one.request_id, one.kind, subject)
        found[key] = found[key].then(one) if key in found else one
    return list(found.values())


class Writer:
    """Writes news of operations, those of a batch in one statement.

    It remembers of which subject things were told, so that news which do not name their subject are mostly placed
    without asking the database.
    """

    def __init__(self, database: db.Database) -> None:
        self._db = database
        self._subjects: dict[tuple[str, str, str, str], str] = {}

    def write(self, news: Iterable[News]) -> None:
        """Add what is new to the rows. News may come in any order, from several daemons, and again.

        Raises errors.Unavailable when the database is down. What no row can hold is left out, and the log says so.
        """
        rows = [row for one in merged(news) if (row := self._row(one)) is not None]
        if rows:
            records.upsert(self._db, _upsert(self._db.engine.dialect.name), rows)

    def _row(self, news: News) -> dict[str, Any] | None:
        """The row as it would be made; None when it cannot be told what the news is about."""
        subject = news.ids.get(news.about) or self._known(news)
        if subject is None:
            return None
        self._remember(news, subject)
        row = {name: getattr(news, name) for name in _TOLD}
        row |= {f"{name}_id": news.ids.get(name) for name in SUBJECTS}
        return row | {"subject": subject, "finished_at": None if news.outcome == RUNNING else news.updated_at}

    def _remember(self, news: News, subject: str) -> None:
        for name, value in news.ids.items():
            self._subjects[news.request_id, news.kind, name, value] = subject
        # The oldest go first: a dictionary keeps the order in which its keys came.
        while len(self._subjects) > REMEMBERED:
            del self._subjects[next(iter(self._subjects))]

    def _known(self, news: News) -> str | None:
        for name, value in news.ids.items():
            if subject := self._subjects.get((news.request_id, news.kind, name, value)):
                return subject
        ids = (TABLE.c[f"{name}_id"] == value for name, value in news.ids.items())
        own = (TABLE.c.request_id == news.request_id, TABLE.c.kind == news.kind)
        with self._db.connection() as conn:
            found: str | None = conn.execute(sa.select(TABLE.c.subject).where(*own, *ids)).scalar()
        return found


@functools.cache
def _upsert(dialect: str) -> Any:
    """The row, or what it changes of the one that is there."""
    insert, new = records.inserting(TABLE, dialect)
    old = TABLE.c
    newer = new.updated_at >= old.updated_at
    has_ended = old.outcome.in_(records.literals(OK, ERROR))
    ends = new.outcome != records.literals(RUNNING)[0]
    # An end counts whenever it comes; that something still runs, only of what has not ended and is not older news.
    counts = sa.or_(sa.and_(ends, sa.or_(newer, sa.not_(has_ended))), sa.and_(newer, sa.not_(has_ended)))
    values: dict[str, Any] = {f"{name}_id": sa.func.coalesce(old[f"{name}_id"], new[f"{name}_id"]) for name in SUBJECTS}
    values["started_at"] = sa.case((new.started_at < old.started_at, new.started_at), else_=old.started_at)
    for name in ("step_begun", "step_finished", "last_error"):
        latest = sa.func.coalesce(new[name], old[name])
        values[name] = sa.case((newer, latest), else_=sa.func.coalesce(old[name], new[name]))
    for name in ("service", "host", "process"):
        values[name] = sa.case((newer, new[name]), else_=old[name])
    # These come last, in this order: MySQL sees what it has just set.
    for name in ("finished_at", "outcome"):
        values[name] = sa.case((counts, new[name]), else_=old[name])
    values["updated_at"] = sa.case((newer, new.updated_at), else_=old.updated_at)
    return records.or_update(insert, ["request_id", "kind", "subject"], values)


def mark_died(database: db.Database, host: str, service: str, alive: Sequence[str]) -> int:
    """Say of operations that were last in the hands of this daemon, in none of the processes `alive`, that they died;
    how many."""
    mine = (TABLE.c.outcome == RUNNING, TABLE.c.host == host, TABLE.c.service == service)
    with database.connection() as conn:
        statement = TABLE.update().where(*mine, TABLE.c.process.not_in(list(alive))).values(outcome=DIED)
        return int(conn.execute(statement).rowcount)


def prune(database: db.Database, before: datetime.datetime) -> int:
    """Remove the operations that began earlier, how many; those of which nothing was heard for long have died."""
    lost = db.utcnow() - datetime.timedelta(seconds=LOST_AFTER)
    with database.connection() as conn:
        silent = (TABLE.c.outcome == RUNNING, TABLE.c.updated_at < lost)
        conn.execute(TABLE.update().where(*silent).values(outcome=DIED))
    return records.remove(database, TABLE, before)


_PLAIN = tuple(name for name in Operation.__dataclass_fields__ if name != "ids")
_TOLD = tuple(name for name in News.__dataclass_fields__ if name not in ("about", "ids"))
_later = TABLE.alias("later")
# What was done to a thing ends whatever was wanted of it before and was not heard of again.
_IS_SUPERSEDED = sa.exists().where(
    _later.c.subject == TABLE.c.subject, _later.c.started_at > TABLE.c.started_at, _later.c.outcome == OK
)
_OUTCOME = sa.case((sa.and_(TABLE.c.outcome == RUNNING, _IS_SUPERSEDED), SUPERSEDED), else_=TABLE.c.outcome)
_COMPUTED: dict[str, sa.ColumnElement[Any]] = {"generation": TABLE.c.id, "outcome": _OUTCOME}
_SHOWN = sa.select(
    TABLE.c.id,
    *(TABLE.c[f"{name}_id"] for name in SUBJECTS),
    *(_COMPUTED[name].label(f"{name}_told") if name in _COMPUTED else TABLE.c[name] for name in _PLAIN),
)


def page(database: db.Database, filters: Filters) -> list[tuple[int, Operation]] | None:
    """The operations, the oldest first, each with its row's number; None when the marker is no row."""
    wanted: dict[str, str | None] = {f"{name}_id": value for name, value in filters.ids.items()}
    wanted |= {"request_id": filters.request_id, "outcome": filters.outcome}
    columns = {**TABLE.c, "outcome": _OUTCOME}
    statement = _SHOWN.where(*(columns[name] == value for name, value in wanted.items() if value is not None))
    found = records.page_of(database, TABLE, statement, filters)
    return None if found is None else [(row[0], records.told(Operation, _PLAIN, row)) for row in found]
