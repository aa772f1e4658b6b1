"""A part of the volume service is away: the answer comes in time and names it, and the work is done when it is back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fixtures import stack as stacks

TIMEOUT = 2
CONNECTOR = {"host": "c1", "ip": "127.0.0.1", "initiator": "iqn.2010-10.org.openstack:c1"}
VERSION = {"OpenStack-API-Version": "volume 3.69", "X-Auth-Token": "ann:faults"}


class Cinder:
    """The volume API of a stack of this module's own, whose daemons may be stopped and started."""

    def __init__(self, stack: stacks.FunctionalStack) -> None:
        self.stack = stack

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(method, self.stack.volume_url + path, json=body, headers=VERSION, timeout=30)

    def stop(self, name: str) -> None:
        self.stack.stop_one(f"cinder-lite-{name}")

    def start(self, name: str) -> None:
        self.stack.start_one("cinder_lite", "cinder-lite", name)

    def status(self, volume: str) -> str:
        answer = self.ask("GET", f"/volumes/{volume}")
        return str(answer.json()["volume"]["status"]) if answer.status_code == 200 else "gone"

    def await_status(self, volume: str, status: str) -> None:
        stacks.wait_for(lambda: self.status(volume) == status, 20, f"volume {volume} is {status}")

    def volume(self) -> str:
        made = str(self.ask("POST", "/volumes", {"volume": {"size": 1}}).json()["volume"]["id"])
        self.await_status(made, "available")
        return made

    def reserve(self, volume: str) -> str:
        wanted = {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}
        return str(self.ask("POST", "/attachments", {"attachment": wanted}).json()["attachment"]["id"])


@pytest.fixture(scope="module")
def cinder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinder]:
    """A stack on an exchange of its own, so that no other test's daemons take its messages; on SQLite only."""
    options = {"DEFAULT": {"control_exchange": "faults", "rpc_response_timeout": TIMEOUT}}
    running = stacks.FunctionalStack(tmp_path_factory.mktemp("faults"), nova=options, cinder=options)
    try:
        yield Cinder(running.start())
    finally:
        running.stop()


def test_connecting_while_the_volume_daemon_is_down(cinder: Cinder) -> None:
    volume = cinder.volume()
    attachment = cinder.reserve(volume)
    cinder.stop("volume")
    try:
        begun = time.monotonic()
        answer = cinder.ask("PUT", f"/attachments/{attachment}", {"attachment": {"connector": CONNECTOR}})
        assert answer.status_code == 503
        assert "cinder-volume.host1@fake" in answer.json()["serviceUnavailable"]["message"]
        assert time.monotonic() - begun < TIMEOUT + 3
        assert cinder.ask("GET", f"/attachments/{attachment}").json()["attachment"]["status"] == "reserved"
        assert cinder.ask("DELETE", f"/attachments/{attachment}").status_code == 200
        assert cinder.status(volume) == "available"
        body = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
        assert cinder.ask("POST", "/attachments", body).status_code == 503
        assert cinder.status(volume) == "available"
        assert cinder.ask("GET", "/attachments").json() == {"attachments": []}
    finally:
        cinder.start("volume")


def test_deleting_while_the_volume_daemon_is_down(cinder: Cinder) -> None:
    volume = cinder.volume()
    cinder.stop("volume")
    assert cinder.ask("DELETE", f"/volumes/{volume}").status_code == 202
    assert cinder.status(volume) == "deleting"
    assert cinder.ask("DELETE", f"/volumes/{volume}").status_code == 400
    cinder.start("volume")
    cinder.await_status(volume, "gone")


def test_creating_while_the_scheduler_is_down(cinder: Cinder) -> None:
    cinder.stop("scheduler")
    made = cinder.ask("POST", "/volumes", {"volume": {"size": 1}})
    assert made.status_code == 202
    assert cinder.status(made.json()["volume"]["id"]) == "creating"
    cinder.start("scheduler")
    cinder.await_status(made.json()["volume"]["id"], "available")


def test_a_detach_and_a_waiting_deletion_do_not_collide(cinder: Cinder) -> None:
    """Somebody deletes the volume the moment it is available: the detach succeeds and the deletion stands."""
    for _ in range(5):
        volume = cinder.volume()
        attachment = cinder.reserve(volume)
        assert cinder.ask("PUT", f"/attachments/{attachment}", {"attachment": {"connector": CONNECTOR}}).ok
        assert cinder.ask("POST", f"/attachments/{attachment}/action", {"os-complete": None}).status_code == 204
        assert cinder.ask("DELETE", f"/attachments/{attachment}").status_code == 200
        assert cinder.ask("DELETE", f"/volumes/{volume}").status_code == 202
        assert cinder.ask("DELETE", f"/attachments/{attachment}").status_code == 404
        cinder.await_status(volume, "gone")
