"""A real keystone and the real daemons, asked by openstackclient and openstacksdk as people have them.

Hypervisor and storage are twins: what is shown here is who may do what, and that services believe each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
import requests
from openstack import exceptions

from devstack import keystone as keystones
from devstack import keystone_system
from tests.fixtures import servers

# A keystone makes its tables in a minute, and in several on a busy machine.
pytestmark = pytest.mark.timeout(1500)

PROGRAMS = Path(sys.executable).parent
CLIENT_SECONDS = 300
WAIT_SECONDS = 60
TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Site:
    """The running daemons and what clients need to reach them."""

    system: keystone_system.KeystoneSystem
    environment: dict[str, str]

    def client(self, cloud: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """What openstackclient says to these arguments as a user of clouds.yaml."""
        return subprocess.run(
            [str(PROGRAMS / "openstack"), "--os-cloud", cloud, *arguments],
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )

    def told(self, cloud: str, *arguments: str) -> Any:
        """The JSON that a command prints; it must succeed."""
        done = self.client(cloud, *arguments, "-f", "json")
        assert done.returncode == 0, done.stderr[-800:]
        return json.loads(done.stdout)

    def ask(self, token: str, method: str, path: str, **headers: str) -> requests.Response:
        """cinder-api's answer to a bare request."""
        sent = {"X-Auth-Token": token, "OpenStack-API-Version": "volume 3.44"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.system.volume_url + path, headers=sent, timeout=60)

    def await_status(self, volume: str, status: str) -> None:
        """Wait until the volume has the status."""
        end = time.monotonic() + WAIT_SECONDS
        while (seen := self.told("nlite", "volume", "show", volume)["status"]) != status:
            assert time.monotonic() < end, f"{volume} is {seen}, not {status}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("keystone")
    with servers.private_directory() as short, servers.MariaDB(short / "mariadb") as database:
        keystone = keystones.Keystone(
            directory / "keystone",
            programs=PROGRAMS,
            database=database.create_database("keystone"),
            token_seconds=TOKEN_SECONDS,
        )
        running = keystone_system.KeystoneSystem(directory, keystone)
        (directory / "images" / "tiny.qcow2").write_bytes(b"not booted by the twin")
        try:
            keystone.start(1200)
            running.start()
            clouds = directory / "clouds.yaml"
            clouds.write_text(keystone.clouds())
            clean = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
            yield Site(running, clean | {"OS_CLIENT_CONFIG_FILE": str(clouds)})
        finally:
            running.stop()
            keystone.stop()


@pytest.fixture(scope="module")
def attached(site: Site) -> tuple[str, str]:
    """A server and a volume that it has, made by a member with openstackclient."""
    image = site.told("nlite", "image", "list")[0]["ID"]
    server = site.told(
        "nlite", "server", "create", "--flavor", "42", "--image", image, "--nic", "none", "--wait", "s1"
    )["id"]
    volume = site.told("nlite", "volume", "create", "--size", "1", "v1")["id"]
    site.await_status(volume, "available")
    added = site.told("nlite", "server", "add", "volume", server, volume)
    assert added["Volume ID"] == volume
    site.await_status(volume, "in-use")
    return server, volume


def test_a_member_attaches_with_openstackclient(site: Site, attached: tuple[str, str]) -> None:
    server, volume = attached
    (listed,) = site.told("nlite", "server", "volume", "list", server)
    assert listed["Volume ID"] == volume
    assert site.told("nlite", "volume", "show", volume)["attachments"][0]["server_id"] == server


def test_a_reader_sees_and_may_not_write(site: Site, attached: tuple[str, str]) -> None:
    server, volume = attached
    assert [one["ID"] for one in site.told("nlite-reader", "server", "list")] == [server]
    assert [one["ID"] for one in site.told("nlite-reader", "volume", "list")] == [volume]
    for arguments in (
        ["volume", "create", "--size", "1", "mine"],
        ["volume", "delete", volume],
        ["server", "stop", server],
        ["server", "remove", "volume", server, volume],
    ):
        refused = site.client("nlite-reader", *arguments)
        assert (refused.returncode, "403" in refused.stderr) == (1, True), (arguments, refused.stderr[-300:])


def test_an_admin_sees_what_members_may_not(site: Site, attached: tuple[str, str]) -> None:
    server, _ = attached
    binaries = {one["Binary"] for one in site.told("nlite-admin", "volume", "service", "list")}
    assert {"cinder-volume", "cinder-scheduler"} <= binaries
    assert site.told("nlite-admin", "server", "show", server)["OS-EXT-SRV-ATTR:host"]
    refused = site.client("nlite", "volume", "service", "list")
    assert (refused.returncode, "403" in refused.stderr) == (1, True), refused.stderr


def test_a_wrong_password_and_no_token_are_401(site: Site) -> None:
    refused = site.client("nlite", "volume", "list", "--os-password", "wrong")
    assert (refused.returncode, "401" in refused.stderr) == (1, True), refused.stderr
    answer = requests.get(f"{site.system.volume_url}/volumes", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{site.system.keystone.url}"'


def test_another_projects_things_are_not_found(site: Site, attached: tuple[str, str]) -> None:
    """With openstacksdk: a user of another project meets 404 by id, and nothing by name."""
    server, volume = attached
    foreign = connect(site, "cinder")
    for find in (foreign.block_storage.get_volume, foreign.block_storage.delete_volume):
        with pytest.raises((exceptions.NotFoundException, exceptions.ForbiddenException)):
            find(volume, **({"ignore_missing": False} if "delete" in find.__name__ else {}))
    own = connect(site, "demo")
    assert own.block_storage.get_volume(volume).id == volume
    assert own.compute.get_server(server).id == server


def test_a_revoked_token_is_refused(site: Site) -> None:
    """Tokens that were validated once are remembered, so this one is revoked before it is used."""
    token = site.system.keystone.token("demo", "demo")
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    requests.delete(f"{site.system.keystone.url}/auth/tokens", headers=headers, timeout=10).raise_for_status()
    assert site.ask(token, "GET", "/volumes").status_code == 401


def test_only_services_take_volumes_from_servers(site: Site, attached: tuple[str, str]) -> None:
    """CVE-2023-2088, with tokens of a real keystone."""
    keystone = site.system.keystone
    user = keystone.token("demo", "demo")
    (found,) = site.ask(user, "GET", f"/attachments?volume_id={attached[1]}").json()["attachments"]
    path = f"/attachments/{found['id']}"
    assert site.ask(user, "DELETE", path).status_code == 409
    assert site.ask(keystone.token("admin", "demo"), "DELETE", path).status_code == 409
    assert site.ask(user, "DELETE", path, X_Service_Token=keystone.token("admin", "demo")).status_code == 401
    assert site.ask(user, "GET", path, X_Service_Token=keystone.token("nova", "service")).status_code == 200


def test_a_member_detaches_and_deletes(site: Site, attached: tuple[str, str]) -> None:
    """The last one: nova-compute detaches in the user's name with a service token."""
    server, volume = attached
    for arguments in (["server", "remove", "volume", server, volume],):
        done = site.client("nlite", *arguments)
        assert done.returncode == 0, done.stderr
    site.await_status(volume, "available")
    for arguments in (["volume", "delete", volume], ["server", "delete", "--wait", server]):
        done = site.client("nlite", *arguments)
        assert done.returncode == 0, done.stderr


def test_no_daemon_has_loaded_eventlet(site: Site) -> None:
    for name, pid in site.system.pids().items():
        assert "eventlet" not in Path(f"/proc/{pid}/maps").read_text(), name


def connect(site: Site, user: str) -> openstack.connection.Connection:
    """openstacksdk as that user."""
    return openstack.connect(auth_type="password", load_yaml_config=False, **site.system.keystone.login(user))
