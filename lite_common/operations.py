"""The table of operations, the same in both services: what was wanted of a thing, and how far that has got.

A row is one operation on one subject, over all daemons of the service that work on it: create, attach, delete ... Each
new operation on a subject has the next generation. Rows are made of what the journal tells, after the fact and in any
order; what keeps two requests from each other is the thing's own row, not this one. See docs/adr/0014.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from lite_common import db, errors, records
from lite_common.records import DIED, ERROR, OK, RUNNING, SUBJECTS

LOG = logging.getLogger(__name__)

SUPERSEDED = "superseded"
# An operation of which nothing was heard for so many seconds belongs to nobody any more.
LOST_AFTER = 3600.0
ATTEMPTS = 10

TABLE = sa.Table(
    "operations",
    records.metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("subject", sa.String(36), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
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
    sa.UniqueConstraint("subject", "generation", name="uniq_operations0subject0generation"),
    sa.UniqueConstraint("request_id", "kind", "subject", name="uniq_operations0request_id0kind0subject"),
    *(sa.Index(f"operations_{name}_id_idx", f"{name}_id") for name in SUBJECTS),
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


def write(database: db.Database, news: Iterable[News]) -> None:
    """Add what is new to the rows, two or three statements for each operation.

    Raises errors.Unavailable when the database is down. News of the same operation may come from several daemons, and
    again; of two at the same time one looks again.
    """
    for one in merged(news):
        with database.connection() as conn:
            if not any(_tell(conn, one) for _ in range(ATTEMPTS)):
                raise errors.Unavailable(f"The record of {one.kind} in {one.request_id} changes all the time.")


def _tell(conn: sa.Connection, news: News) -> bool:
    """Whether it is written; if not, somebody else was faster."""
    subject = news.ids.get(news.about)
    found = conn.execute(_find(news, subject)).first()
    row = None if found is None else dict(found._mapping)
    if row is None and subject is None:
        # Its beginning was not recorded, or is not yet; what it is about cannot be told.
        return True
    if row is None:
        return _insert(conn, news, str(subject))
    values = _values(row, news)
    same = (TABLE.c.id == row["id"], TABLE.c.updated_at == row["updated_at"], TABLE.c.outcome == row["outcome"])
    if all(row[name] == value for name, value in values.items()):
        return True
    if conn.execute(TABLE.update().where(*same).values(values)).rowcount == 0:
        return False
    _supersede(conn, row["subject"], row["generation"], values["outcome"])
    return True


def _find(news: News, subject: str | None) -> sa.Select:
    known = {"subject": subject} if subject else {f"{name}_id": value for name, value in news.ids.items()}
    own = (TABLE.c.request_id == news.request_id, TABLE.c.kind == news.kind)
    return sa.select(TABLE).where(*own, *(TABLE.c[name] == value for name, value in known.items()))


def _insert(conn: sa.Connection, news: News, subject: str) -> bool:
    """The unique key over subject and generation is what compares and swaps."""
    last = conn.execute(sa.select(sa.func.max(TABLE.c.generation)).where(TABLE.c.subject == subject)).scalar()
    row = {name: getattr(news, name) for name in News.__dataclass_fields__ if name not in ("about", "ids")}
    row |= {f"{name}_id": news.ids.get(name) for name in SUBJECTS}
    row |= {"subject": subject, "generation": (last or 0) + 1, "finished_at": _end(news)}
    try:
        conn.execute(TABLE.insert(), row)
    except db.Duplicate:
        return False
    _supersede(conn, subject, row["generation"], news.outcome)
    return True


def _supersede(conn: sa.Connection, subject: str, generation: int, outcome: str) -> None:
    """What has been done to the thing ends whatever else was wanted of it before and was not heard of again."""
    if outcome == OK:
        older = (TABLE.c.subject == subject, TABLE.c.generation < generation, TABLE.c.outcome == RUNNING)
        conn.execute(TABLE.update().where(*older).values(outcome=SUPERSEDED))


def _values(row: Mapping[str, Any], news: News) -> dict[str, Any]:
    """The columns that change: news that are older than the row tell of its beginning only."""
    values: dict[str, Any] = {f"{name}_id": row[f"{name}_id"] or news.ids.get(name) for name in SUBJECTS}
    values["started_at"] = min(row["started_at"], news.started_at)
    values["last_error"] = row["last_error"] or news.last_error
    values["outcome"] = row["outcome"]
    if news.updated_at < row["updated_at"]:
        return values
    values |= {name: getattr(news, name) for name in ("service", "host", "process", "updated_at")}
    values |= {name: getattr(news, name) or row[name] for name in ("step_begun", "step_finished")}
    values["last_error"] = news.last_error or row["last_error"]
    # What has ended goes on only where somebody says that it ended differently.
    if news.outcome != RUNNING or row["outcome"] not in (OK, ERROR):
        values |= {"outcome": news.outcome, "finished_at": _end(news)}
    return values


def _end(news: News) -> datetime.datetime | None:
    return None if news.outcome == RUNNING else news.updated_at


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
_SHOWN = sa.select(TABLE.c.id, *(TABLE.c[f"{name}_id"] for name in SUBJECTS), *(TABLE.c[name] for name in _PLAIN))


def page(database: db.Database, filters: Filters) -> list[tuple[int, Operation]] | None:
    """The operations, the oldest first, each with its row's number; None when the marker is no row."""
    wanted: dict[str, str | None] = {f"{name}_id": value for name, value in filters.ids.items()}
    wanted |= {"request_id": filters.request_id, "outcome": filters.outcome}
    statement = _SHOWN.where(*(TABLE.c[name] == value for name, value in wanted.items() if value is not None))
    found = records.page_of(database, TABLE, statement, filters)
    return None if found is None else [(row[0], records.told(Operation, _PLAIN, row)) for row in found]
