"""A database with the real schema, and the API over it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite.db import migrations
from lite_common import db
from tests.unit.cinder_lite import world as worlds


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that the migrations made; to be copied, not used."""
    path = tmp_path_factory.mktemp("schema") / "cinder.sqlite"
    made = db.Database(f"sqlite:///{path}")
    db.upgrade(made, migrations.LOCATION)
    with made.connection() as conn:
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    return path


@pytest.fixture
def database(schema: Path, tmp_path: Path) -> Iterator[db.Database]:
    """A database of this test's own."""
    path = tmp_path / "cinder.sqlite"
    shutil.copy(schema, path)
    made = db.Database(f"sqlite:///{path}")
    yield made
    made.close()


@pytest.fixture
def world(database: db.Database) -> worlds.World:
    """cinder-api with twins of the other daemons."""
    return worlds.World(database)
