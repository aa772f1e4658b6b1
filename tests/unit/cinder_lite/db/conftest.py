"""The real schema, on SQLite and once more on a private MariaDB."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cinder_lite.db import migrations, types, volumes
from lite_common import db
from tests.fixtures import servers

NUMBERS = itertools.count(1)
MakeVolume = Callable[..., str]


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.MariaDB]:
    """A private server for this run."""
    with servers.private_directory() as directory, servers.MariaDB(directory / "mariadb") as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[db.Database]:
    """A database of this test's own, at the newest revision."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/cinder.sqlite"
    else:
        url = request.getfixturevalue("mariadb").create_database(f"cinder{next(NUMBERS)}")
    made = db.Database(url)
    db.upgrade(made, migrations.LOCATION)
    yield made
    made.close()


@pytest.fixture
def make(database: db.Database) -> MakeVolume:
    """Makes an available volume of project p and returns its id; columns may be given."""
    numbers = itertools.count(1)

    def make_volume(**columns: object) -> str:
        volume_id = f"00000000-0000-0000-0000-{next(numbers):012}"
        with database.connection() as conn:
            row = {"id": volume_id, "project_id": "p", "size": 2, "volume_type_id": types.get(conn, "__DEFAULT__").id}
            volumes.insert(conn, row | columns, {})
            assert volumes.move(conn, "created", volume_id)
        return volume_id

    return make_volume
