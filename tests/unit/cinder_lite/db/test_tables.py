"""The schema, and the rows of types and services, on both databases."""

from __future__ import annotations

import pytest
from alembic import autogenerate, migration

from cinder_lite import errors
from cinder_lite.db import migrations, models, services, types
from lite_common import db
from lite_common import errors as common_errors


def test_the_migrations_make_the_tables_that_the_code_uses(database: db.Database) -> None:
    with database.engine.connect() as conn:
        assert autogenerate.compare_metadata(migration.MigrationContext.configure(conn), models.METADATA) == []
    database.require_revision(migrations.HEAD, "db sync")
    with pytest.raises(common_errors.Unavailable, match=r"Run: db sync"):
        database.require_revision("9999", "db sync")


def test_an_upgrade_may_be_repeated(database: db.Database) -> None:
    assert db.upgrade(database, migrations.LOCATION) == migrations.HEAD
    with database.connection() as conn:
        assert types.names(conn) == ["__DEFAULT__"]


def test_types_are_found_by_id_before_name(database: db.Database) -> None:
    with database.connection() as conn:
        first = types.insert(conn, "fast", None, True, {"multiattach": "<is> True"})
        second = types.insert(conn, first, "named like the other's id", True, {})
        assert types.get(conn, first).name == "fast"
        assert types.get(conn, first).multiattach
        assert not types.get(conn, second).multiattach
        with pytest.raises(errors.VolumeTypeNotFound):
            types.get(conn, "FAST")


def test_a_service_is_known_by_its_beats(database: db.Database) -> None:
    for host in ("h@a", "h@a2", "h", "h2@a"):
        services.beat(database, host, "cinder-volume", "cinder-volume", "nova")
    services.beat(database, "h@a", "cinder-volume", "cinder-volume", "other")
    with database.connection() as conn:
        found = services.get(conn, "h@a", "cinder-volume")
        assert (found.report_count, found.availability_zone, found.is_up(60)) == (2, "other", True)
        assert not found.is_up(-1)
        assert [one.host for one in services.listed(conn, host="h")] == ["h@a", "h@a2", "h"]
        assert services.zones(services.listed(conn)) == {"other": True, "nova": True}
        assert services.set_disabled(conn, "h@a", "cinder-volume", True, "why").disabled_reason == "why"
        assert services.zones(services.listed(conn)) == {"other": False, "nova": True}
        with pytest.raises(errors.ServiceNotFound):
            services.set_disabled(conn, "x", "cinder-volume", True, None)
        with pytest.raises(errors.ServiceNotFound):
            services.get(conn, "h", "cinder-scheduler")
