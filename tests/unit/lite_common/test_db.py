"""Compare-and-swap, transactions, and how outages and old schemas are told. On SQLite; functional tests add MariaDB."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from lite_common import db, errors

META = sa.MetaData()
THINGS = sa.Table(
    "things",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(20)),
    sa.Column("owner", sa.String(20), unique=True),
    sa.Column("updated_at", db.DateTime),
)


@pytest.fixture
def database(tmp_path: Path) -> db.Database:
    made = db.Database(f"sqlite:///{tmp_path}/x.sqlite")
    META.create_all(made.engine)
    with made.connection() as conn:
        conn.execute(THINGS.insert().values(id=1, state="free"))
    return made


def state(database: db.Database) -> str | None:
    with database.connection() as conn:
        return conn.execute(sa.select(THINGS.c.state)).scalar()


@pytest.mark.parametrize(
    ("expected", "done"),
    [("free", True), ("taken", False), (None, False), (("taken", "free"), True), ({"taken", None}, False), ([], False)],
)
def test_a_swap_needs_the_expected_value(database: db.Database, expected: object, done: bool) -> None:
    with database.connection() as conn:
        assert db.compare_and_swap(conn, THINGS, {"id": 1}, {"state": expected}, {"state": "new"}) is done
    assert state(database) == ("new" if done else "free")


def test_null_is_matched_by_none_alone_and_in_a_collection(database: db.Database) -> None:
    with database.connection() as conn:
        assert db.compare_and_swap(conn, THINGS, {"id": 1}, {"owner": None}, {"owner": "a"})
        assert not db.compare_and_swap(conn, THINGS, {"id": 1}, {"owner": (None, "b")}, {"owner": "b"})
        assert db.compare_and_swap(conn, THINGS, {"id": 1}, {"owner": (None, "a")}, {"owner": None})


def test_a_swap_sets_updated_at_and_honours_further_conditions(database: db.Database) -> None:
    with database.connection() as conn:
        assert not db.compare_and_swap(conn, THINGS, {"id": 1}, {}, {"state": "x"}, THINGS.c.id > 1)
        assert db.compare_and_swap(conn, THINGS, {"id": 1}, {}, {"state": "x"}, THINGS.c.id == 1)
        assert conn.execute(sa.select(THINGS.c.updated_at)).scalar() is not None


def test_of_many_swappers_one_wins(database: db.Database) -> None:
    won: list[int] = []

    def swap(number: int) -> None:
        with database.connection() as conn:
            if db.compare_and_swap(conn, THINGS, {"id": 1}, {"state": "free"}, {"state": f"t{number}"}):
                won.append(number)

    threads = [threading.Thread(target=swap, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert state(database) == f"t{won[0]}"


def test_an_error_rolls_the_whole_transaction_back(database: db.Database) -> None:
    def work(conn: sa.Connection) -> None:
        conn.execute(THINGS.update().values(state="half"))
        raise errors.Conflict("stop")

    with pytest.raises(errors.Conflict):
        database.run(work)
    assert state(database) == "free"
    assert database.run(lambda conn: conn.execute(THINGS.update().values(state="whole")).rowcount) == 1
    assert state(database) == "whole"


def test_concurrent_transactions_do_not_lose_updates(database: db.Database) -> None:
    def add_one(conn: sa.Connection) -> None:
        now = int(conn.execute(sa.select(THINGS.c.state)).scalar() or 0)
        conn.execute(THINGS.update().values(state=str(now + 1)))

    with database.connection() as conn:
        conn.execute(THINGS.update().values(state="0"))
    threads = [threading.Thread(target=lambda: [database.run(add_one) for _ in range(10)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state(database) == "50"


def test_a_duplicate_is_one_exception_on_every_database(database: db.Database) -> None:
    with database.connection() as conn:
        conn.execute(THINGS.insert().values(id=2, owner="a"))
        with pytest.raises(db.Duplicate):
            conn.execute(THINGS.insert().values(id=3, owner="a"))


def test_an_unreachable_server_is_named(unused_port: int) -> None:
    gone = db.Database(f"mysql+mysqldb://u:secret@127.0.0.1:{unused_port}/x")
    with pytest.raises(errors.Unavailable) as told:
        with gone.connection():
            pass
    assert str(unused_port) in told.value.message
    assert "secret" not in told.value.message


def test_a_host_that_does_not_exist_is_named() -> None:
    # Too long for a label of a name: nobody has to be asked.
    host = "h" * 70
    with pytest.raises(errors.Unavailable, match=f"Unknown server host '{host}'") as told:
        with db.Database(f"mysql+mysqldb://u:secret@{host}/x").connection():
            pass
    assert "secret" not in told.value.message


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql+cymysql://u:secret@h/x", "cymysql"),
        ("mysql+nothing://u:secret@h/x", "mysql.nothing"),
        ("mysql+mysqldb://u@h:secret/x", "it is not a URL"),
        ("secret", "it is not a URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_form_of_a_good_one(url: str, says: str) -> None:
    with pytest.raises(errors.Invalid, match=r"mysql\+mysqldb://USER") as told:
        db.Database(url)
    assert says in told.value.message
    assert "secret" not in told.value.message


def test_a_schema_of_another_revision_is_refused_with_the_command(database: db.Database) -> None:
    with pytest.raises(errors.Unavailable, match="Run: x-manage db sync"):
        database.require_revision("0001", "x-manage db sync")
    with database.connection() as conn:
        conn.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        conn.execute(sa.text("INSERT INTO alembic_version VALUES ('0001')"))
    database.require_revision("0001", "x-manage db sync")
