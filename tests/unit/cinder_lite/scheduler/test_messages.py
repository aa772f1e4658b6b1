"""The scheduler tells users when it found no backend, and takes old messages away."""

from __future__ import annotations

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import messages, paging
from cinder_lite.scheduler import core
from lite_common import db
from tests.unit.cinder_lite.scheduler.test_flow import World


def told(database: db.Database) -> list[messages.Message]:
    with database.connection() as conn:
        return messages.page(conn, None, paging.Matches(), paging.Page(limit=10))


def test_no_backend(database: db.Database) -> None:
    world = World(database)
    volume_id = world.creating(size=101)
    with pytest.raises(cinder_errors.NoValidBackend):
        world.schedule(volume_id)
    [one] = told(database)
    assert (one.event_id, one.resource_uuid, one.project_id) == ("VOLUME_VOLUME_001_003", volume_id, "p")
    assert one.message_level == "ERROR"


def test_a_volume_that_a_backend_has_is_not_spoken_of(database: db.Database) -> None:
    world = World(database)
    volume_id = world.creating()
    world.schedule(volume_id)
    with pytest.raises(cinder_errors.NoValidBackend):
        world.schedule(volume_id, {"retry": {"num_attempts": 3, "backends": [], "exc": ["late"]}})
    assert told(database) == []


def test_pruning(database: db.Database, caplog: pytest.LogCaptureFixture) -> None:
    world = World(database)
    with pytest.raises(cinder_errors.NoValidBackend):
        world.schedule(world.creating(size=101))
    core.prune_messages(database)
    assert len(told(database)) == 1
    with database.connection() as conn:
        conn.execute(messages.TABLE.update().values(expires_at=db.utcnow()))
    core.prune_messages(database)
    assert told(database) == []
