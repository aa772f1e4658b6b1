"""A volume is available in Cinder a moment before nova-compute has released its row; an attach then must not fail."""

import threading
import uuid

import pytest

from nova_lite import errors as nova_errors
from nova_lite.compute import attach_api
from nova_lite.db import attachments
from tests.unit.nova_lite.compute.conftest import Cloud


def leave_row(cloud: Cloud, server: str, volume: str) -> attachments.BlockDevice:
    """What a detach leaves between its last word to Cinder and the release of its row."""
    return attachments.reserve(
        cloud.database,
        uuid=str(uuid.uuid4()),
        server_id=server,
        volume_id=volume,
        device_name="/dev/vdb",
        tag=None,
        delete_on_termination=False,
        disk_bus=None,
    )


def test_a_row_that_is_about_to_go_is_awaited(cloud: Cloud) -> None:
    server, volume = cloud.boot(), cloud.twin.add_volume()
    left = leave_row(cloud, server.uuid, volume)
    timer = threading.Timer(0.2, attachments.release, (cloud.database, left.uuid))
    timer.start()
    cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
    timer.join()
    cloud.assert_attached(server.uuid, volume)


def test_a_row_that_stays_is_a_refusal(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach_api, "RELEASE_WAIT", 0.1)
    server, volume = cloud.boot(), cloud.twin.add_volume()
    leave_row(cloud, server.uuid, volume)
    with pytest.raises(nova_errors.InvalidVolume, match="already attached to instances"):
        cloud.volumes.attach_volume(cloud.ctx, server.uuid, volume)
