"""In which states a server takes and gives volumes, and what others are told; the order of the checks before that."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.db import attachments
from tests.unit.nova_lite.compute.conftest import Cloud

ALLOWED = ("active", "paused", "stopped", "resized", "soft-delete", "shelved", "shelved_offloaded")
REFUSED = ("building", "suspended", "rescued", "error", "deleted")
SHELVED = ("shelved", "shelved_offloaded")
ADMIN = context.RequestContext(user_id="admin", project_id="demo", roles=["admin"], is_admin=True)


def test_every_state_is_allowed_or_refused() -> None:
    assert frozenset(ALLOWED) == states.VOLUME_STATES
    assert not set(ALLOWED) & set(REFUSED)


@pytest.mark.parametrize("state", ALLOWED)
def test_attach_is_begun_in(cloud: Cloud, state: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.rpc.queue = []
    cloud.set_server(server, vm_state=state)
    assert cloud.volumes.attach_volume(cloud.ctx, server, volume).device_name == "/dev/vdb"


@pytest.mark.parametrize("state", REFUSED)
@pytest.mark.parametrize("action", ["attach_volume", "detach_volume"])
def test_is_refused_in(cloud: Cloud, action: str, state: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.set_server(server, vm_state=state)
    asked = volume if action == "detach_volume" else cloud.twin.add_volume()
    with pytest.raises(nova_errors.ServerInvalidState) as caught:
        getattr(cloud.volumes, action)(cloud.ctx, server, asked)
    assert caught.value.message == f"Cannot '{action}' instance {server} while it is in vm_state {state}"


@pytest.mark.parametrize("state", SHELVED)
@pytest.mark.parametrize("action", ["attach_volume", "detach_volume"])
def test_older_clients_are_refused_shelved_servers_even_before_locks(cloud: Cloud, action: str, state: str) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.set_server(server, vm_state=state, locked=True)
    with pytest.raises(nova_errors.ServerInvalidState, match=rf"Cannot '{action}' .* in vm_state {state}"):
        getattr(cloud.volumes, action)(cloud.ctx, server, volume, shelved_too=False)


def test_checks_come_in_novas_order(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    wrong = {"vm_state": "error", "task_state": "rebooting", "launched_at": None, "locked": True}
    cloud.set_server(server, **wrong)

    def told(ctx: context.RequestContext = cloud.ctx) -> str:
        with pytest.raises(errors.Conflict) as caught:
            cloud.volumes.attach_volume(ctx, server, volume)
        return caught.value.message

    assert told() == f"Instance {server} is locked"
    assert told(ADMIN) == f"Cannot 'attach_volume' instance {server} while it is in vm_state error"
    cloud.set_server(server, vm_state="active", locked=False)
    assert told() == f"Cannot 'attach_volume' instance {server} while it is in task_state rebooting"
    cloud.set_server(server, task_state=None)
    assert told() == f"Instance {server} is in an invalid state for 'attach_volume'"
    cloud.set_server(server, launched_at=datetime.datetime(2026, 1, 1))
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.assert_attached(server, volume)


def test_swap_is_for_volumes_that_cinder_migrates(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    with pytest.raises(nova_errors.ServerNotFound):
        cloud.volumes.swap_volume(cloud.ctx, "nobody", volume, "other")
    with pytest.raises(nova_errors.VolumeNotFound):
        cloud.volumes.swap_volume(cloud.ctx, server, "00000000-0000-4000-8000-000000000000", "other")
    with pytest.raises(nova_errors.VolumeNotMigrating, match=f"volume {volume} is not migrating"):
        cloud.volumes.swap_volume(cloud.ctx, server, volume, "other")
    cloud.twin.volumes[volume]["migration_status"] = "migrating"
    with pytest.raises(errors.NotImplementedHere):
        cloud.volumes.swap_volume(cloud.ctx, server, volume, "other")


def test_a_page_by_attachment_is_as_long_as_asked(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    volumes = [cloud.twin.add_volume() for _ in range(3)]
    for volume in volumes:
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    first = cloud.devices(server)[0]
    attachments.save_reservation(cloud.database, first, None, 1)

    def listed(**how: Any) -> list[str]:
        return [one.volume_id for one in cloud.volumes.list_attachments(cloud.ctx, server, **how)]

    assert listed(limit=2) == volumes[:2]
    assert listed(limit=2, by_attachment=True) == volumes[1:]
    assert listed(limit=2, offset=1, by_attachment=True) == volumes[2:]
