"""A killed daemon, a restarted target, a lost message: looking at the rows is enough to go on."""

from __future__ import annotations

import pytest

from cinder_lite.db import attachments, resets, services, volumes
from cinder_lite.targets import base as targets
from cinder_lite.volume import connections, recovery, reports
from lite_common import errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node


def attached(node: Node) -> str:
    volume_id = node.available()
    attachment_id = node.reserved(volume_id)
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment_id, CONNECTOR)
    assert attachments.complete(node.database, attachment_id, None)
    return volume_id


def can_login(node: Node, volume_id: str) -> bool:
    volume = node.found(volume_id).volume
    location, auth = str(volume.provider_location), targets.Auth.parse(str(volume.provider_auth))
    done = node.target.login(location, auth, CONNECTOR["initiator"])
    node.target.logout(location, CONNECTOR["initiator"])
    return done


def test_exports_come_back_after_the_target_was_restarted(node: Node) -> None:
    volume_ids = [attached(node) for _ in range(3)]
    recovery.watch_target(node.backend)
    node.target.restart()
    assert not can_login(node, volume_ids[0])
    recovery.watch_target(node.backend)
    assert all(can_login(node, volume_id) for volume_id in volume_ids)
    assert node.backend.generation == node.target.generation()


def test_an_attach_under_way_is_restored_too(node: Node) -> None:
    volume_id = node.available()
    connections.attachment_update(node.backend, node.ctx, volume_id, node.reserved(volume_id), CONNECTOR)
    node.target.restart()
    recovery.watch_target(node.backend)
    assert can_login(node, volume_id)


def test_the_setup_removes_exports_that_nobody_asks_for(node: Node) -> None:
    kept = attached(node)
    volume_id = node.available()
    node.reserved(volume_id)
    # Killed between the export and the transaction: the row is still reserved and the login is unknown.
    node.target.ensure_export(f"volume-{volume_id}", "/x", targets.Auth.generate())
    node.target.ensure_export("volume-of-a-row-that-is-gone", "/x", targets.Auth.generate())
    node.backend.ready.clear()
    assert recovery.set_up(node.backend)
    assert node.target.exported() == {f"volume-{kept}"}
    assert node.backend.ready.is_set()


def test_an_export_that_cannot_be_removed_does_not_stop_the_backend(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lite_common import errors

    kept = attached(node)
    node.target.ensure_export("volume-of-a-row-that-is-gone", "/x", targets.Auth.generate())

    def broken(name: str, location: str | None) -> None:
        raise errors.BackendError("the kernel said no")

    monkeypatch.setattr(node.target, "remove_export", broken)
    node.backend.ready.clear()
    assert recovery.set_up(node.backend)
    assert can_login(node, kept)


def test_the_timer_removes_an_export_only_at_the_second_look(node: Node) -> None:
    volume_id = node.available()
    node.target.ensure_export(f"volume-{volume_id}", "/x", targets.Auth.generate())
    recovery.drop_unneeded_exports(node.backend)
    assert node.target.exported() == {f"volume-{volume_id}"}
    recovery.drop_unneeded_exports(node.backend)
    assert node.target.exported() == set()


def test_a_backend_that_cannot_be_set_up_says_why_and_recovers(node: Node) -> None:
    node.backend.ready.clear()
    node.driver.broken = "not mounted"
    assert not recovery.set_up(node.backend)
    assert "not mounted" in node.backend.trouble
    node.driver.broken = ""
    node.target.down = "killed"
    assert not recovery.set_up(node.backend)
    assert "killed" in node.backend.trouble
    node.target.down = ""
    assert recovery.set_up(node.backend)


def test_a_dead_target_is_survived_by_the_watch(node: Node) -> None:
    attached(node)
    node.target.down = "killed"
    recovery.watch_target(node.backend)
    assert "killed" in node.backend.trouble
    node.target.down = ""
    node.target.restart()
    recovery.watch_target(node.backend)
    assert node.backend.trouble == ""
    assert node.backend.generation == node.target.generation()


def test_an_attached_volume_that_cannot_be_exported_goes_to_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:

    volume_id, other = attached(node), attached(node)
    ensure = node.target.ensure_export

    def broken(name: str, *rest: object, **named: object) -> str:
        if name == f"volume-{volume_id}":
            raise errors.BackendError("the file is gone")
        return ensure(name, *rest, **named)  # type: ignore[arg-type] - passed on

    node.target.restart()
    monkeypatch.setattr(node.target, "ensure_export", broken)
    recovery.watch_target(node.backend)
    assert node.state(volume_id)[0] == "error"
    assert node.state(other)[0] == "in-use"
    assert can_login(node, other)


def test_unfinished_work_is_taken_up(node: Node) -> None:
    creating, deleting = node.creating(), node.available()
    node.move("begin_deleting", deleting)
    recovery.resume(node.backend, node.scheduler)
    assert node.state(creating)[0] == "creating"
    recovery.resume(node.backend, node.scheduler, untouched_for=0)
    assert node.state(creating)[0] == "available"
    assert set(node.driver.volumes) == {f"volume-{creating}"}


def test_another_backends_work_is_not_taken_up(node: Node) -> None:
    volume_id = node.creating()
    with node.database.connection() as conn:
        volumes.update(conn, volume_id, host="host1@fake2#pool")
    recovery.resume(node.backend, node.scheduler, untouched_for=0)
    assert node.state(volume_id)[0] == "creating"


def test_one_failure_does_not_stop_the_others(node: Node) -> None:
    first, second = node.creating(), node.creating()
    node.driver.volumes[f"volume-{first}"] = 99
    recovery.resume(node.backend, node.scheduler, untouched_for=0)
    assert {node.state(first)[0], node.state(second)[0]} == {"error", "available"}


def test_reports_tell_what_the_scheduler_needs(node: Node) -> None:
    node.available()
    reports.publish(node.backend, node.scheduler)
    ((host, told),) = node.scheduler.reports
    assert host == "host1@fake"
    assert told["storage_protocol"] == "iSCSI"
    (pool,) = told["pools"]
    assert pool["allocated_capacity_gb"] == 1
    assert pool["provisioned_capacity_gb"] == 1
    assert pool["total_capacity_gb"] == 100
    assert pool["pool_name"] == "pool"


def test_a_backend_that_is_not_ready_is_silent(node: Node) -> None:
    node.backend.ready.clear()
    reports.publish(node.backend, node.scheduler)
    reports.beat(node.backend)
    assert node.scheduler.reports == []
    with node.database.connection() as conn:
        assert services.listed(conn, binary=reports.BINARY) == []
    node.backend.ready.set()
    reports.beat(node.backend)
    with node.database.connection() as conn:
        assert [one.host for one in services.listed(conn, binary=reports.BINARY)] == ["host1@fake"]


def test_work_that_goes_on_for_long_is_not_taken_up_twice(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    volume_id = node.creating()
    with node.backend.locks.hold(volume_id, "create_volume"):
        recovery.resume(node.backend, node.scheduler, untouched_for=-1)
        assert node.state(volume_id)[0] == "creating"
    assert "taking it up" not in caplog.text
    recovery.resume(node.backend, node.scheduler, untouched_for=-1)
    assert node.state(volume_id)[0] == "available"


def test_a_volume_that_is_lost_does_not_keep_the_others_from_their_hosts(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost, kept = attached(node), attached(node)

    def ensure_path(name: str) -> str:
        if name == f"volume-{lost}":
            raise errors.BackendError("There is no such logical volume.")
        return node.driver.local_path(name)

    monkeypatch.setattr(node.driver, "ensure_path", ensure_path)
    node.target.restart()
    recovery.watch_target(node.backend)
    assert f"volume-{kept}" in node.target.exported()
    assert "no such logical volume" in caplog.text


def test_storage_that_is_down_makes_the_restoring_wait(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    attached(node)

    def ensure_path(name: str) -> str:
        raise errors.Unavailable("there is no volume group vg")

    monkeypatch.setattr(node.driver, "ensure_path", ensure_path)
    node.backend.ready.clear()
    assert not recovery.set_up(node.backend)
    assert "no volume group" in node.backend.trouble


def test_the_timer_removes_what_a_reset_left_exported(node: Node) -> None:
    volume_id = node.available()
    attachment = node.reserved(volume_id)
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment, CONNECTOR)
    resets.reset(node.database, volume_id, {"status": "available", "attach_status": "detached"})
    assert node.target.exported() == {f"volume-{volume_id}"}
    for _ in range(2):
        recovery.drop_unneeded_exports(node.backend)
    assert node.target.exported() == set()
