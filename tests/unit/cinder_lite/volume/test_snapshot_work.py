"""Snapshots on the backend: made, deleted, alone and with their volume, and what each failure leaves."""

from __future__ import annotations

import uuid

import pytest

from cinder_lite import errors
from cinder_lite.db import quotas, snapshots
from cinder_lite.volume import delete, manager_create, recovery, snapshot_work
from lite_common import db
from lite_common import errors as common_errors
from tests.unit.cinder_lite.volume.conftest import Node


def wanted(node: Node, volume_id: str) -> str:
    """A snapshot of the volume, in state creating."""
    snapshot_id = str(uuid.uuid4())
    row = {
        "id": snapshot_id,
        "volume_id": volume_id,
        "project_id": "demo",
        "volume_size": 1,
        "volume_type_id": node.type_id,
    }
    node.database.run(lambda conn: snapshots.insert(conn, row, {"a": "b"}))
    return snapshot_id


def made(node: Node, volume_id: str) -> str:
    snapshot_id = wanted(node, volume_id)
    snapshot_work.create_snapshot(node.backend, node.ctx, snapshot_id)
    assert status(node, snapshot_id) == "available"
    return snapshot_id


def status(node: Node, snapshot_id: str) -> str:
    with node.database.connection() as conn:
        try:
            return snapshots.get(conn, snapshot_id).status
        except errors.SnapshotNotFound:
            return "gone"


def move(node: Node, name: str, snapshot_id: str) -> None:
    with node.database.connection() as conn:
        assert snapshots.move(conn, name, snapshot_id)


def usage(node: Node) -> dict[str, quotas.Usage]:
    with node.database.connection() as conn:
        return quotas.count(conn, "demo")


def test_made_and_deleted(node: Node) -> None:
    volume_id = node.available()
    snapshot_id = made(node, volume_id)
    assert set(node.driver.snapshots) == {f"snapshot-{snapshot_id}"}
    assert usage(node)["snapshots"].in_use == 1
    assert usage(node)["gigabytes"].in_use == 2
    move(node, "begin_deleting", snapshot_id)
    snapshot_work.delete_snapshot(node.backend, node.ctx, snapshot_id)
    assert status(node, snapshot_id) == "gone"
    assert node.driver.snapshots == {}
    assert "snapshots" not in usage(node)
    with node.database.connection() as conn:
        assert snapshots.METADATA.get(conn, snapshot_id) == {}


def test_a_message_that_comes_twice_or_late(node: Node) -> None:
    snapshot_id = made(node, node.available())
    node.driver.broken = "must not be asked"
    snapshot_work.create_snapshot(node.backend, node.ctx, snapshot_id)
    snapshot_work.delete_snapshot(node.backend, node.ctx, snapshot_id)
    snapshot_work.create_snapshot(node.backend, node.ctx, str(uuid.uuid4()))
    snapshot_work.delete_snapshot(node.backend, node.ctx, str(uuid.uuid4()))
    assert status(node, snapshot_id) == "available"


def test_a_backend_that_fails(node: Node) -> None:
    volume_id = node.available()
    snapshot_id, other = wanted(node, volume_id), made(node, volume_id)
    move(node, "begin_deleting", other)
    node.driver.broken = "it is on fire"
    with pytest.raises(common_errors.BackendError):
        snapshot_work.create_snapshot(node.backend, node.ctx, snapshot_id)
    with pytest.raises(common_errors.BackendError):
        snapshot_work.delete_snapshot(node.backend, node.ctx, other)
    assert (status(node, snapshot_id), status(node, other)) == ("error", "error_deleting")


def test_a_snapshot_in_use_is_kept(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot_id = made(node, node.available())
    move(node, "begin_deleting", snapshot_id)

    def busy(name: str) -> None:
        raise errors.VolumeIsBusy(volume_id=name, reason="somebody reads it.")

    monkeypatch.setattr(node.driver, "delete_snapshot", busy)
    with pytest.raises(errors.VolumeIsBusy):
        snapshot_work.delete_snapshot(node.backend, node.ctx, snapshot_id)
    assert status(node, snapshot_id) == "available"


def test_work_that_was_cut_short_is_done_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_id = node.available()
    half, lost, doomed = wanted(node, volume_id), wanted(node, volume_id), made(node, volume_id)
    move(node, "begin_deleting", doomed)

    def down(snapshot: str, volume: str) -> None:
        raise common_errors.Unavailable("the storage does not answer")

    monkeypatch.setattr(node.driver, "create_snapshot", down)
    with pytest.raises(common_errors.Unavailable):
        snapshot_work.create_snapshot(node.backend, node.ctx, half)
    assert status(node, half) == "creating"
    monkeypatch.undo()
    recovery.resume(node.backend, node.scheduler, untouched_for=3600)
    assert status(node, lost) == "creating"
    recovery.resume(node.backend, node.scheduler, untouched_for=-1)
    assert [status(node, one) for one in (half, lost, doomed)] == ["available", "available", "gone"]


def test_forced_away_while_it_is_being_made(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot_id = wanted(node, node.available())
    create = node.driver.create_snapshot

    def meanwhile(snapshot: str, volume: str) -> None:
        create(snapshot, volume)
        move(node, "force_deleting", snapshot_id)

    monkeypatch.setattr(node.driver, "create_snapshot", meanwhile)
    snapshot_work.create_snapshot(node.backend, node.ctx, snapshot_id)
    assert status(node, snapshot_id) == "deleting"
    snapshot_work.delete_snapshot(node.backend, node.ctx, snapshot_id)
    assert (status(node, snapshot_id), node.driver.snapshots) == ("gone", {})


def test_a_volume_takes_its_snapshots_along(node: Node) -> None:
    volume_id = node.available()
    found = [made(node, volume_id) for _ in range(3)]
    assert not snapshots.begin_deleting_volume(node.database, volume_id, cascade=False)
    assert snapshots.begin_deleting_volume(node.database, volume_id, cascade=True)
    delete.delete_volume(node.backend, node.ctx, volume_id)
    assert [status(node, one) for one in found] == ["gone"] * 3
    assert (node.driver.volumes, node.driver.snapshots) == ({}, {})
    assert usage(node) == {"volumes": quotas.Usage(), "gigabytes": quotas.Usage()}


@pytest.mark.parametrize(
    ("failure", "after"),
    [
        (errors.VolumeIsBusy(volume_id="v", reason="somebody reads it."), "available"),
        (common_errors.BackendError("it is on fire"), "error_deleting"),
        (common_errors.Unavailable("the storage does not answer"), "deleting"),
    ],
)
def test_a_snapshot_that_cannot_go_with_its_volume(
    node: Node, monkeypatch: pytest.MonkeyPatch, failure: common_errors.LiteError, after: str
) -> None:
    volume_id = node.available()
    first, second = made(node, volume_id), made(node, volume_id)
    assert snapshots.begin_deleting_volume(node.database, volume_id, cascade=True)
    remove = node.driver.delete_snapshot

    def fails_at_second(name: str) -> None:
        if name.endswith(second):
            raise failure
        remove(name)

    monkeypatch.setattr(node.driver, "delete_snapshot", fails_at_second)
    with pytest.raises(type(failure)):
        delete.delete_volume(node.backend, node.ctx, volume_id)
    assert (status(node, first), status(node, second)) == ("gone", after)
    assert node.state(volume_id)[0] == after
    monkeypatch.undo()
    if after != "deleting":
        assert snapshots.begin_deleting_volume(node.database, volume_id, cascade=True)
    delete.delete_volume(node.backend, node.ctx, volume_id)
    assert (status(node, second), node.driver.volumes) == ("gone", {})


def test_one_snapshot_that_may_not_go_keeps_all(node: Node) -> None:
    volume_id = node.available()
    first, being_made = made(node, volume_id), wanted(node, volume_id)
    assert not snapshots.begin_deleting_volume(node.database, volume_id, cascade=True)
    assert (status(node, first), status(node, being_made)) == ("available", "creating")
    snapshot_work.create_snapshot(node.backend, node.ctx, being_made)
    with node.database.connection() as conn:
        snapshots.update(conn, being_made, project_id="other")
    assert not snapshots.begin_deleting_volume(node.database, volume_id, cascade=True)
    assert (status(node, first), node.state(volume_id)[0]) == ("available", "available")


@pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
def test_a_volume_from_a_source(node: Node, source: str) -> None:
    origin = node.available()
    found = made(node, origin) if source == "snapshot_id" else origin
    volume_id = node.creating(size=3, **{source: found})
    manager_create.create_volume(node.backend, node.scheduler, node.ctx, volume_id, {}, {})
    assert node.state(volume_id)[0] == "available"
    assert node.driver.volumes[f"volume-{volume_id}"] == 3


@pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
def test_a_source_that_is_gone(node: Node, source: str) -> None:
    volume_id = node.creating(**{source: str(uuid.uuid4())})
    with pytest.raises(common_errors.BackendError):
        manager_create.create_volume(node.backend, node.scheduler, node.ctx, volume_id, {}, {})
    assert node.state(volume_id)[0] == "error"
    assert f"volume-{volume_id}" not in node.driver.volumes


def test_a_source_that_stays_busy_is_waited_for(node: Node) -> None:
    origin = node.available()
    snapshot_id = made(node, origin)
    volume_id = node.creating(snapshot_id=snapshot_id)
    node.backend.locks.timeout = 0.05
    with (
        node.backend.locks.hold(snapshot_id, "another copy"),
        pytest.raises(common_errors.Conflict, match="another copy"),
    ):
        manager_create.create_volume(node.backend, node.scheduler, node.ctx, volume_id, {}, {})
    assert node.state(volume_id)[0] == "creating"
    recovery.resume(node.backend, node.scheduler, untouched_for=-1)
    assert node.state(volume_id)[0] == "available"


def test_the_lists_hold_what_is_there(node: Node) -> None:
    volume_id = node.available()
    snapshot_id = made(node, volume_id)
    with node.database.connection() as conn:
        [found] = snapshots.of_volume(conn, volume_id)
        assert (found.id, found.host, found.progress) == (snapshot_id, node.backend.host, "100%")
        assert snapshots.in_status(conn, "host1@other", "available", older_than=db.utcnow()) == []
        with pytest.raises(ValueError, match="move"):
            snapshots.update(conn, snapshot_id, status="error")
        with pytest.raises(errors.SnapshotNotFound):
            snapshots.update(conn, volume_id, display_name="x")
    assert not snapshots.destroy(node.database, volume_id)
