"""Servers: built, started, stopped, rebooted; where each ends when something fails."""

from __future__ import annotations

import pytest

from lite_common import errors
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.compute.api import NewServer
from nova_lite.db.server_lists import ServerFilters
from nova_lite.flavors import Flavor
from nova_lite.virt import errors as virt_errors
from nova_lite.virt.driver import PowerState
from tests.unit.nova_lite.compute.conftest import HOST, IMAGE_ID, Cloud
from tests.unit.nova_lite.compute.test_attach_together import together

BUS_DOWN = errors.Unavailable("RabbitMQ did not take the message")
START_FAILED = virt_errors.ServerStartFailed(server="s", reason="no memory")


def test_boot(cloud: Cloud) -> None:
    server = cloud.boot(name="Web Server #1", metadata={"a": "b"}, description="d")
    assert (server.vm_state, server.task_state, server.power_state) == (states.ACTIVE, None, PowerState.RUNNING)
    assert server.status == "ACTIVE"
    assert server.launched_at is not None
    assert (server.host, server.hostname, server.root_device_name) == (HOST, "web-server-1", "/dev/vda")
    assert server.instance_name == f"instance-{server.id:08x}"
    assert (server.memory_mb, server.flavor["name"], server.instance_metadata) == (128, "m1.nano", {"a": "b"})
    assert cloud.virt.power_state(server.uuid) == PowerState.RUNNING


def test_build_that_fails_leaves_a_server_in_error_with_the_reason(cloud: Cloud) -> None:
    cloud.virt.faults["spawn"] = [START_FAILED]
    server = cloud.boot()
    assert server.status == "ERROR"
    assert cloud.faults(server.uuid) == [(500, "Server s could not be started: no memory")]
    assert cloud.api.faults_of([server.uuid])[server.uuid].message.endswith("no memory")
    cloud.api.delete_server(cloud.ctx, server.uuid)
    assert cloud.server(server.uuid).status == "DELETED"


def test_create_without_a_host_or_a_bus_leaves_nothing(cloud: Cloud) -> None:
    cloud.rpc.casts_fail = BUS_DOWN
    with pytest.raises(errors.Unavailable, match="RabbitMQ"):
        cloud.boot()
    cloud.silence()
    with pytest.raises(nova_errors.NoValidHost, match="No valid host was found"):
        cloud.boot()
    assert cloud.api.list_servers(cloud.ctx, ServerFilters()) == []


def test_a_host_that_nobody_knows_is_the_requests_fault(cloud: Cloud) -> None:
    image, flavor = cloud.images.get(IMAGE_ID), Flavor("42", "m1.nano", 128, 1)
    with pytest.raises(errors.Invalid, match=r"Compute host elsewhere could not be found\."):
        cloud.api.create_server(cloud.ctx, NewServer("n", flavor, image, host="elsewhere"))
    assert cloud.api.list_servers(cloud.ctx, ServerFilters()) == []


def test_flavor_that_is_too_small(cloud: Cloud) -> None:
    with pytest.raises(nova_errors.FlavorTooSmall, match="memory is too small for requested image"):
        cloud.boot(flavor=Flavor("0", "none", 32, 1))


def test_the_emptier_host_gets_the_server(cloud: Cloud) -> None:
    cloud.rpc.queue = []
    image, flavor = cloud.images.get(IMAGE_ID), Flavor("42", "m1.nano", 128, 1)
    cloud.report("host2")
    cloud.rpc._cast = lambda host, *args, **kwargs: hosts.append(host)  # type: ignore[method-assign]
    hosts: list[str] = []
    for _ in range(4):
        cloud.api.create_server(cloud.ctx, NewServer("n", flavor, image))
    cloud.api.create_server(cloud.ctx, NewServer("n", flavor, image, host="host2"))
    assert sorted(hosts[:4]) == [HOST, HOST, "host2", "host2"]
    assert hosts[4] == "host2"


@pytest.mark.parametrize(
    ("operation", "arguments", "before", "after", "power"),
    [
        ("stop", {}, states.ACTIVE, states.STOPPED, PowerState.SHUTDOWN),
        ("start", {}, states.STOPPED, states.ACTIVE, PowerState.RUNNING),
        ("pause", {}, states.ACTIVE, states.PAUSED, PowerState.PAUSED),
        ("unpause", {}, states.PAUSED, states.ACTIVE, PowerState.RUNNING),
        ("reboot", {"hard": False}, states.ACTIVE, states.ACTIVE, PowerState.RUNNING),
        ("reboot", {"hard": True}, states.PAUSED, states.ACTIVE, PowerState.RUNNING),
        ("reboot", {"hard": True}, states.STOPPED, states.ACTIVE, PowerState.RUNNING),
    ],
)
def test_power(
    cloud: Cloud, operation: str, arguments: dict[str, bool], before: str, after: str, power: PowerState
) -> None:
    server = booted_into(cloud, before)
    getattr(cloud.api, operation)(cloud.ctx, server, **arguments)
    now = cloud.server(server)
    assert (now.vm_state, now.task_state, now.power_state) == (after, None, power)
    assert cloud.virt.power_state(server) == power


def booted_into(cloud: Cloud, state: str) -> str:
    server = cloud.boot().uuid
    if state == states.STOPPED:
        cloud.api.stop(cloud.ctx, server)
    elif state == states.PAUSED:
        cloud.api.pause(cloud.ctx, server)
    assert cloud.server(server).vm_state == state
    return server


@pytest.mark.parametrize(
    ("operation", "state", "action"),
    [
        ("start", states.ACTIVE, "start"),
        ("stop", states.STOPPED, "stop"),
        ("pause", states.STOPPED, "pause"),
        ("unpause", states.ACTIVE, "unpause"),
    ],
)
def test_power_in_the_wrong_state(cloud: Cloud, operation: str, state: str, action: str) -> None:
    server = booted_into(cloud, state)
    with pytest.raises(nova_errors.ServerInvalidState) as caught:
        getattr(cloud.api, operation)(cloud.ctx, server)
    assert caught.value.message == f"Cannot '{action}' instance {server} while it is in vm_state {state}"
    assert cloud.server(server).vm_state == state


def test_power_while_the_host_or_the_bus_is_down_changes_nothing(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    cloud.rpc.casts_fail = BUS_DOWN
    with pytest.raises(errors.Unavailable):
        cloud.api.stop(cloud.ctx, server)
    cloud.silence()
    with pytest.raises(nova_errors.HostDown):
        cloud.api.stop(cloud.ctx, server)
    assert cloud.server(server).state_columns == {"vm_state": states.ACTIVE, "task_state": None}


@pytest.mark.parametrize(
    ("operation", "before", "fault", "after"),
    [
        ("start", states.STOPPED, "power_on", states.STOPPED),
        ("stop", states.ACTIVE, "power_off", states.ACTIVE),
        ("pause", states.ACTIVE, "pause", states.ACTIVE),
        ("unpause", states.PAUSED, "unpause", states.PAUSED),
    ],
)
def test_power_that_the_hypervisor_refuses(cloud: Cloud, operation: str, before: str, fault: str, after: str) -> None:
    server = booted_into(cloud, before)
    cloud.virt.faults[fault] = [START_FAILED]
    getattr(cloud.api, operation)(cloud.ctx, server)
    assert cloud.server(server).state_columns == {"vm_state": after, "task_state": None}
    assert len(cloud.faults(server)) == 1


@pytest.mark.parametrize(("runs", "after"), [(True, states.ACTIVE), (False, states.ERROR)])
def test_reboot_that_fails(cloud: Cloud, runs: bool, after: str) -> None:
    server = cloud.boot().uuid
    cloud.virt.faults["reboot"] = [START_FAILED]
    if not runs:
        cloud.virt.power_off(server, 0)
    cloud.api.reboot(cloud.ctx, server, hard=True)
    assert cloud.server(server).state_columns == {"vm_state": after, "task_state": None}


def test_two_requests_at_the_same_moment_one_wins(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    cloud.rpc.queue = []
    results = together(lambda: cloud.api.stop(cloud.ctx, server), lambda: cloud.api.pause(cloud.ctx, server))
    assert [type(result) for result in results if result] == [nova_errors.ServerInvalidState]
    assert len(cloud.rpc.queue) == 1


def test_messages_that_come_twice_or_late_do_nothing(cloud: Cloud) -> None:
    server = cloud.boot().uuid
    for operation in ("build_server", "start_server", "stop_server", "pause_server", "unpause_server"):
        getattr(cloud.rpc.manager, operation)(cloud.ctx, server)
    cloud.rpc.manager.reboot_server(cloud.ctx, server, hard=True)
    assert cloud.server(server).state_columns == {"vm_state": states.ACTIVE, "task_state": None}
    assert cloud.api.console_output(cloud.ctx, server, None).count("started") == 1


def test_start_asks_for_connections_anew(cloud: Cloud) -> None:
    server, new, old = cloud.boot().uuid, cloud.twin.add_volume(), cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, new)
    cloud.legacy()
    cloud.volumes.attach_volume(cloud.ctx, server, old)
    cloud.api.stop(cloud.ctx, server)
    for attachment in cloud.twin.attachments.values():
        attachment["info"]["target_portal"] = "10.0.0.9:3260"
    given = []
    power_on = cloud.virt.power_on
    cloud.virt.power_on = lambda spec: (given.append(spec), power_on(spec))[1]  # type: ignore[method-assign]
    cloud.twin.calls.clear()
    cloud.api.start(cloud.ctx, server)
    assert cloud.twin.calls == ["GET attachments", "os-initialize_connection"]
    disks = {disk.volume_id: disk for disk in given[0].volumes}
    assert disks[new].connection_info["data"]["target_portal"] == "10.0.0.9:3260"
    assert disks[new].connection_info["data"]["auth_password"]
    stored = {device.volume_id: device.connection_info for device in cloud.devices(server)}
    assert stored[new]["data"]["target_portal"] == "10.0.0.9:3260"  # type: ignore[index]
    assert "auth_password" not in stored[new]["data"]  # type: ignore[index]
    assert cloud.disks(server).live == {new, old}
    assert cloud.connector.connected == {new, old}


def test_a_stopped_server_leaves_nothing_connected(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.api.stop(cloud.ctx, server)
    assert cloud.connector.connected == frozenset()
    assert cloud.disks(server).stored == {volume}
    cloud.api.start(cloud.ctx, server)
    assert cloud.connector.connected == {volume}


@pytest.mark.parametrize("runs", [True, False])
def test_a_reboot_that_fails_takes_no_volume_from_a_guest_that_runs(cloud: Cloud, runs: bool) -> None:
    server, first, second = cloud.boot().uuid, cloud.twin.add_volume(), cloud.twin.add_volume()
    for volume in (first, second):
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    if not runs:
        cloud.virt.power_off(server, 0)
    connect = cloud.connector.connect_volume

    def only_the_first(info: dict[str, object]) -> dict[str, object]:
        if info["serial"] == second:
            raise virt_errors.PortalUnreachable(portal="p", iqn="i", reason="dead")
        return connect(info)

    cloud.connector.connect_volume = only_the_first  # type: ignore[method-assign]
    cloud.api.reboot(cloud.ctx, server, hard=True)
    assert cloud.server(server).vm_state == (states.ACTIVE if runs else states.ERROR)
    assert cloud.connector.connected == ({first, second} if runs else frozenset())


def test_a_connection_that_has_moved_is_ended_after_the_start(cloud: Cloud) -> None:
    server, volume = cloud.boot().uuid, cloud.twin.add_volume()
    cloud.volumes.attach_volume(cloud.ctx, server, volume)
    ended = []
    disconnect = cloud.connector.disconnect_volume
    cloud.connector.disconnect_volume = (  # type: ignore[method-assign]
        lambda info, force=False: (ended.append((info["data"]["target_portal"], force)), disconnect(info, force))[1]
    )
    cloud.api.reboot(cloud.ctx, server, hard=True)
    assert ended == []
    before = cloud.devices(server)[0].connection_info["data"]["target_portal"]  # type: ignore[index]
    for attachment in cloud.twin.attachments.values():
        attachment["info"]["target_portal"] = "10.0.0.9:3260"
    cloud.api.reboot(cloud.ctx, server, hard=True)
    assert ended == [(before, True)]
    assert cloud.connector.connected == {volume}


def test_start_with_a_volume_that_cannot_be_reached(cloud: Cloud) -> None:
    server, first, second = cloud.boot().uuid, cloud.twin.add_volume(), cloud.twin.add_volume()
    for volume in (first, second):
        cloud.volumes.attach_volume(cloud.ctx, server, volume)
    cloud.api.stop(cloud.ctx, server)
    cloud.twin.faults["GET attachments"] = [errors.Unavailable("cinder is down")]
    cloud.api.start(cloud.ctx, server)
    assert cloud.server(server).state_columns == {"vm_state": states.STOPPED, "task_state": None}
    assert "cinder is down" in cloud.faults(server)[0][1]
    cloud.api.start(cloud.ctx, server)
    assert cloud.server(server).vm_state == states.ACTIVE
