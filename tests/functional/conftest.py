"""The five services for the functional tests, once for each kind of database.

pytest runs all tests of one kind before those of the next, so there is one such stack at a time; stacks and sites that
modules start beside it have an exchange of their own on the in-process bus.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lite_common import service
from tests.fixtures import contract, servers
from tests.fixtures import stack as stack_fixture

service.no_eventlet()


@pytest.fixture(scope="session")
def answers() -> Iterator[list[str]]:
    """What any answer said that its operation does not declare."""
    with contract.watched() as broken:
        yield broken


@pytest.fixture(autouse=True)
def declared(answers: list[str]) -> Iterator[None]:
    """A test fails when one of its answers was not as clients are told."""
    answers.clear()
    yield
    assert not answers, "\n".join(answers[:20])


class Databases:
    """Hands out new databases of one kind: SQLite files, or databases of a private MariaDB."""

    def __init__(self, kind: str, server: servers.MariaDB | None) -> None:
        self.kind = kind
        self._server = server
        self._made = 0

    def pair(self) -> dict[str, Any]:
        """Arguments of FunctionalStack: a database for each of the two projects."""
        self._made += 1
        return {"nova_db": self._url(f"nova{self._made}"), "cinder_db": self._url(f"cinder{self._made}")}

    def _url(self, name: str) -> str | None:
        return self._server.create_database(name) if self._server else None


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.MariaDB]:
    """A private MariaDB, for the whole run."""
    with servers.private_directory() as directory, servers.MariaDB(directory / "mariadb") as running:
        yield running


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Every test that uses this, or a stack, runs once for each kind of database."""
    server = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
    return Databases(request.param, server)


@pytest.fixture(scope="session")
def stack(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack_fixture.FunctionalStack]:
    """All five services with their default configuration."""
    running = stack_fixture.FunctionalStack(tmp_path_factory.mktemp("stack"), **databases.pair())
    try:
        yield running.start()
    finally:
        running.stop()
