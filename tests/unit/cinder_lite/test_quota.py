"""Quotas: what is reserved counts, what is settled does not, and no crash makes the count drift."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa

from cinder_lite import errors, quota
from cinder_lite.db import models, quotas, types, volumes
from cinder_lite.scheduler import core
from lite_common import db


@pytest.fixture
def engine(database: db.Database) -> quota.QuotaEngine:
    return quota.QuotaEngine(database, {"volumes": 3, "gigabytes": 10, "per_volume_gigabytes": 8}, 60)


def insert(database: db.Database, name: str, size: int = 1) -> None:
    with database.connection() as conn:
        row = {"id": name, "project_id": "p", "size": size, "volume_type_id": types.get(conn, "__DEFAULT__").id}
        volumes.insert(conn, row, {})


def stored(database: db.Database) -> dict[str, tuple[int, int]]:
    table = models.quota_usages
    with database.connection() as conn:
        rows = conn.execute(sa.select(table.c.resource, table.c.in_use, table.c.reserved))
        return {row[0]: (row[1], row[2]) for row in rows if "_" not in row[0]}


def test_reserve_make_settle(database: db.Database, engine: quota.QuotaEngine) -> None:
    reservations = engine.reserve("p", 4, "__DEFAULT__")
    assert len(reservations) == 4
    assert stored(database) == {"volumes": (0, 1), "gigabytes": (0, 4)}
    insert(database, "v", 4)
    engine.settle("p", reservations)
    assert stored(database) == {"volumes": (1, 0), "gigabytes": (4, 0)}
    engine.settle("p", reservations)
    assert stored(database) == {"volumes": (1, 0), "gigabytes": (4, 0)}


def test_reservations_count_until_they_expire(database: db.Database, engine: quota.QuotaEngine) -> None:
    engine.reserve("p", 6, "__DEFAULT__")
    with pytest.raises(errors.GigabytesExceeded, match="Requested 5G, quota is 10G and 6G has been consumed"):
        engine.reserve("p", 5, "__DEFAULT__")
    with database.connection() as conn:
        past = db.utcnow() - datetime.timedelta(seconds=1)
        conn.execute(models.reservations.update().values(expire=past))
    assert engine.reserve("p", 8, "__DEFAULT__")


def test_a_crash_between_two_steps_leaves_no_drift(database: db.Database, engine: quota.QuotaEngine) -> None:
    # The process died after the row was made: the row counts, and the reservation only until it expires.
    engine.reserve("p", 2, "__DEFAULT__")
    insert(database, "v", 2)
    with database.connection() as conn:
        conn.execute(models.reservations.update().values(expire=db.utcnow()))
    assert engine.describe("p")["gigabytes"].usage == quotas.Usage(2, 0)
    volumes.destroy(database, "v")
    assert stored(database) == {"volumes": (0, 0), "gigabytes": (0, 0)}


def test_reservations_of_a_request_that_died_are_settled(database: db.Database, engine: quota.QuotaEngine) -> None:
    engine.reserve("p", 2, "__DEFAULT__")
    engine.reserve("other", 3, "__DEFAULT__")
    with database.connection() as conn:
        mine = models.reservations.c.project_id == "p"
        conn.execute(models.reservations.update().where(mine).values(expire=db.utcnow()))
    core.settle_reservations(database)
    with database.connection() as conn:
        alive = sa.select(models.reservations.c.project_id).where(models.reservations.c.deleted.is_(False)).distinct()
        assert [row[0] for row in conn.execute(alive)] == ["other"]
        assert quotas.overdue(conn) == {}
    assert engine.describe("p")["gigabytes"].usage == quotas.Usage()
    assert engine.describe("other")["gigabytes"].usage == quotas.Usage(0, 3)


def test_limits_of_a_project_a_type_and_a_volume(engine: quota.QuotaEngine) -> None:
    with pytest.raises(errors.VolumeSizeExceedsLimit, match="9G is larger than maximum allowed limit 8G"):
        engine.reserve("p", 9, "__DEFAULT__")
    engine.set_limits("p", {"per_volume_gigabytes": -1, "gigabytes": -1, "volumes": 1})
    assert engine.reserve("p", 5000, "__DEFAULT__")
    with pytest.raises(errors.VolumeLimitExceeded):
        engine.reserve("p", 1, "__DEFAULT__")
    assert engine.reserve("other", 1, "__DEFAULT__")
    engine.drop_limits("p")
    assert engine.describe("p")["volumes"].limit == 3
