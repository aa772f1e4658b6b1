"""The five services for the functional tests, once for the whole run."""

from collections.abc import Iterator

import pytest

from lite_common import service
from tests.fixtures import stack as stack_fixture

service.no_eventlet()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack_fixture.FunctionalStack]:
    """All five services with their default configuration."""
    running = stack_fixture.FunctionalStack(tmp_path_factory.mktemp("stack"))
    try:
        yield running.start()
    finally:
        running.stop()
