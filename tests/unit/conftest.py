"""Fixtures for tests that start no server."""

import pytest

from tests.fixtures import stack


@pytest.fixture
def unused_port() -> int:
    """A TCP port of loopback on which nobody listens."""
    return stack.free_port()
