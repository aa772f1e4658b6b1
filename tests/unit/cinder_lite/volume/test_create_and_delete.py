"""volume_create_manager with its undoing, and delete with its failure branches."""

from __future__ import annotations

import uuid

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import quotas, volumes
from cinder_lite.targets import base as targets
from cinder_lite.volume import connections, delete, manager_create, recovery
from lite_common import errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node

SPEC = {"volume_id": "x", "volume_properties": {"size": 1}}
RETRY = {"retry": {"num_attempts": 1, "backends": ["host1@fake"], "hosts": ["host1@fake#pool"], "exc": []}}


def create(node: Node, volume_id: str, spec: dict | None = None, properties: dict | None = None) -> None:
    manager_create.create_volume(node.backend, node.scheduler, node.ctx, volume_id, spec or {}, properties or {})


def used(node: Node) -> dict[str, quotas.Usage]:
    with node.database.connection() as conn:
        return quotas.count(conn, "demo")


def test_a_volume_is_made(node: Node) -> None:
    volume_id = node.creating(size=3)
    create(node, volume_id)
    volume = node.found(volume_id).volume
    assert volume.status == "available"
    assert volume.launched_at is not None
    assert node.driver.volumes == {f"volume-{volume_id}": 3}


def test_a_message_that_comes_twice_or_late_does_nothing(node: Node) -> None:
    volume_id = node.creating()
    create(node, volume_id)
    node.driver.broken = "it must not be asked"
    create(node, volume_id)
    create(node, str(uuid.uuid4()))
    assert node.state(volume_id) == ("available", "detached")


def test_a_volume_given_to_another_backend_meanwhile_is_left_alone(node: Node) -> None:
    volume_id = node.creating()
    with node.database.connection() as conn:
        volumes.update(conn, volume_id, host="host2@fake#pool")
    create(node, volume_id)
    assert node.driver.volumes == {}
    assert node.state(volume_id)[0] == "creating"


def test_a_failure_sends_it_back_to_the_scheduler_with_the_cause(node: Node) -> None:
    volume_id = node.creating()
    node.driver.broken = "no space left"
    create(node, volume_id, SPEC, RETRY)
    volume = node.found(volume_id).volume
    assert (volume.status, volume.host) == ("creating", None)
    ((told, spec, properties),) = node.scheduler.created
    assert (told, spec) == (volume_id, SPEC)
    assert "no space left" in properties["retry"]["exc"][0]
    assert properties["retry"]["backends"] == ["host1@fake"]


def test_a_backend_that_is_not_ready_sends_it_back_too(node: Node) -> None:
    volume_id = node.creating()
    node.backend.ready.clear()
    create(node, volume_id, SPEC, RETRY)
    assert node.found(volume_id).volume.host is None


def test_without_further_tries_it_goes_to_error(node: Node) -> None:
    volume_id = node.creating()
    node.driver.broken = "no space left"
    with pytest.raises(errors.BackendError, match="no space left"):
        create(node, volume_id, SPEC, {})
    assert node.state(volume_id) == ("error", "detached")


def test_a_bus_that_is_down_leaves_it_for_the_scheduler_to_find(node: Node) -> None:
    volume_id = node.creating()
    node.driver.broken = "no space left"
    node.scheduler.down = True
    create(node, volume_id, SPEC, RETRY)
    volume = node.found(volume_id).volume
    assert (volume.status, volume.host) == ("creating", None)


def test_what_was_made_goes_when_the_last_step_fails(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_id = node.creating()
    move = volumes.move

    def refused(conn: object, name: str, *rest: object, **named: object) -> bool:
        return False if name == "created" else move(conn, name, *rest, **named)  # type: ignore[arg-type] - passed on

    monkeypatch.setattr(volumes, "move", refused)
    with pytest.raises(cinder_errors.InvalidVolume):
        create(node, volume_id)
    assert node.driver.volumes == {}
    assert node.state(volume_id)[0] == "error"


def test_deleting_takes_export_bytes_row_and_usage(node: Node) -> None:
    volume_id = node.available()
    before = used(node)["volumes"].in_use
    attachment_id = node.reserved(volume_id)
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment_id, CONNECTOR)
    with node.database.connection() as conn:
        conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(status="deleting"))
    delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.driver.volumes == {}
    assert node.target.exported() == set()
    with pytest.raises(cinder_errors.VolumeNotFound):
        node.found(volume_id)
    assert used(node).get("volumes", quotas.Usage()).in_use == before - 1
    delete.delete_volume(node.backend, node.ctx, volume_id)


def test_a_volume_in_another_state_is_left_alone(node: Node) -> None:
    volume_id = node.available()
    delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id) == ("available", "detached")
    assert node.driver.volumes


def test_an_export_in_use_puts_the_volume_back(node: Node) -> None:
    volume_id = node.available()
    connections.attachment_update(node.backend, node.ctx, volume_id, node.reserved(volume_id), CONNECTOR)
    volume = node.found(volume_id).volume
    auth = targets.Auth.parse(str(volume.provider_auth))
    assert node.target.login(str(volume.provider_location), auth, CONNECTOR["initiator"])
    with node.database.connection() as conn:
        conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(status="deleting"))
    with pytest.raises(cinder_errors.VolumeIsBusy, match=CONNECTOR["initiator"]):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id)[0] == "available"
    assert node.driver.volumes


def busy(node: Node, error: type[errors.LiteError], monkeypatch: pytest.MonkeyPatch) -> str:
    """A volume that is being deleted, and whose driver says `error`."""
    volume_id = node.available()
    node.move("begin_deleting", volume_id)

    def refuse(name: str) -> None:
        raise error(f"{name} is open by blkid (pid 7).")

    monkeypatch.setattr(node.driver, "delete_volume", refuse)
    return volume_id


def test_a_device_that_is_open_for_a_while_is_deleted_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        volume_id = busy(node, cinder_errors.DeviceIsBusy, patch)
        for _ in range(2):
            with pytest.raises(errors.Unavailable, match=r"pid 7.*tried again"):
                delete.delete_volume(node.backend, node.ctx, volume_id)
            assert node.state(volume_id)[0] == "deleting"
    recovery.resume(node.backend, node.scheduler, untouched_for=-1)
    with pytest.raises(cinder_errors.VolumeNotFound):
        node.found(volume_id)
    assert node.backend.busy_since == {}


def test_a_device_that_stays_open_gives_the_volume_back(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_id = busy(node, cinder_errors.DeviceIsBusy, monkeypatch)
    with pytest.raises(errors.Unavailable):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    monkeypatch.setattr(delete, "BUSY_LIMIT", 0.0)
    with pytest.raises(cinder_errors.DeviceIsBusy, match="pid 7"):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id)[0] == "available"
    assert node.backend.busy_since == {}


def test_a_volume_that_its_snapshots_need_is_given_back_at_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_id = busy(node, cinder_errors.VolumeIsBusy, monkeypatch)
    with pytest.raises(cinder_errors.VolumeIsBusy):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id)[0] == "available"


def test_a_failing_driver_means_error_deleting(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_deleting", volume_id)
    node.driver.broken = "input/output error"
    with pytest.raises(errors.BackendError, match="input/output error"):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id)[0] == "error_deleting"


def test_a_dead_target_daemon_leaves_it_deleting_for_the_next_try(node: Node) -> None:
    volume_id = node.available()
    attachment_id = node.reserved(volume_id)
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment_id, CONNECTOR)
    with node.database.connection() as conn:
        conn.execute(volumes.TABLE.update().where(volumes.TABLE.c.id == volume_id).values(status="deleting"))
    node.target.down = "killed"
    with pytest.raises(errors.Unavailable):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id)[0] == "deleting"


def test_a_volume_that_was_never_exported_needs_no_target_daemon(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_deleting", volume_id)
    node.target.down = "killed"
    delete.delete_volume(node.backend, node.ctx, volume_id)
    assert node.driver.volumes == {}
