"""The database as the services use it: an engine, single statements, short transactions, compare-and-swap.

Every connection is in autocommit mode, so one statement costs one round trip and nothing else; `run` brackets
several statements with BEGIN and COMMIT and repeats them when the server chose them as a deadlock's victim.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import os
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy.dialects import mysql

from lite_common import errors

LOG = logging.getLogger(__name__)
T = TypeVar("T")

Duplicate = db_exc.DBDuplicateEntry
DateTime = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LongText = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

ATTEMPTS = 8
# What oslo.db does not take for a database that cannot be reached: no right to the database, wrong password, no such
# database, no such host, no handshake, no TLS (MariaDB's error codes).
REFUSALS = frozenset({1044, 1045, 1049, 2005, 2012, 2026})


def utcnow() -> datetime.datetime:
    """Now, in UTC, without a zone: what the tables hold."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Database:
    """One service's database.

    `url` is a SQLAlchemy URL: SQLite, or MySQL/MariaDB through mysqlclient, which is C: with a driver in Python a read
    cost our APIs 1.7 times the CPU. No connection is made before first use.
    Raises errors.Invalid for a URL that cannot be used, such as one of a driver that is not installed.
    """

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        with _naming_bad_urls():
            self.url = sa.make_url(url)
            self.is_sqlite = self.url.get_backend_name() == "sqlite"
            self.engine = sa.create_engine(self.url, **self._engine_options(pool_size))
        exc_filters.register_engine(self.engine)
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)

    @contextlib.contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """A connection on which every statement stands alone. Raises errors.Unavailable when the server is down."""
        with _naming_outages(self.url):
            with self.engine.connect() as conn:
                yield conn

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work(connection)` returns, done in one transaction.

        An exception rolls back and goes up. A deadlock or a lock time-out repeats `work`, so it must have no effect
        but on the database. Raises errors.Unavailable when the server is down.
        """
        with _naming_outages(self.url):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self._once(work)
                except (db_exc.DBDeadlock, db_exc.RetryRequest):
                    if attempt == ATTEMPTS:
                        raise
                    time.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")

    def _once(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.connect() as conn:
            # SQLite takes its write lock at BEGIN, or two readers that both turn writers would deadlock.
            conn.exec_driver_sql("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
            try:
                result = work(conn)
                conn.exec_driver_sql("COMMIT")
                return result
            except BaseException:
                with contextlib.suppress(sa.exc.SQLAlchemyError, db_exc.DBError):
                    conn.exec_driver_sql("ROLLBACK")
                raise

    def require_revision(self, head: str, command: str) -> None:
        """Return when the schema is at revision `head`; else raise errors.Unavailable that names `command`."""
        try:
            with self.connection() as conn:
                found = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        except (db_exc.DBError, sa.exc.SQLAlchemyError):
            found = None
        if found != head:
            raise errors.Unavailable(
                f"The schema of {self.url.render_as_string()} is at revision {found}, this program needs {head}. "
                f"Run: {command}"
            )

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()

    def _engine_options(self, pool_size: int) -> dict[str, Any]:
        options: dict[str, Any] = {
            "isolation_level": "AUTOCOMMIT",
            "skip_autocommit_rollback": True,
            "pool_reset_on_return": None,
        }
        if self.is_sqlite:
            path = self.url.database
            if path and path != ":memory:":
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            options["connect_args"] = {"timeout": 30, "check_same_thread": False}
        else:
            # READ COMMITTED: no gap locks, hence fewer deadlocks; the guards are compare-and-swap, not snapshots.
            options["connect_args"] = {
                "connect_timeout": 5,
                "read_timeout": 60,
                "write_timeout": 60,
                "init_command": "SET SESSION sql_mode='TRADITIONAL', SESSION tx_isolation='READ-COMMITTED'",
            }
            options |= {"pool_recycle": 3600, "max_overflow": 0}
        return options | {"pool_size": pool_size}


def from_conf(conf: Any) -> Database:
    """The database that the `[database]` options name."""
    return Database(conf.database.connection, pool_size=conf.database.pool_size)


def compare_and_swap(
    conn: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    expected: Mapping[str, Any],
    values: Mapping[str, Any],
    *conditions: sa.ColumnElement[bool],
    parameters: Mapping[str, Any] | None = None,
) -> bool:
    """Write `values` to the row `key` if each `expected` column still holds its value; True when it was done.

    An expected value may be a collection (any of its members will do; None in it matches NULL), a value to write may
    be an SQL expression. `conditions` are further SQL conditions of the same UPDATE; those that are made once and
    refer to bound `parameters` cost nothing to build. `updated_at` is set where the table has it.
    """
    filled = dict(values)
    if "updated_at" in table.c and "updated_at" not in filled:
        filled["updated_at"] = utcnow()
    computed = {name: value for name, value in filled.items() if isinstance(value, sa.ClauseElement)}
    plain = {name: value for name, value in filled.items() if name not in computed}
    shape = tuple((name, _kind(value)) for name, value in expected.items())
    constant = conditions if parameters is not None else ()
    statement = _swap(table, tuple(key), shape, tuple(plain), constant)
    if computed:
        statement = statement.values(computed)
    if conditions and not constant:
        statement = statement.where(*conditions)
    bound = dict(parameters or {})
    bound |= {f"k_{name}": value for name, value in key.items()}
    bound |= {f"e_{name}": _members(value) for name, value in expected.items() if value is not None}
    bound |= {f"v_{name}": value for name, value in plain.items()}
    return conn.execute(statement, bound).rowcount == 1


@functools.lru_cache(maxsize=512)
def _swap(
    table: sa.Table,
    key: tuple[str, ...],
    expected: tuple[tuple[str, str], ...],
    values: tuple[str, ...],
    conditions: tuple[sa.ColumnElement[bool], ...],
) -> sa.Update:
    """The UPDATE of that shape. Building one costs more than running it, and there are few shapes."""
    statement = table.update().where(*(table.c[name] == sa.bindparam(f"k_{name}") for name in key), *conditions)
    for name, kind in expected:
        column = table.c[name]
        if kind == "null":
            statement = statement.where(column.is_(None))
        elif kind == "value":
            statement = statement.where(column == sa.bindparam(f"e_{name}"))
        else:
            member = column.in_(sa.bindparam(f"e_{name}", expanding=True))
            statement = statement.where(sa.or_(member, column.is_(None)) if kind == "any or null" else member)
    return statement.values({name: sa.bindparam(f"v_{name}", type_=table.c[name].type) for name in values})


def _kind(value: Any) -> str:
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return "any or null" if None in value else "any"
    return "null" if value is None else "value"


def _members(value: Any) -> Any:
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return [member for member in value if member is not None]
    return value


def upgrade(database: Database, location: str) -> str | None:
    """Bring the schema to the newest revision found in the alembic directory `location`; returns that revision.

    Raises errors.Unavailable when the server is down.
    """
    from alembic import command, config, script

    settings = config.Config()
    settings.set_main_option("script_location", location)
    with database.connection() as conn:
        settings.attributes["connection"] = conn
        command.upgrade(settings, "head")
    return script.ScriptDirectory.from_config(settings).get_current_head()


def _prepare_sqlite(dbapi_connection: Any, record: Any) -> None:
    cursor = dbapi_connection.cursor()
    # WAL lets the daemons read while one of them writes.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextlib.contextmanager
def _naming_bad_urls() -> Iterator[None]:
    try:
        yield
    except (sa.exc.ArgumentError, ImportError, ValueError) as err:
        # What could not be read as a URL may hold a password, and the error part of it.
        is_driver = isinstance(err, sa.exc.NoSuchModuleError | ImportError)
        raise errors.Invalid(
            f"[database] connection cannot be used: {err if is_driver else 'it is not a URL'}. "
            "Write it as sqlite:///PATH or mysql+mysqldb://USER:PASSWORD@HOST/NAME?charset=utf8mb4."
        ) from None


@contextlib.contextmanager
def _naming_outages(url: sa.URL) -> Iterator[None]:
    try:
        yield
    except (db_exc.DBConnectionError, sa.exc.TimeoutError) as err:
        raise errors.Unavailable(
            f"The database {url.render_as_string()} cannot be reached; nothing was changed by this step. "
            "Check that it runs and that [database] connection is right."
        ) from err
    except sa.exc.OperationalError as err:
        code, *words = getattr(err.orig, "args", None) or (0,)
        if code not in REFUSALS:
            raise
        raise errors.Unavailable(
            f"The database {url.render_as_string()} cannot be used: {' '.join(map(str, words))}. "
            "Nothing was changed by this step. Check [database] connection."
        ) from err
