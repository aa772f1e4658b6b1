"""Stock clients and what they do with servers beside attaching: locks, history, tags, properties, hosts, limits."""

import contextlib
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions

from tests.fixtures import stack as stack_fixture
from tests.functional import test_compute_clients as clients

WAIT = clients.WAIT


@pytest.fixture(scope="module")
def connection(stack: stack_fixture.FunctionalStack) -> Iterator[Any]:
    """openstacksdk, connected."""
    found = openstack.connection.Connection(**clients.cloud_of(stack))
    yield found
    found.close()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, stack: stack_fixture.FunctionalStack) -> clients.Command:
    """openstackclient, configured."""
    return clients.Command(tmp_path_factory.mktemp("server-client"), clients.cloud_of(stack))


def events_of(connection: Any, server: Any, action: str) -> list[tuple[str, str]]:
    """The events of the server's last action of that name, once there are some."""

    def found() -> list[tuple[str, str]]:
        listed = [one for one in connection.compute.server_actions(server) if one.action == action]
        shown = connection.compute.get_server_action(listed[0].request_id, server)
        return [(event.event, event.result) for event in shown.events or ()]

    return list(stack_fixture.wait_for(found, WAIT, f"{action} has events"))


def test_openstacksdk_locks_and_reads_the_history(connection: Any) -> None:
    with clients.a_volume(connection, "history") as volume, clients.a_server(connection, "history") as server:
        connection.compute.lock_server(server, locked_reason="look at it")
        shown = connection.compute.get_server(server)
        assert (shown.is_locked, shown.locked_reason) == (True, "look at it")
        connection.compute.unlock_server(server)
        connection.attach_volume(server, volume, wait=True, timeout=WAIT)
        assert events_of(connection, server, "attach_volume") == [("compute_attach_volume", "Success")]
        connection.detach_volume(server, connection.block_storage.get_volume(volume), wait=True, timeout=WAIT)
        assert events_of(connection, server, "detach_volume") == [("compute_detach_volume", "Success")]
        names = [one.action for one in connection.compute.server_actions(server)]
        assert names == ["detach_volume", "attach_volume", "unlock", "lock", "create"]
        assert [one.action for one in connection.compute.server_actions(server, limit=2)] == names


def test_openstacksdk_keeps_tags_and_metadata(connection: Any) -> None:
    with clients.a_server(connection, "tagged") as server:
        server.set_tags(connection.compute, ["red", "blue"])
        server.add_tag(connection.compute, "green")
        server.remove_tag(connection.compute, "blue")
        assert connection.compute.get_server(server).tags == ["green", "red"]
        assert [one.id for one in connection.compute.servers(tags="red,green")] == [server.id]
        connection.compute.set_server_metadata(server, purpose="test", owner="ann")
        connection.compute.delete_server_metadata(server, ["owner"])
        assert connection.compute.get_server_metadata(server).metadata == {"purpose": "test"}
        renamed = connection.compute.update_server(server, name="renamed", access_ipv4="1.2.3.4")
        assert (renamed.name, renamed.access_ipv4) == ("renamed", "1.2.3.4")
        connection.compute.reset_server_state(server, "error")
        assert connection.compute.get_server(server).status == "ERROR"
        with pytest.raises(exceptions.ConflictException):
            connection.compute.resume_server(server)
        connection.compute.reset_server_state(server, "active")


def test_openstacksdk_reads_hosts_and_limits(connection: Any) -> None:
    (host,) = connection.compute.hypervisors(details=True)
    assert (host.name, host.state, host.status, host.hypervisor_type) == ("host1", "up", "enabled", "fake")
    assert connection.compute.get_hypervisor(host).host_ip == "127.0.0.1"
    before = connection.compute.get_limits().absolute.instances_used
    with clients.a_server(connection, "counted"):
        assert connection.compute.get_limits().absolute.instances_used == before + 1
    (zone,) = connection.compute.availability_zones()
    assert (zone.name, zone.state) == ("nova", {"available": True})


@contextlib.contextmanager
def with_server(connection: Any, name: str) -> Iterator[str]:
    with clients.a_server(connection, name) as server:
        yield str(server.id)


# A program that takes seconds to start each time; which database is behind it all it cannot tell.
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_the_commands_of_openstackclient(connection: Any, command: clients.Command) -> None:
    with with_server(connection, "osc-set") as server:
        command.done("server", "lock", "--reason", "by hand", server)
        (locked,) = [one for one in command.told("server", "list", "--locked", "--long") if one["ID"] == server]
        assert locked["Name"] == "osc-set"
        command.done("server", "unlock", server)
        command.done("server", "set", "--name", "osc-new", "--tag", "blue", "--property", "a=b", server)
        shown = command.told("server", "show", server)
        assert (shown["name"], shown["tags"], shown["properties"]) == ("osc-new", ["blue"], {"a": "b"})
        command.done("server", "unset", "--tag", "blue", "--property", "a", server)
        assert command.told("server", "list", "--tags", "blue") == []
        actions = command.told("server", "event", "list", server)
        assert [one["Action"] for one in actions] == ["unlock", "lock", "create"]
        event = command.told("server", "event", "show", server, actions[-1]["Request ID"])
        assert event["events"][0]["event"] == "compute__do_build_and_run_instance"
        refused = command.run("server", "suspend", server)
        assert (refused.returncode, "not implemented" in refused.stderr) == (1, True)
    assert [one["Hypervisor Hostname"] for one in command.told("hypervisor", "list")] == ["host1"]
    limits = {one["Name"]: one["Value"] for one in command.told("limits", "show", "--absolute")}
    assert limits["max_total_instances"] == -1
