"""A backend of twins over a real schema, and volumes on it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from cinder_lite.db import attachments, placement, types, volumes
from cinder_lite.db import exports as rows
from cinder_lite.drivers import base as drivers
from cinder_lite.drivers import fake as fake_driver
from cinder_lite.targets import fake as fake_target
from cinder_lite.volume import backend as backends
from cinder_lite.volume import manager_create
from lite_common import context, db, errors

CONNECTOR = {
    "host": "compute1",
    "ip": "10.0.0.9",
    "initiator": "iqn.1993-08.org.debian:01:aaaa",
    "mountpoint": "/dev/vdb",
}


@dataclass
class FakeScheduler:
    """Remembers what it is told; `down` makes it unreachable."""

    down: bool = False
    created: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    reports: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def create_volume(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        if self.down:
            raise errors.Unavailable("RabbitMQ is down")
        self.created.append((volume_id, request_spec, filter_properties))

    def update_service_capabilities(self, ctx: context.RequestContext, host: str, capabilities: dict[str, Any]) -> None:
        self.reports.append((host, capabilities))


class Node:
    """A backend with helpers that play cinder-api's part."""

    def __init__(self, database: db.Database) -> None:
        self.database = database
        self.driver = fake_driver.FakeDriver(drivers.Pool("pool"), 100)
        self.target = fake_target.FakeTarget("iqn.2010-10.org.openstack:", "127.0.0.1:3260", busy_wait=0.05)
        self.backend = backends.Backend("host1@fake", self.driver, self.target, database)
        self.backend.ready.set()
        self.scheduler = FakeScheduler()
        self.ctx = context.admin_context(overwrite=False)
        with database.connection() as conn:
            found = types.find(conn, "__DEFAULT__")
            assert found is not None
            self.type_id = found.id

    def creating(self, size: int = 1, **columns: str) -> str:
        """A volume that the scheduler has given to this backend."""
        volume_id = str(uuid.uuid4())
        row = {"id": volume_id, "size": size, "project_id": "demo", "user_id": "u", "volume_type_id": self.type_id}
        row |= columns
        self.database.run(lambda conn: volumes.insert(conn, row, {}))
        assert placement.place(self.database, volume_id, self.backend.host, "nova")
        return volume_id

    def available(self) -> str:
        """A volume that is there."""
        volume_id = self.creating()
        manager_create.create_volume(self.backend, self.scheduler, self.ctx, volume_id, {}, {})
        return volume_id

    def reserved(self, volume_id: str, instance: str | None = None, mode: str | None = None) -> str:
        """A reservation of the volume."""
        found = attachments.reserve(self.database, volume_id, None, instance or str(uuid.uuid4()), mode)
        assert found is not None
        return found

    def found(self, volume_id: str) -> rows.Exported:
        """The volume with its attachments, as they are stored now."""
        with self.database.connection() as conn:
            return rows.find(conn, volume_id)

    def state(self, volume_id: str) -> tuple[str, str]:
        """The volume's status and attach_status."""
        volume = self.found(volume_id).volume
        return volume.status, volume.attach_status

    def move(self, name: str, volume_id: str) -> None:
        """Make one move of the volume."""
        with self.database.connection() as conn:
            assert volumes.move(conn, name, volume_id)


@pytest.fixture
def node(database: db.Database) -> Node:
    return Node(database)
