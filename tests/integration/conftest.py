"""Servers that integration tests share: each is started at its first use and ends with the test session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.guest import build
from lite_common import service
from tests.fixtures import servers

# As in the daemons, and before a test module imports an OpenStack library.
service.no_eventlet()

# Survives the run: the kernel package is downloaded once.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "nova-lite" / "guest"


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Give the directory that holds the shared servers' own directories."""
    with servers.private_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def rabbitmq(servers_directory: Path) -> Iterator[servers.RabbitMQ]:
    """Give a running private broker."""
    with servers.RabbitMQ(servers_directory / "rabbitmq") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(servers_directory: Path) -> Iterator[servers.MariaDB]:
    """Give a running private database server."""
    with servers.MariaDB(servers_directory / "mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def tgtd(servers_directory: Path) -> Iterator[servers.Tgtd]:
    """Give a running private iSCSI target daemon."""
    with servers.Tgtd(servers_directory / "tgtd") as server:
        yield server


@pytest.fixture(scope="session")
def libvirtd(servers_directory: Path) -> Iterator[servers.Libvirtd]:
    """Give a running private libvirt daemon."""
    with servers.Libvirtd(servers_directory / "libvirtd") as server:
        yield server


@pytest.fixture(scope="session")
def guest_images(servers_directory: Path) -> Path:
    """Give an images directory with the tiny guest in it."""
    images = servers_directory / "images"
    build.build(images, CACHE)
    return images
