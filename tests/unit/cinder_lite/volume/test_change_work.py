"""A volume gets the size or type its row says; the servers that have it are told; nothing stays half done."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cinder_lite import errors, states
from cinder_lite.db import attachments, changes, quotas, types, volumes
from cinder_lite.volume import change_work, connections, recovery
from lite_common import context
from lite_common import errors as common_errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node


class ComputeTwin:
    """The compute API; raises `failure` if there is one."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.contexts: list[context.RequestContext] = []
        self.failure: common_errors.LiteError | None = None

    def volume_extended(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> None:
        self.told.append((server_id, volume_id))
        self.contexts.append(ctx)
        if self.failure:
            raise self.failure


@pytest.fixture
def compute(node: Node) -> ComputeTwin:
    node.backend.compute = ComputeTwin()
    return node.backend.compute


def attached(node: Node, server: str) -> str:
    volume_id = node.available()
    attachment_id = node.reserved(volume_id, server)
    connections.attachment_update(node.backend, node.ctx, volume_id, attachment_id, CONNECTOR)
    assert attachments.complete(node.database, attachment_id, None)
    return volume_id


def extending(node: Node, volume_id: str, size: int = 3) -> None:
    with node.database.connection() as conn:
        assert changes.begin_extending(conn, volume_id, size, attached=True)


def row(node: Node, volume_id: str) -> tuple[str, int, changes.Pending]:
    with node.database.connection() as conn:
        volume = volumes.get(conn, volume_id)
        return volume.status, volume.size, changes.pending(conn, volume_id)


NOTHING = changes.Pending(None, None)


def gigabytes(node: Node) -> int:
    with node.database.connection() as conn:
        return quotas.count(conn, "demo")["gigabytes"].in_use


def test_an_available_volume(node: Node, compute: ComputeTwin) -> None:
    volume_id = node.available()
    extending(node, volume_id)
    assert gigabytes(node) == 3
    change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert row(node, volume_id) == ("available", 3, NOTHING)
    assert node.driver.volumes[f"volume-{volume_id}"] == 3
    assert gigabytes(node) == 3
    assert compute.told == []


def test_an_attached_volume_and_its_server(node: Node, compute: ComputeTwin) -> None:
    server = str(uuid.uuid4())
    volume_id = attached(node, server)
    extending(node, volume_id)
    asked = context.RequestContext(user_id="ann", project_id="demo", overwrite=False)
    change_work.extend_volume(node.backend, asked, volume_id)
    assert row(node, volume_id) == ("in-use", 3, NOTHING)
    assert compute.told == [(server, volume_id)]
    [told_as] = compute.contexts
    assert told_as.is_admin
    assert told_as.global_request_id == asked.request_id


def test_a_server_that_cannot_be_told_changes_nothing(node: Node, compute: ComputeTwin) -> None:
    volume_id = attached(node, str(uuid.uuid4()))
    extending(node, volume_id)
    compute.failure = common_errors.Unavailable("compute cannot be reached")
    change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert row(node, volume_id) == ("in-use", 3, NOTHING)


def test_a_target_that_cannot_show_it_changes_nothing(
    node: Node, compute: ComputeTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = attached(node, str(uuid.uuid4()))
    extending(node, volume_id)
    asked: list[Any] = []

    def refuse(*arguments: Any) -> None:
        asked.append(arguments)
        raise common_errors.BackendError("somebody is logged in")

    monkeypatch.setattr(node.target, "extend_target", refuse)
    change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert asked == [(f"volume-{volume_id}", f"/dev/fake/volume-{volume_id}")]
    assert row(node, volume_id) == ("in-use", 3, NOTHING)
    assert len(compute.told) == 1


def test_a_target_that_is_in_use_shows_it_later(
    node: Node, compute: ComputeTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = attached(node, str(uuid.uuid4()))
    extending(node, volume_id)
    asked: list[str] = []
    answers: list[Exception | None] = [
        errors.VolumeIsBusy(volume_id=volume_id, reason="a guest is logged in"),
        errors.VolumeIsBusy(volume_id=volume_id, reason="a guest is logged in"),
        None,
    ]

    def extend_target(name: str, path: str) -> None:
        asked.append(name)
        if failure := answers.pop(0):
            raise failure

    monkeypatch.setattr(node.target, "extend_target", extend_target)
    change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert row(node, volume_id) == ("in-use", 3, NOTHING)
    node.backend.generation = node.target.generation()
    for _ in range(4):
        recovery.watch_target(node.backend)
    assert asked == [f"volume-{volume_id}"] * 3
    assert node.backend.ungrown == set()


def test_a_driver_that_fails(node: Node, compute: ComputeTwin) -> None:
    volume_id = attached(node, str(uuid.uuid4()))
    extending(node, volume_id)
    node.driver.broken = "it is on fire"
    with pytest.raises(common_errors.BackendError):
        change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert row(node, volume_id) == ("error_extending", 1, NOTHING)
    assert gigabytes(node) == 1
    assert compute.told == []


def test_detached_while_it_grows(node: Node, compute: ComputeTwin) -> None:
    """cinder-api removes the row without asking the backend; the volume stays extending and ends available."""
    volume_id = attached(node, str(uuid.uuid4()))
    extending(node, volume_id)
    [found] = node.found(volume_id).attachments
    attachments.remove(node.database, volume_id, found.id)
    assert node.state(volume_id) == (states.EXTENDING, "detached")
    change_work.extend_volume(node.backend, node.ctx, volume_id)
    assert row(node, volume_id) == ("available", 3, NOTHING)
    assert compute.told == []


def test_messages_that_come_twice_or_late(node: Node) -> None:
    volume_id = node.available()
    node.driver.broken = "must not be asked"
    for work in (change_work.extend_volume, change_work.retype):
        work(node.backend, node.ctx, volume_id)
        work(node.backend, node.ctx, str(uuid.uuid4()))
    assert row(node, volume_id) == ("available", 1, NOTHING)


def test_a_shrinking_volume_is_not_begun(node: Node) -> None:
    volume_id = node.available()
    with node.database.connection() as conn:
        assert not changes.begin_extending(conn, volume_id, 1, attached=True)
        assert changes.begin_extending(conn, volume_id, 2, attached=False)
        assert not changes.begin_extending(conn, volume_id, 3, attached=False)
    in_use = attached(node, str(uuid.uuid4()))
    with node.database.connection() as conn:
        assert not changes.begin_extending(conn, in_use, 2, attached=False)


def test_what_a_volume_was_on_its_way_to_ends_with_the_state(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it leaves that state: an administrator's reset must not leave a size that quotas would count."""
    volume_id = node.available()
    extending(node, volume_id)
    reset = states.Move("reset", {}, {"status": states.ERROR})
    monkeypatch.setattr(states, "VOLUME", {**states.VOLUME, "reset": reset})
    node.move("reset", volume_id)
    assert row(node, volume_id) == ("error", 1, NOTHING)
    assert gigabytes(node) == 1


def new_type(node: Node, **specs: str) -> str:
    with node.database.connection() as conn:
        return types.insert(conn, f"type-{uuid.uuid4()}", None, True, specs)


def retyping(node: Node, volume_id: str, type_id: str) -> None:
    with node.database.connection() as conn:
        assert changes.begin_retyping(conn, volumes.get(conn, volume_id), type_id)


def test_retype(node: Node) -> None:
    volume_id, type_id = node.available(), new_type(node, multiattach="<is> True")
    retyping(node, volume_id, type_id)
    change_work.retype(node.backend, node.ctx, volume_id)
    with node.database.connection() as conn:
        volume = volumes.get(conn, volume_id)
        counted = quotas.count(conn, "demo")
    assert (volume.status, volume.volume_type_id, volume.multiattach) == ("available", type_id, True)
    assert counted[f"volumes_{volume.volume_type}"].in_use == 1
    assert "volumes___DEFAULT__" not in counted


def test_retype_of_an_attached_volume_to_a_type_that_is_deleted_meanwhile(node: Node) -> None:
    volume_id, type_id = attached(node, str(uuid.uuid4())), new_type(node)
    retyping(node, volume_id, type_id)
    with node.database.connection() as conn:
        types.destroy(conn, type_id)
    with pytest.raises(common_errors.NotFound):
        change_work.retype(node.backend, node.ctx, volume_id)
    assert row(node, volume_id) == ("in-use", 1, NOTHING)


def test_changes_that_were_cut_short_are_done_again(node: Node, compute: ComputeTwin) -> None:
    grown, retyped, type_id = attached(node, "11111111-1111-4111-8111-111111111111"), node.available(), new_type(node)
    extending(node, grown)
    retyping(node, retyped, type_id)
    node.backend.ready.clear()
    with pytest.raises(common_errors.Unavailable):
        change_work.extend_volume(node.backend, node.ctx, grown)
    assert row(node, grown)[0] == "extending"
    node.backend.ready.set()
    recovery.resume(node.backend, node.scheduler, untouched_for=-1)
    assert row(node, grown) == ("in-use", 3, NOTHING)
    assert row(node, retyped) == ("available", 1, NOTHING)
    assert len(compute.told) == 1
