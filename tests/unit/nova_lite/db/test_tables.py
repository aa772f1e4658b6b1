"""The tables: made by the migrations as the models say, with keys that rule out what must not be there twice."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import autogenerate, migration

from lite_common import db
from nova_lite import db as nova_db
from nova_lite import errors, states
from nova_lite.db import attachments, faults, models, server_lists, servers, services


def new_server(database: db.Database, server_id: str, **values: Any) -> servers.Server:
    filled: dict[str, Any] = {
        "uuid": server_id,
        "project_id": "demo",
        "user_id": "alice",
        "display_name": server_id,
        "host": "h",
        "root_device_name": "/dev/vda",
        "memory_mb": 1,
        "vcpus": 1,
        "root_gb": 0,
        "ephemeral_gb": 0,
        "flavor": {"id": "1"},
        "instance_metadata": {"schlüssel": "wert ✓"},
    }
    number = servers.create(database, filled | values)
    made = servers.get(database, server_id)
    assert made.id == number
    return made


def reserve(database: db.Database, uuid: str, server: str, volume: str, name: str) -> attachments.BlockDevice:
    return attachments.reserve(
        database,
        uuid=uuid,
        server_id=server,
        volume_id=volume,
        device_name=name,
        tag=None,
        delete_on_termination=False,
        disk_bus=None,
    )


def test_migrations_make_what_the_models_say(database: db.Database) -> None:
    with database.engine.connect() as conn:
        differences = autogenerate.compare_metadata(migration.MigrationContext.configure(conn), models.metadata)
    assert differences == []


def test_migrations_may_run_twice_and_the_head_is_known(database: db.Database) -> None:
    assert db.upgrade(database, nova_db.MIGRATIONS) == nova_db.HEAD
    database.require_revision(nova_db.HEAD, nova_db.SYNC_COMMAND)


def test_server_row_and_record(database: db.Database) -> None:
    made = new_server(database, "s1", display_name="naïve ☃")
    assert made.display_name == "naïve ☃"
    assert made.instance_metadata == {"schlüssel": "wert ✓"}
    assert (made.vm_state, made.task_state, made.locked, made.deleted) == ("building", "scheduling", False, 0)
    assert isinstance(made.created_at, datetime.datetime)


def test_move_is_a_compare_and_swap(database: db.Database) -> None:
    new_server(database, "s1")
    assert servers.move(database, "s1", "build_begun")
    assert not servers.move(database, "s1", "build_begun")
    assert servers.move(database, "s1", "built", launched_at=db.utcnow(), power_state=1)
    active = servers.get(database, "s1")
    assert active.state_columns == {"vm_state": "active", "task_state": None}
    assert servers.move(database, "s1", "stop")
    assert not servers.move(database, "s1", "pause")
    assert servers.take_back(database, active, "stop")
    assert not servers.take_back(database, active, "stop")
    assert servers.get(database, "s1").task_state is None
    assert not servers.move(database, "nobody", "delete")


def test_bury_takes_the_block_devices_too(database: db.Database) -> None:
    new_server(database, "s1")
    device = reserve(database, "b1", "s1", "v1", "/dev/vdb")
    servers.bury(database, "s1")
    with pytest.raises(errors.ServerNotFound):
        servers.get(database, "s1")
    gone = servers.get(database, "s1", deleted=True)
    assert (gone.deleted, gone.vm_state) == (gone.id, states.DELETED)
    assert attachments.of_server(database, "s1") == []
    assert attachments.with_server(database, "s1", uuid="b1")[1].deleted == device.id  # type: ignore[union-attr]
    assert [one.uuid for one in servers.deleted_among(database, ["s1", "s2"])] == ["s1"]


def test_a_server_cannot_have_a_volume_or_a_name_twice(database: db.Database) -> None:
    new_server(database, "s1")
    new_server(database, "s2")
    reserve(database, "b1", "s1", "v1", "/dev/vdb")
    with pytest.raises(db.Duplicate) as same_volume:
        reserve(database, "b2", "s1", "v1", "/dev/vdc")
    with pytest.raises(db.Duplicate) as same_name:
        reserve(database, "b3", "s1", "v2", "/dev/vdb")
    assert attachments.already_has(same_volume.value) == "volume_id"
    assert attachments.already_has(same_name.value) == "device_name"
    reserve(database, "b4", "s2", "v1", "/dev/vdb")
    assert attachments.release(database, "b1")
    assert not attachments.release(database, "b1")
    reserve(database, "b5", "s1", "v1", "/dev/vdb")
    assert sorted(attachments.servers_with(database, "v1")) == ["s1", "s2"]


def test_block_device_needs_its_server(database: db.Database) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign"):
        reserve(database, "b1", "nobody", "v1", "/dev/vdb")


def test_saving_into_a_released_row_is_noticed(database: db.Database) -> None:
    new_server(database, "s1")
    device = reserve(database, "b1", "s1", "v1", "/dev/vdb")
    attachments.save_reservation(database, device, "a1", 5)
    attachments.save_connection(database, device, {"data": {"x": "ü" * 70000}})
    found = attachments.find(database, "s1", "v1")
    assert found is not None
    assert (found.attachment_id, found.volume_size) == ("a1", 5)
    assert found.connection_info == {"data": {"x": "ü" * 70000}}
    attachments.release(database, "b1")
    for save in (
        lambda: attachments.save_reservation(database, device, "a2", 5),
        lambda: attachments.save_connection(database, device, {}),
        lambda: attachments.save_delete_on_termination(database, device, True),
    ):
        with pytest.raises(errors.BlockDeviceGone):
            save()


def test_saving_the_same_value_twice_is_no_loss(database: db.Database) -> None:
    new_server(database, "s1")
    device = reserve(database, "b1", "s1", "v1", "/dev/vdb")
    for _ in range(2):
        attachments.save_delete_on_termination(database, device, True)


def test_taken_names(database: db.Database) -> None:
    new_server(database, "s1")
    assert attachments.taken_names(database, "s1") == attachments.TakenNames("h", "scheduling", "/dev/vda", 0, None)
    for number, name in enumerate(("/dev/vdb", "/dev/vdz", "/dev/vdaa", "/dev/vdc")):
        reserve(database, f"b{number}", "s1", f"v{number}", name)
    assert attachments.taken_names(database, "s1") == attachments.TakenNames(
        "h", "scheduling", "/dev/vda", 4, "/dev/vdaa"
    )
    assert attachments.all_names(database, "s1") == {"/dev/vdb", "/dev/vdz", "/dev/vdaa", "/dev/vdc"}
    with pytest.raises(errors.ServerNotFound):
        attachments.taken_names(database, "nobody")


def test_with_server(database: db.Database) -> None:
    new_server(database, "s1")
    reserve(database, "b1", "s1", "v1", "/dev/vdb")
    server, device = attachments.with_server(database, "s1", volume_id="v1")
    assert (server.uuid, device and device.uuid) == ("s1", "b1")
    assert attachments.with_server(database, "s1", volume_id="v2")[1] is None
    with pytest.raises(errors.ServerNotFound):
        attachments.with_server(database, "nobody", volume_id="v1")


def test_list_by_name_and_status(database: db.Database) -> None:
    for name in ("alpha", "beta", "alphabet"):
        new_server(database, name)
    servers.move(database, "beta", "build_failed")

    def found(**filters: Any) -> list[str]:
        return [one.uuid for one in server_lists.list_page(database, server_lists.ServerFilters(**filters))]

    assert found(patterns={"display_name": "^alpha"}) == ["alphabet", "alpha"]
    assert found(statuses=["ERROR"]) == ["beta"]
    assert found(statuses=["BUILD", "REBOOT", "ACTIVE"]) == ["alphabet", "alpha"]
    assert found(project_id="other") == []
    page = server_lists.list_page(
        database, server_lists.ServerFilters(), sort=[("name", "asc")], marker="alpha", limit=1
    )
    assert [one.uuid for one in page] == ["alphabet"]


def test_services_report(database: db.Database) -> None:
    for _ in range(3):
        services.report(database, "h", services.COMPUTE, "compute")
    services.report(database, "h", "nova-api", "")
    (found,) = services.list_all(database, binary=services.COMPUTE)
    assert (found.report_count, found.host, found.disabled) == (3, "h", False)
    assert found.is_up(60)
    assert not found.is_up(-1)
    with database.connection() as conn:
        conn.execute(models.services.update().values(forced_down=True))
    assert not services.list_all(database, host="h")[0].is_up(60)
    new_server(database, "s1")
    _, service = servers.get_with_service(database, "s1")
    assert service is not None
    assert service.binary == services.COMPUTE
    new_server(database, "s2", host="elsewhere")
    assert servers.get_with_service(database, "s2")[1] is None


def test_faults(database: db.Database) -> None:
    new_server(database, "s1")
    faults.add(database, "s1", code=500, message="first", details="first", host="h")
    faults.add(database, "s1", code=409, message="x" * 300, details="trace", host="h")
    found = faults.latest(database, ["s1", "s2"])
    assert list(found) == ["s1"]
    assert found["s1"].code == 409
    assert len(found["s1"].message) == 255
    assert "x" * 300 in found["s1"].details
    assert faults.latest(database, []) == {}
    faults.add(database, "nobody", code=404, message="m", details="d", host="h")
    assert faults.latest(database, ["nobody"]) == {}


def test_columns_have_novas_names() -> None:
    """Those that other tools read: Nova's schema, `block_device_mapping` and `instances`."""
    device = set(models.block_device_mapping.c.keys())
    assert {"uuid", "instance_uuid", "source_type", "destination_type", "device_name", "boot_index"} <= device
    assert {"connection_info", "attachment_id", "volume_size", "delete_on_termination", "tag", "deleted"} <= device
    server = set(models.instances.c.keys())
    assert {"display_name", "vm_state", "task_state", "power_state", "launched_at", "root_device_name"} <= server
    assert isinstance(models.block_device_mapping.c.connection_info.type, sa.Text)
