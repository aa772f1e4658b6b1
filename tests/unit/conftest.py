"""Fixtures for tests that start no server."""

import pytest

from lite_common import service
from tests.fixtures import stack

service.no_eventlet()


@pytest.fixture
def unused_port() -> int:
    """A TCP port of loopback on which nobody listens."""
    return stack.free_port()
