"""Migrations of databases that hold something already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command, config

from lite_common import db
from nova_lite import db as nova_db
from nova_lite.db import server_lists, servers

OLD = {
    "uuid": "s1",
    "project_id": "demo",
    "user_id": "ann",
    "display_name": "old",
    "vm_state": "active",
    "power_state": 1,
    "locked": False,
    "memory_mb": 64,
    "vcpus": 1,
    "root_gb": 0,
    "ephemeral_gb": 0,
    "instance_metadata": "{}",
    "created_at": "2026-01-01 00:00:00.000000",
    "deleted": 0,
}


def test_servers_of_the_first_schema_are_found_by_their_flavor(url: str) -> None:
    database = db.Database(url)
    settings = config.Config()
    settings.set_main_option("script_location", nova_db.MIGRATIONS)
    with database.engine.connect() as conn:
        settings.attributes["connection"] = conn
        command.upgrade(settings, "0001")
        for server, flavor in (("s1", '{"id":"42"}'), ("s2", "{}"), ("s3", None)):
            row = OLD | {"uuid": server, "flavor": flavor}
            names = ", ".join(row)
            conn.execute(sa.text(f"INSERT INTO instances ({names}) VALUES (:{', :'.join(row)})"), row)
    assert db.upgrade(database, nova_db.MIGRATIONS) == nova_db.HEAD
    found = server_lists.list_page(database, server_lists.ServerFilters(exact={"flavor_id": "42"}))
    assert [one.uuid for one in found] == ["s1"]
    kept = servers.get(database, "s2")
    assert (kept.display_name, kept.access_ip_v4, kept.locked_reason) == ("old", None, None)
    database.close()
