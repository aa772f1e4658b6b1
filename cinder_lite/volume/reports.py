"""What a backend says of itself: that it lives (the services table), what it can do and has left (the scheduler)."""

from __future__ import annotations

from typing import Any, Protocol

from cinder_lite.db import placement, services
from cinder_lite.volume.backend import Backend
from lite_common import context

BINARY = "cinder-volume"


class Listener(Protocol):
    """The part of the scheduler's RPC client that is used here."""

    def update_service_capabilities(self, ctx: context.RequestContext, host: str, capabilities: dict[str, Any]) -> None:
        """Tell all schedulers."""


def beat(backend: Backend) -> None:
    """Say that the backend is alive, unless it is not ready: then it is to be seen as down."""
    if backend.ready.is_set():
        services.beat(backend.database, backend.name, BINARY, BINARY, backend.availability_zone)


def publish(backend: Backend, listener: Listener) -> None:
    """Report capabilities to the schedulers, unless the backend is not ready."""
    if backend.ready.is_set():
        listener.update_service_capabilities(
            context.admin_context(overwrite=False), backend.name, capabilities(backend)
        )


def capabilities(backend: Backend) -> dict[str, Any]:
    """The driver's statistics, with what only the database knows: how much is allocated."""
    stats = backend.driver.get_stats()
    with backend.database.connection() as conn:
        allocated = placement.allocated_gb(conn, backend.name)
    for pool in stats["pools"]:
        pool |= {"allocated_capacity_gb": allocated, "cacheable": True}
    return stats
