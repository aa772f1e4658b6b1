"""The older flow in cinder-volume: initialize, attach, terminate, detach, and what each leaves behind."""

from __future__ import annotations

import uuid

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import volumes
from cinder_lite.volume import legacy_connections as legacy
from lite_common import errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node

SERVER = str(uuid.uuid4())


def attach(node: Node, volume_id: str, server: str | None = SERVER, host: str | None = None) -> str:
    return legacy.attach_volume(node.backend, node.ctx, volume_id, server, host, "/dev/vdb", "rw")


def test_the_whole_flow(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_attaching", volume_id)
    info = legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    assert info["driver_volume_type"] == "iscsi"
    assert info["data"]["access_mode"] == "rw"
    assert legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR) == info
    attachment_id = attach(node, volume_id)
    assert attach(node, volume_id) == attachment_id
    assert node.state(volume_id) == ("in-use", "attached")
    node.move("begin_detaching", volume_id)
    legacy.terminate_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    assert node.target.exported() == {f"volume-{volume_id}"}
    legacy.detach_volume(node.backend, node.ctx, volume_id, attachment_id)
    assert node.state(volume_id) == ("available", "detached")
    assert node.target.exported() == set()
    assert node.found(volume_id).attachments == ()


def test_an_attach_that_failed_halfway_leaves_no_export(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_attaching", volume_id)
    legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    legacy.terminate_connection(node.backend, node.ctx, volume_id, None)
    assert node.target.exported() == set()


def test_a_volume_is_attached_once(node: Node) -> None:
    volume_id = node.available()
    attach(node, volume_id)
    with pytest.raises(cinder_errors.InvalidVolume, match="in-use"):
        attach(node, volume_id, str(uuid.uuid4()))


def test_detaching_without_any_attachment_frees_the_volume(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_attaching", volume_id)
    legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    legacy.detach_volume(node.backend, node.ctx, volume_id, None)
    assert node.state(volume_id) == ("available", "detached")
    assert node.target.exported() == set()


def test_an_attachment_of_another_volume_is_refused(node: Node) -> None:
    volume_id = node.available()
    attach(node, volume_id)
    with pytest.raises(cinder_errors.InvalidVolume, match="is not one of"):
        legacy.detach_volume(node.backend, node.ctx, volume_id, str(uuid.uuid4()))
    assert node.state(volume_id) == ("in-use", "attached")


def test_several_attachments_need_a_name_and_keep_the_export_to_the_last(node: Node) -> None:
    volume_id = node.available()
    with node.database.connection() as conn:
        volumes.update(conn, volume_id, multiattach=True)
    legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    first, second = attach(node, volume_id), attach(node, volume_id, str(uuid.uuid4()))
    with pytest.raises(cinder_errors.InvalidVolume, match=first):
        legacy.detach_volume(node.backend, node.ctx, volume_id, None)
    legacy.detach_volume(node.backend, node.ctx, volume_id, first)
    assert node.target.exported() == {f"volume-{volume_id}"}
    legacy.detach_volume(node.backend, node.ctx, volume_id, second)
    assert node.target.exported() == set()
    assert node.state(volume_id) == ("available", "detached")


def test_a_dead_target_changes_nothing(node: Node) -> None:
    volume_id = node.available()
    legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    attachment_id = attach(node, volume_id)
    node.target.down = "killed"
    with pytest.raises(errors.Unavailable):
        legacy.detach_volume(node.backend, node.ctx, volume_id, attachment_id)
    assert node.state(volume_id) == ("in-use", "attached")
    with pytest.raises(errors.Unavailable):
        legacy.initialize_connection(node.backend, node.ctx, node.available(), CONNECTOR)
