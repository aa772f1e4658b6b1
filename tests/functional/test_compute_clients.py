"""Stock clients against the running services: openstacksdk in this process, openstackclient as a program."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
import yaml
from openstack import exceptions

from tests.fixtures import stack as stack_fixture

WAIT = 30


def cloud_of(stack: stack_fixture.FunctionalStack) -> dict[str, Any]:
    """The entry of a clouds.yaml for the stack."""
    return {
        "auth_type": "none",
        "auth": {"endpoint": stack.compute_url},
        # Newest openstackclient looks up projects and users through this version even when it is not asked to.
        "identity_api_version": "3",
        "compute_endpoint_override": stack.compute_url,
        "image_endpoint_override": stack.image_url,
        "block_storage_endpoint_override": stack.volume_url,
        "volume_endpoint_override": stack.volume_url,
    }


@pytest.fixture(scope="module")
def connection(stack: stack_fixture.FunctionalStack) -> Iterator[Any]:
    """openstacksdk, connected."""
    found = openstack.connection.Connection(**cloud_of(stack))
    yield found
    found.close()


class Command:
    """The `openstack` command with a clouds.yaml of the stack."""

    def __init__(self, directory: Path, cloud: dict[str, Any]) -> None:
        self._directory = directory
        (directory / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"lite": cloud}}))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._directory), "OS_CLOUD": "lite"}
        command = [sys.executable, "-m", "openstackclient.shell", *words]
        return subprocess.run(
            command, cwd=self._directory, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def told(self, *words: str) -> Any:
        """What it prints with `-f json`; AssertionError with its complaint when it fails."""
        done = self.run(*words, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def done(self, *words: str) -> None:
        """Run a command that prints nothing."""
        finished = self.run(*words)
        assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, stack: stack_fixture.FunctionalStack) -> Command:
    """openstackclient, configured."""
    return Command(tmp_path_factory.mktemp("client"), cloud_of(stack))


@contextlib.contextmanager
def a_volume(connection: Any, name: str) -> Iterator[Any]:
    """An available volume that is deleted afterwards."""
    volume = connection.block_storage.create_volume(size=1, name=name)
    try:
        yield connection.block_storage.wait_for_status(volume, "available", interval=0.1, wait=WAIT)
    finally:
        stack_fixture.wait_for(
            lambda: connection.block_storage.get_volume(volume).status == "available", WAIT, f"{name} is available"
        )
        connection.block_storage.delete_volume(volume)


@contextlib.contextmanager
def a_server(connection: Any, name: str) -> Iterator[Any]:
    """An active server that is deleted afterwards."""
    image, flavor = (
        connection.image.find_image("tiny", ignore_missing=False),
        connection.compute.find_flavor("m1.nano", ignore_missing=False),
    )
    server = connection.compute.create_server(name=name, image_id=image.id, flavor_id=flavor.id, networks="none")
    try:
        yield connection.compute.wait_for_server(server, interval=0.1, wait=WAIT)
    finally:
        connection.compute.delete_server(server)
        connection.compute.wait_for_delete(server, interval=0.1, wait=WAIT)


def test_openstacksdk_negotiates_the_newest_version_it_knows(connection: Any) -> None:
    assert connection.compute.get_endpoint_data().max_microversion == (2, 101)
    assert connection.compute.get_endpoint_data().min_microversion == (2, 1)


def test_openstacksdk_attaches_and_detaches(connection: Any) -> None:
    with a_volume(connection, "sdk") as volume, a_server(connection, "sdk") as server:
        made = connection.compute.create_volume_attachment(server, volume)
        assert (made.volume_id, made.device, made.delete_on_termination) == (volume.id, "/dev/vdb", False)
        connection.block_storage.wait_for_status(volume, "in-use", interval=0.1, wait=WAIT)
        (listed,) = connection.compute.volume_attachments(server)
        assert (listed.volume_id, listed.device) == (volume.id, "/dev/vdb")
        assert listed.attachment_id == connection.block_storage.get_volume(volume).attachments[0]["attachment_id"]
        assert listed.bdm_id
        shown = connection.compute.get_server(server)
        assert [one.id for one in shown.attached_volumes] == [volume.id]
        connection.compute.delete_volume_attachment(server, volume)
        stack_fixture.wait_for(
            lambda: not list(connection.compute.volume_attachments(server)), WAIT, "the attachment is gone"
        )


def test_the_cloud_layer_attaches_and_detaches(connection: Any) -> None:
    with a_volume(connection, "cloud layer") as volume, a_server(connection, "cloud layer") as server:
        connection.attach_volume(server, volume, wait=True, timeout=WAIT)
        connection.detach_volume(server, connection.block_storage.get_volume(volume), wait=True, timeout=WAIT)


def test_openstacksdk_understands_refusals(connection: Any) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    with a_volume(connection, "refusals") as volume, a_server(connection, "refusals") as server:
        with pytest.raises(exceptions.NotFoundException, match=f"Volume {nobody} could not be found"):
            connection.compute.create_volume_attachment(server, nobody)
        connection.compute.create_volume_attachment(server, volume)
        connection.block_storage.wait_for_status(volume, "in-use", interval=0.1, wait=WAIT)
        with pytest.raises(exceptions.BadRequestException, match="is already attached to instances"):
            connection.compute.create_volume_attachment(server, volume)
        with pytest.raises(exceptions.ConflictException, match="Cannot 'start' instance"):
            connection.compute.start_server(server)
    with pytest.raises(exceptions.NotFoundException):
        connection.compute.find_server(nobody, ignore_missing=False)


def test_openstacksdk_pages_through_servers(connection: Any) -> None:
    with a_server(connection, "page-1"), a_server(connection, "page-2"), a_server(connection, "page-3"):
        found = connection.compute.servers(name="^page-", limit=2, sort_key="display_name", sort_dir="asc")
        assert [server.name for server in found] == ["page-1", "page-2", "page-3"]


# A program that takes seconds to start each time; which database is behind it all it cannot tell.
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_the_commands_of_openstackclient(connection: Any, command: Command) -> None:
    assert "tiny" in [image["Name"] for image in command.told("image", "list")]
    assert "m1.nano" in [flavor["Name"] for flavor in command.told("flavor", "list")]
    create = ("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--nic", "none", "--wait", "osc")
    made = command.told(*create)
    assert (made["name"], made["status"]) == ("osc", "ACTIVE")
    assert made["image"].startswith("tiny (")
    try:
        (listed,) = [server for server in command.told("server", "list") if server["Name"] == "osc"]
        assert (listed["Status"], listed["Image"], listed["Flavor"]) == ("ACTIVE", "tiny", "m1.nano")
        with a_volume(connection, "osc-volume") as volume:
            attached = command.told("server", "add", "volume", "osc", "osc-volume")
            assert (attached["Volume ID"], attached["Device"]) == (volume.id, "/dev/vdb")
            connection.block_storage.wait_for_status(volume, "in-use", interval=0.1, wait=WAIT)
            (row,) = command.told("server", "volume", "list", "osc")
            assert (row["Volume ID"], row["Device"]) == (volume.id, "/dev/vdb")
            shown = command.told("server", "show", "osc")
            assert [one["id"] for one in shown["volumes_attached"]] == [volume.id]
            command.done("server", "remove", "volume", "osc", "osc-volume")
            stack_fixture.wait_for(
                lambda: connection.block_storage.get_volume(volume).status == "available", WAIT, "it is detached"
            )
    finally:
        command.done("server", "delete", "--wait", "osc")


def test_openstackclient_tells_what_was_wrong(command: Command) -> None:
    done = command.run("server", "create", "--image", "tiny", "--flavor", "m1.none", "--nic", "none", "x")
    assert (done.returncode, "m1.none" in done.stderr) == (1, True)
