"""A migrated database, on SQLite and once more on a private MariaDB."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from lite_common import db
from nova_lite import db as nova_db
from tests.fixtures import servers

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.MariaDB]:
    """A private server for this run."""
    with servers.private_directory() as directory, servers.MariaDB(directory / "mariadb") as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/nova.sqlite"
    server: servers.MariaDB = request.getfixturevalue("mariadb")
    return server.create_database(f"nova{next(NUMBERS)}")


@pytest.fixture
def database(url: str) -> Iterator[db.Database]:
    """A database at the newest revision."""
    made = db.Database(url)
    db.upgrade(made, nova_db.MIGRATIONS)
    yield made
    made.close()
