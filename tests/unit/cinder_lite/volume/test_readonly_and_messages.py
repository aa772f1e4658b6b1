"""cinder-volume: a read-only volume is connected for reading, and what fails there is told to the user."""

from __future__ import annotations

import uuid

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.db import admin_metadata, messages, paging
from cinder_lite.volume import connections, manager_create
from cinder_lite.volume import legacy_connections as legacy
from lite_common import context, errors
from tests.unit.cinder_lite.volume.conftest import CONNECTOR, Node

SERVER = str(uuid.uuid4())


def told(node: Node) -> list[str]:
    with node.database.connection() as conn:
        found = messages.page(conn, "demo", paging.Matches(), paging.Page(limit=10))
    return [one.event_id for one in found]


def readonly(node: Node, volume_id: str) -> None:
    assert admin_metadata.set_readonly(node.database, volume_id, None, True)


@pytest.mark.parametrize("asked", [None, "rw", "ro"])
def test_the_attachments_flow_of_a_readonly_volume(node: Node, asked: str | None) -> None:
    volume_id = node.available()
    readonly(node, volume_id)
    attachment = node.reserved(volume_id, mode=asked)
    info = connections.attachment_update(node.backend, node.ctx, volume_id, attachment, CONNECTOR | {"mode": "rw"})
    assert info["access_mode"] == "ro"
    stored = node.found(volume_id).attachment(attachment)
    assert stored is not None
    assert (stored.attach_mode, stored.connection_info) == ("ro", info)


def test_the_older_flow_of_a_readonly_volume(node: Node) -> None:
    volume_id = node.available()
    readonly(node, volume_id)
    info = legacy.initialize_connection(node.backend, node.ctx, volume_id, CONNECTOR)
    assert info["data"]["access_mode"] == "ro"
    with pytest.raises(cinder_errors.InvalidVolumeAttachMode, match="Invalid attaching mode 'rw'"):
        legacy.attach_volume(node.backend, node.ctx, volume_id, SERVER, None, "/dev/vdb", "rw")
    assert node.state(volume_id) == ("available", "detached")
    assert told(node) == ["VOLUME_VOLUME_002_005"]
    legacy.attach_volume(node.backend, node.ctx, volume_id, SERVER, None, "/dev/vdb", "ro")
    assert node.state(volume_id) == ("in-use", "attached")


def test_only_an_available_volume_becomes_readonly(node: Node) -> None:
    volume_id = node.available()
    node.move("begin_attaching", volume_id)
    assert not admin_metadata.set_readonly(node.database, volume_id, None, True)
    assert not node.found(volume_id).read_only


def test_a_driver_that_fails_to_create(node: Node) -> None:
    volume_id = node.creating()
    node.driver.broken = "no space left"
    with pytest.raises(errors.BackendError):
        manager_create.create_volume(node.backend, node.scheduler, node.ctx, volume_id, {}, {})
    assert node.state(volume_id)[0] == "error"
    assert told(node) == ["VOLUME_VOLUME_008_012"]


def test_a_volume_that_another_backend_may_take_has_no_message(node: Node) -> None:
    volume_id = node.creating()
    node.driver.broken = "no space left"
    properties = {"retry": {"num_attempts": 1, "backends": [], "hosts": [], "exc": []}}
    manager_create.create_volume(node.backend, node.scheduler, node.ctx, volume_id, {"a": 1}, properties)
    assert node.state(volume_id)[0] == "creating"
    assert told(node) == []


def test_a_backend_that_is_not_ready(node: Node) -> None:
    volume_id = node.available()
    attachment = node.reserved(volume_id)
    node.backend.ready.clear()
    ctx = context.RequestContext(user_id="ann", project_id="demo", request_id="req-7", overwrite=False)
    with pytest.raises(cinder_errors.DriverNotInitialized):
        connections.attachment_update(node.backend, ctx, volume_id, attachment, CONNECTOR)
    with node.database.connection() as conn:
        [one] = messages.page(conn, "demo", paging.Matches(), paging.Page(limit=10))
    assert (one.event_id, one.resource_uuid, one.request_id) == ("VOLUME_VOLUME_004_002", volume_id, "req-7")


def test_a_refusal_is_its_own_message(node: Node) -> None:
    volume_id = node.available()
    legacy.attach_volume(node.backend, node.ctx, volume_id, SERVER, None, "/dev/vdb", "rw")
    with pytest.raises(cinder_errors.InvalidVolume):
        legacy.attach_volume(node.backend, node.ctx, volume_id, str(uuid.uuid4()), None, "/dev/vdb", "rw")
    with pytest.raises(errors.NotFound):
        connections.attachment_update(node.backend, node.ctx, volume_id, str(uuid.uuid4()), CONNECTOR)
    assert told(node) == []
