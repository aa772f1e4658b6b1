"""What users are told of extends and snapshots that failed, and what a reset makes of a change under way."""

from __future__ import annotations

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import messages, paging, resets
from cinder_lite.volume import change_work, snapshot_work
from lite_common import errors
from tests.unit.cinder_lite.volume.conftest import Node
from tests.unit.cinder_lite.volume.test_change_work import NOTHING, extending, gigabytes, row
from tests.unit.cinder_lite.volume.test_snapshot_work import made, move, wanted


def told(node: Node) -> list[tuple[str, str | None]]:
    with node.database.connection() as conn:
        found = messages.page(conn, "demo", paging.Matches(), paging.Page(limit=10))
    return [(one.event_id, one.resource_uuid) for one in found]


def test_an_extend_that_the_driver_could_not_do(node: Node) -> None:
    volume_id = node.available()
    extending(node, volume_id)
    node.driver.broken = "full"
    with pytest.raises(errors.BackendError):
        change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert node.state(volume_id)[0] == "error_extending"
    assert told(node) == [("VOLUME_VOLUME_007_010", volume_id)]


def test_a_snapshot_that_could_not_be_made(node: Node) -> None:
    snapshot_id = wanted(node, node.available())
    node.driver.broken = "full"
    with pytest.raises(errors.BackendError):
        snapshot_work.create_snapshot(node.backend, node.ctx, snapshot_id)
    assert told(node) == [("VOLUME_VOLUME_SNAPSHOT_009_013", snapshot_id)]


@pytest.mark.parametrize("busy", [True, False])
def test_a_snapshot_that_could_not_be_deleted(node: Node, monkeypatch: pytest.MonkeyPatch, busy: bool) -> None:
    snapshot_id = made(node, node.available())
    move(node, "begin_deleting", snapshot_id)

    def fail(name: str) -> None:
        raise cinder_errors.VolumeIsBusy(volume_id=name, reason="x") if busy else errors.BackendError("x")

    monkeypatch.setattr(node.driver, "delete_snapshot", fail)
    with pytest.raises(errors.LiteError):
        snapshot_work.delete_snapshot(node.backend, node.ctx, snapshot_id)
    assert told(node) == [(f"VOLUME_VOLUME_SNAPSHOT_010_01{5 if busy else 6}", snapshot_id)]


def test_a_reset_gives_up_the_size_that_was_on_its_way(node: Node) -> None:
    volume_id = node.available()
    extending(node, volume_id, 9)
    assert gigabytes(node) == 9
    resets.reset(node.database, volume_id, {"status": "available"})
    assert row(node, volume_id) == ("available", 1, NOTHING)
    assert gigabytes(node) == 1
    # The message that comes late finds nothing to do.
    change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert node.driver.volumes[f"volume-{volume_id}"] == 1
