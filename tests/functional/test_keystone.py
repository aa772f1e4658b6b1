"""The whole stack with keystone: who may do what, whose things are seen, and what services may do that users may not.

Keystone itself is the stand-in, which speaks HTTP; the middleware and the services' own log-ins are the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures import stack as stacks
from tests.fixtures.keystone import FakeKeystone
from tests.functional import world

DEMO = "6f70656e737461636b64656d6f303031"


class KeystoneStack(stacks.FunctionalStack):
    """A stack whose services find each other in the catalog and log in as `nova` and `cinder`."""

    def __init__(self, directory, keystone: FakeKeystone) -> None:  # type: ignore[no-untyped-def]
        apart = {"DEFAULT": {"control_exchange": "keystone"}}
        super().__init__(directory, nova=apart | keystone.options("nova"), cinder=apart | keystone.options("cinder"))
        keystone.catalog |= {"compute": self.compute_url, "block-storage": f"{self.volume_url}/service"}
        self._keystone = keystone
        for package in self.files:
            text = self.files[package].read_text()
            self.files[package].write_text(
                text.replace(f"endpoint = {self.volume_url}\n", "").replace(f"endpoint = {self.compute_url}\n", "")
            )

    def _backends_known(self) -> bool:
        listed = world.World(self, self._keystone.token("root")).volumes("GET", "/os-services").json()["services"]
        return len([one for one in listed if one["binary"] == "cinder-volume" and one["state"] == "up"]) == 2


@pytest.fixture(scope="module")
def keystone() -> Iterator[FakeKeystone]:
    with FakeKeystone() as running:
        running.add("nova", "service", "service", "admin")
        running.add("cinder", "service", "service")
        running.add("root", "admin", "admin", "member", "reader")
        running.add("alice", DEMO, "member", "reader")
        running.add("rita", DEMO, "reader")
        running.add("eve", "other", "member", "reader")
        running.add("roleless", DEMO)
        yield running


@pytest.fixture(scope="module")
def cloud(keystone: FakeKeystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeystoneStack]:
    running = KeystoneStack(tmp_path_factory.mktemp("keystone"), keystone)
    try:
        yield running.start()  # type: ignore[misc]
    finally:
        running.stop()


@pytest.fixture
def alice(cloud: KeystoneStack, keystone: FakeKeystone) -> world.World:
    return world.World(cloud, keystone.token("alice"))


def user(cloud: KeystoneStack, keystone: FakeKeystone, name: str) -> world.World:
    return world.World(cloud, keystone.token(name))


def test_a_member_attaches_and_detaches(alice: world.World) -> None:
    server, volume = alice.server(), alice.volume()
    alice.attached(server, volume)
    assert alice.detach(server, volume).status_code == 202
    alice.await_volume(volume, "available")
    alice.remove(servers=[server], volumes=[volume])


def test_cinder_tells_nova_that_a_volume_has_grown_and_no_user_can(alice: world.World) -> None:
    server, volume = alice.server(), alice.volume()
    alice.attached(server, volume)
    event = {"name": "volume-extended", "server_uuid": server, "tag": volume}
    forged = alice.compute("POST", "/os-server-external-events", {"events": [event]})
    assert (forged.status_code, "os-server-external-events:create" in forged.text) == (403, True)
    assert alice.volumes("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}).status_code == 202
    alice.await_volume(volume, "in-use")

    def told() -> list[str | None]:
        path = f"/servers/{server}/os-instance-actions"
        actions = alice.compute("GET", path).json()["instanceActions"]
        begun = [one["request_id"] for one in actions if one["action"] == "extend_volume"]
        shown = [alice.compute("GET", f"{path}/{one}").json()["instanceAction"] for one in begun]
        return [event["result"] for one in shown for event in one["events"]]

    stacks.wait_for(lambda: told() == ["Success"], world.WAIT, "the guest is told")
    assert alice.detach(server, volume).status_code == 202
    alice.await_volume(volume, "available")
    alice.remove(servers=[server], volumes=[volume])


def test_a_token_that_expires_during_an_attach_does_not_stop_it(
    cloud: KeystoneStack, keystone: FakeKeystone, alice: world.World
) -> None:
    server, volume = alice.server(), alice.volume()
    short = keystone.token("alice", seconds=1.5)
    stacks.wait_for(lambda: world.World(cloud, short).compute("GET", "/servers").status_code == 401, 10, "it expires")
    assert world.World(cloud, short).attach(server, volume).status_code == 401
    service = keystone.token("nova")
    late = world.World(cloud, short).volumes("GET", f"/volumes/{volume}", X_Service_Token=service)
    assert late.status_code == 200
    alice.remove(servers=[server], volumes=[volume])


def test_a_reader_sees_and_changes_nothing(cloud: KeystoneStack, keystone: FakeKeystone, alice: world.World) -> None:
    rita = user(cloud, keystone, "rita")
    server, volume = alice.server(), alice.volume()
    alice.attached(server, volume)
    before = world.quiet(cloud)
    (attachment,) = rita.volumes("GET", f"/attachments?volume_id={volume}").json()["attachments"]
    for path in ("/servers/detail", f"/servers/{server}", f"/servers/{server}/os-volume_attachments/{volume}"):
        assert rita.compute("GET", path).status_code == 200, path
    for path in ("/volumes/detail", f"/volumes/{volume}", f"/attachments/{attachment['id']}", "/types", "/limits"):
        assert rita.volumes("GET", path).status_code == 200, path
    volume_writes = [
        ("POST", "/volumes", {"volume": {"size": 1}}),
        ("PUT", f"/volumes/{volume}", {"volume": {"name": "mine"}}),
        ("DELETE", f"/volumes/{volume}", None),
        ("POST", f"/volumes/{volume}/metadata", {"metadata": {"a": "b"}}),
        ("POST", f"/volumes/{volume}/action", {"os-reserve": None}),
        ("POST", f"/volumes/{volume}/action", {"os-detach": {}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": server}}),
        ("PUT", f"/attachments/{attachment['id']}", {"attachment": {"connector": {"host": "h"}}}),
        ("POST", f"/attachments/{attachment['id']}/action", {"os-complete": None}),
        ("DELETE", f"/attachments/{attachment['id']}", None),
    ]
    for method, path, body in volume_writes:
        answer = rita.volumes(method, path, body)
        assert (answer.status_code, "Policy doesn't allow" in answer.text) == (403, True), (method, path, answer.text)
    server_writes = [
        ("POST", "/servers", {"server": {"name": "x", "flavorRef": "42", "imageRef": world.TINY, "networks": "none"}}),
        ("PUT", f"/servers/{server}", {"server": {"name": "mine"}}),
        ("DELETE", f"/servers/{server}", None),
        ("POST", f"/servers/{server}/action", {"os-stop": None}),
        ("POST", f"/servers/{server}/action", {"os-getConsoleOutput": {}}),
        ("POST", f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}}),
        ("DELETE", f"/servers/{server}/os-volume_attachments/{volume}", None),
    ]
    for method, path, body in server_writes:
        answer = rita.compute(method, path, body)
        assert (answer.status_code, "Policy doesn't allow" in answer.text) == (403, True), (method, path, answer.text)
    assert world.quiet(cloud) == before
    assert alice.detach(server, volume).status_code == 202
    alice.await_volume(volume, "available")
    alice.remove(servers=[server], volumes=[volume])


def test_another_projects_things_are_not_found(
    cloud: KeystoneStack, keystone: FakeKeystone, alice: world.World
) -> None:
    eve, root = user(cloud, keystone, "eve"), user(cloud, keystone, "root")
    server, volume = alice.server("of-alice"), alice.volume(name="of-alice")
    alice.attached(server, volume)
    (attachment,) = alice.volumes("GET", f"/attachments?volume_id={volume}").json()["attachments"]
    before = world.quiet(cloud)
    for method, path, body in [
        ("GET", f"/volumes/{volume}", None),
        ("PUT", f"/volumes/{volume}", {"volume": {"name": "mine"}}),
        ("DELETE", f"/volumes/{volume}", None),
        ("POST", f"/volumes/{volume}/action", {"os-detach": {}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": server}}),
        ("GET", f"/attachments/{attachment['id']}", None),
        ("DELETE", f"/attachments/{attachment['id']}", None),
    ]:
        assert eve.volumes(method, path, body).status_code == 404, (method, path)
    for method, path, body in [
        ("GET", f"/servers/{server}", None),
        ("DELETE", f"/servers/{server}", None),
        ("POST", f"/servers/{server}/action", {"os-stop": None}),
        ("GET", f"/servers/{server}/os-volume_attachments", None),
        ("DELETE", f"/servers/{server}/os-volume_attachments/{volume}", None),
    ]:
        assert eve.compute(method, path, body).status_code == 404, (method, path)
    assert eve.compute("GET", "/servers?name=of-alice").json()["servers"] == []
    assert eve.volumes("GET", "/volumes?name=of-alice&all_tenants=1").json()["volumes"] == []
    # A service's token proves who asks; it does not widen what its user sees.
    service = keystone.token("nova")
    assert eve.volumes("GET", f"/volumes/{volume}", X_Service_Token=service).status_code == 404
    assert eve.compute("GET", f"/servers/{server}", X_Service_Token=service).status_code == 404
    assert world.quiet(cloud) == before
    assert root.compute("GET", f"/servers/{server}").json()["server"]["OS-EXT-SRV-ATTR:host"] == "host1"
    assert root.volumes("GET", f"/volumes/{volume}").json()["volume"]["os-vol-host-attr:host"].startswith("host1@")
    assert alice.detach(server, volume).status_code == 202
    alice.await_volume(volume, "available")
    alice.remove(servers=[server], volumes=[volume])


def test_a_user_cannot_take_a_volume_from_a_server_behind_novas_back(
    cloud: KeystoneStack, keystone: FakeKeystone, alice: world.World
) -> None:
    """CVE-2023-2088: only a service token with the service role opens the way, nobody's own token."""
    server, volume = alice.server(), alice.volume()
    alice.attached(server, volume)
    (attachment,) = alice.volumes("GET", f"/attachments?volume_id={volume}").json()["attachments"]
    before = world.quiet(cloud)
    ways = [
        ("DELETE", f"/attachments/{attachment['id']}", None),
        ("POST", f"/volumes/{volume}/action", {"os-detach": {"attachment_id": attachment["id"]}}),
        ("POST", f"/volumes/{volume}/action", {"os-terminate_connection": {"connector": {"host": "host1"}}}),
    ]
    for name in ("alice", "root"):
        for method, path, body in ways:
            answer = user(cloud, keystone, name).volumes(method, path, body)
            assert answer.status_code == 409, (name, path, answer.text)
    forged = alice.volumes("DELETE", f"/attachments/{attachment['id']}", X_Service_Token=keystone.token("root"))
    assert forged.status_code == 401
    assert world.quiet(cloud) == before
    nova = keystone.token("nova")
    answer = alice.volumes("DELETE", f"/attachments/{attachment['id']}", X_Service_Token=nova)
    assert answer.status_code == 200, answer.text
    alice.remove(servers=[server], volumes=[volume])


def test_admin_operations_and_those_without_a_role(cloud: KeystoneStack, keystone: FakeKeystone) -> None:
    root, alice, nobody = (user(cloud, keystone, name) for name in ("root", "alice", "roleless"))
    for path, key in (("/os-services", "volume_extension:services:index"), ("/scheduler-stats/get_pools", "get_pools")):
        assert root.volumes("GET", path).status_code == 200
        refused = alice.volumes("GET", path)
        assert (refused.status_code, key in refused.text) == (403, True)
    assert alice.compute("GET", "/servers?all_tenants=1").status_code == 403
    assert root.compute("GET", "/servers?all_tenants=1").status_code == 200
    assert nobody.volumes("GET", "/volumes").status_code == 403
    assert nobody.compute("GET", "/servers").status_code == 403
    assert alice.volumes("GET", "/os-quota-sets/other").status_code == 403
    assert root.volumes("GET", f"/os-quota-sets/{DEMO}").status_code == 200


def test_keystone_is_asked_once_per_token(cloud: KeystoneStack, keystone: FakeKeystone, alice: world.World) -> None:
    alice.compute("GET", "/servers")
    alice.volumes("GET", "/volumes")
    before = keystone.validations
    for _ in range(5):
        alice.compute("GET", "/servers")
        alice.volumes("GET", "/volumes")
    assert keystone.validations == before
