"""Requests that cannot be served: the exact status, the fault's name, a text that names the thing, and nothing changed.

What gabbits/*-refused.yaml tell in one place each is here checked behind the APIs, too: rows, guests, disks and
targets are compared before and after.
"""

# ruff: noqa: E501  # one case a line reads as a table

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib import parse

import pytest
import requests

from tests.fixtures import stack as stacks
from tests.functional import world as worlds
from tests.functional.world import NOBODY, World

LONG = "n" * 256


@dataclass(frozen=True)
class Scene:
    """Servers and volumes in every state that matters, of `own` and of another project."""

    own: World
    other: World
    things: dict[str, str]

    def fill(self, told: Any) -> Any:
        """`told` with each {name} replaced by that thing's id."""
        if isinstance(told, str):
            for name, thing in self.things.items():
                told = told.replace("{" + name + "}", thing)
            return told
        if isinstance(told, dict):
            return {name: self.fill(value) for name, value in told.items()}
        return told


@pytest.fixture(scope="module")
def scene(stack: stacks.FunctionalStack) -> Iterator[Scene]:
    """The scene, made once: no test of this module that uses it changes anything."""
    own, other = World(stack, "ann:bad-input"), World(stack, "bob:bad-input-other")
    # Enough to ask for more than both backends together could promise.
    admin = World(stack, "admin:bad-input")
    limits = {"quota_set": {"gigabytes": 100_000, "volumes": 20}}
    assert admin.volumes("PUT", "/os-quota-sets/bad-input", limits).status_code == 200
    things = {"server": own.server(), "holder": own.server("holder"), "foreign_server": other.server()}
    things |= {"volume": own.volume(), "reserved": own.volume(), "attaching": own.volume()}
    things |= {"attached": own.attached(things["holder"], own.volume()), "foreign_volume": other.volume()}
    things["foreign_attached"] = other.attached(things["foreign_server"], other.volume())
    things["error"] = own.volume("error", size=50_000)
    for name in ("reserved", "attaching"):
        wanted = {"attachment": {"volume_uuid": things[name], "instance_uuid": NOBODY}}
        things[f"{name}_attachment"] = own.volumes("POST", "/attachments", wanted).json()["attachment"]["id"]
    connector = {"host": "elsewhere", "ip": "127.0.0.1", "initiator": "iqn.1993-08.org.debian:01:elsewhere"}
    path = f"/attachments/{things['attaching_attachment']}"
    assert own.volumes("PUT", path, {"attachment": {"connector": connector}}).status_code == 200
    yield Scene(own, other, things | {"nobody": NOBODY})
    for name in ("reserved", "attaching"):
        assert own.volumes("DELETE", f"/attachments/{things[f'{name}_attachment']}").status_code == 200
    other.remove(servers=[things["foreign_server"]])
    own.remove(servers=[things["server"], things["holder"]])
    own.remove(volumes=[things[name] for name in ("volume", "reserved", "attaching", "attached", "error")])
    other.remove(volumes=[things["foreign_volume"], things["foreign_attached"]])


def told(answer: requests.Response) -> tuple[int, str, str]:
    """Status, the fault's name and its text."""
    ((name, fault),) = answer.json().items()
    assert fault["code"] == answer.status_code
    return answer.status_code, name, fault["message"]


def attach(server: str, volume: str, **more: Any) -> tuple[str, str, Any]:
    """A request to attach."""
    body = {"volumeAttachment": {"volumeId": volume, **more}}
    return "POST", f"/servers/{server}/os-volume_attachments", body


COMPUTE = {
    "attach to no server": (attach("{nobody}", "{volume}"), 404, "itemNotFound", "Instance {nobody} could not be found."),
    "attach to a malformed server": (attach("s1", "{volume}"), 404, "itemNotFound", "Instance s1 could not be found."),
    "attach no volume": (attach("{server}", "{nobody}"), 404, "itemNotFound", "Volume {nobody} could not be found."),
    "attach a malformed volume": (attach("{server}", "v1"), 400, "badRequest", "Invalid input for field/attribute volumeId. Value: v1. 'v1' is not a 'uuid'"),
    "attach a foreign volume": (attach("{server}", "{foreign_volume}"), 404, "itemNotFound", "Volume {foreign_volume} could not be found."),
    "attach an attached foreign volume": (attach("{server}", "{foreign_attached}"), 404, "itemNotFound", "Volume {foreign_attached} could not be found."),
    "attach to a foreign server": (attach("{foreign_server}", "{volume}"), 404, "itemNotFound", "Instance {foreign_server} could not be found."),
    "attach an attached volume": (attach("{server}", "{attached}"), 400, "badRequest", "Invalid volume: volume {attached} is already attached to instances: {holder}"),
    "attach twice": (attach("{holder}", "{attached}"), 400, "badRequest", "Invalid volume: volume {attached} is already attached to instances: {holder}"),
    "attach a reserved volume": (attach("{server}", "{reserved}"), 400, "badRequest", "Invalid input received: Invalid volume: Volume {reserved} status must be available to reserve, but the status is reserved"),
    "attach an attaching volume": (attach("{server}", "{attaching}"), 400, "badRequest", "Invalid input received: Invalid volume: Volume {attaching} status must be available to reserve, but the status is attaching"),
    "attach a volume in error": (attach("{server}", "{error}"), 400, "badRequest", "Invalid input received: Invalid volume: Volume {error} status must be available to reserve, but the status is error"),
    "a device that is taken": (attach("{holder}", "{volume}", device="/dev/vdb"), 409, "conflictingRequest", "The supplied device path (/dev/vdb) is in use."),
    "the root's device": (attach("{server}", "{volume}", device="/dev/vda"), 409, "conflictingRequest", "The supplied device path (/dev/vda) is in use."),
    "a body of text": (("POST", "/servers/{server}/os-volume_attachments", b'"x"'), 400, "badRequest", None),
    "a body that is a list": (("POST", "/servers/{server}/os-volume_attachments", b"[]"), 400, "badRequest", None),
    "no body": (("POST", "/servers/{server}/os-volume_attachments", b""), 400, "badRequest", None),
    "JSON that ends early": (("POST", "/servers/{server}/os-volume_attachments", b'{"volumeAttachment": {'), 400, "badRequest", "Malformed request body"),
    "bytes that are no text": (("POST", "/servers/{server}/os-volume_attachments", b'{"volumeAttachment": "\xff"}'), 400, "badRequest", "Malformed request body"),
    "deep nesting": (("POST", "/servers/{server}/os-volume_attachments", b"[" * 100_000), 400, "badRequest", "Malformed request body"),
    "show a foreign attachment": (("GET", "/servers/{foreign_server}/os-volume_attachments/{foreign_attached}", None), 404, "itemNotFound", "Instance {foreign_server} could not be found."),
    "detach from a foreign server": (("DELETE", "/servers/{foreign_server}/os-volume_attachments/{foreign_attached}", None), 404, "itemNotFound", "Instance {foreign_server} could not be found."),
    "detach a foreign volume": (("DELETE", "/servers/{server}/os-volume_attachments/{foreign_attached}", None), 404, "itemNotFound", "{foreign_attached}"),
    "detach what is elsewhere": (("DELETE", "/servers/{server}/os-volume_attachments/{attached}", None), 404, "itemNotFound", "Instance {server} is not attached to volume {attached}"),
    "detach no volume": (("DELETE", "/servers/{holder}/os-volume_attachments/{nobody}", None), 404, "itemNotFound", "Volume {nobody} could not be found."),
    "detach a malformed volume": (("DELETE", "/servers/{holder}/os-volume_attachments/v1", None), 404, "itemNotFound", "v1"),
    "delete a foreign server": (("DELETE", "/servers/{foreign_server}", None), 404, "itemNotFound", "Instance {foreign_server} could not be found."),
    "stop a foreign server": (("POST", "/servers/{foreign_server}/action", {"os-stop": None}), 404, "itemNotFound", "Instance {foreign_server} could not be found."),
    "a server of no flavor": (("POST", "/servers", {"server": {"name": "s", "flavorRef": "x9", "imageRef": worlds.TINY, "networks": "none"}}), 400, "badRequest", "Flavor x9 could not be found."),
    "a server of no image": (("POST", "/servers", {"server": {"name": "s", "flavorRef": "42", "imageRef": "{nobody}", "networks": "none"}}), 400, "badRequest", "Can not find requested image"),
    "a server with too long a name": (("POST", "/servers", {"server": {"name": LONG, "flavorRef": "42", "imageRef": worlds.TINY, "networks": "none"}}), 400, "badRequest", "Invalid input for field/attribute name."),
}  # fmt: skip

VOLUME = {
    "no volume": (("GET", "/volumes/{nobody}", None), 404, "itemNotFound", "Volume {nobody} could not be found."),
    "a malformed volume": (("GET", "/volumes/v1", None), 404, "itemNotFound", "Volume v1 could not be found."),
    "a foreign volume": (("GET", "/volumes/{foreign_volume}", None), 404, "itemNotFound", "Volume {foreign_volume} could not be found."),
    "rename a foreign volume": (("PUT", "/volumes/{foreign_volume}", {"volume": {"name": "mine"}}), 404, "itemNotFound", "Volume {foreign_volume} could not be found."),
    "delete a foreign volume": (("DELETE", "/volumes/{foreign_volume}", None), 404, "itemNotFound", "Volume {foreign_volume} could not be found."),
    "reserve a foreign volume": (("POST", "/volumes/{foreign_volume}/action", {"os-reserve": None}), 404, "itemNotFound", "Volume {foreign_volume} could not be found."),
    "delete an attached volume": (("DELETE", "/volumes/{attached}", None), 400, "badRequest", "volume {attached} has status in-use and attach_status attached. Detach it first"),
    "delete a reserved volume": (("DELETE", "/volumes/{reserved}", None), 400, "badRequest", "volume {reserved} has status reserved"),
    "delete an attaching volume": (("DELETE", "/volumes/{attaching}", None), 400, "badRequest", "volume {attaching} has status attaching"),
    "an attachment of no volume": (("POST", "/attachments", {"attachment": {"volume_uuid": NOBODY, "instance_uuid": NOBODY}}), 404, "itemNotFound", "Volume {nobody} could not be found."),
    "an attachment of a volume in error": (("POST", "/attachments", {"attachment": {"volume_uuid": "{error}", "instance_uuid": NOBODY}}), 400, "badRequest", "Volume {error} status must be available to reserve, but the status is error"),
    "no attachment": (("DELETE", "/attachments/{nobody}", None), 404, "itemNotFound", "attachment_id = {nobody}"),
    "size 0": (("POST", "/volumes", {"volume": {"size": 0}}), 400, "badRequest", "Volume size '0' must be an integer and greater than 0"),
    "size negative": (("POST", "/volumes", {"volume": {"size": -1}}), 400, "badRequest", "Volume size '-1' must be an integer and greater than 0"),
    "size text": (("POST", "/volumes", {"volume": {"size": "big"}}), 400, "badRequest", "Volume size 'big' must be an integer and greater than 0"),
    "size text of a fraction": (("POST", "/volumes", {"volume": {"size": "1.5"}}), 400, "badRequest", "Volume size '1.5' must be an integer and greater than 0"),
    "size true": (("POST", "/volumes", {"volume": {"size": True}}), 400, "badRequest", "size"),
    "size null": (("POST", "/volumes", {"volume": {"size": None}}), 400, "badRequest", "size"),
    "size above what a number may be": (("POST", "/volumes", {"volume": {"size": 10**15}}), 400, "badRequest", "size"),
    "size of thousands of digits": (("POST", "/volumes", {"volume": {"size": "9" * 5000}}), 400, "badRequest", "size"),
    "size above quota": (("POST", "/volumes", {"volume": {"size": 50_001}}), 413, "overLimit", "Requested 50001G, quota is 100000G and 50004G has been consumed."),
    "no type": (("POST", "/volumes", {"volume": {"size": 1, "volume_type": "golden"}}), 404, "itemNotFound", "Volume type golden could not be found."),
    "no type by id": (("POST", "/volumes", {"volume": {"size": 1, "volume_type": NOBODY}}), 404, "itemNotFound", "Volume type {nobody} could not be found."),
    "no image": (("POST", "/volumes", {"volume": {"size": 1, "imageRef": NOBODY}}), 400, "badRequest", "imageRef {nobody}"),
    "too long a name": (("POST", "/volumes", {"volume": {"size": 1, "name": LONG}}), 400, "badRequest", "Invalid input for field/attribute name."),
    "too long a name of wide letters": (("POST", "/volumes", {"volume": {"size": 1, "name": "💾" * 256}}), 400, "badRequest", "Invalid input for field/attribute name."),
    "half a letter": (("POST", "/volumes", b'{"volume": {"size": 1, "name": "\\ud800"}}'), 400, "badRequest", "Malformed request body"),
    "JSON that ends early": (("POST", "/volumes", b'{"volume": {"size": 1'), 400, "badRequest", "Malformed request body"),
    "a body that is a list": (("POST", "/volumes", b"[]"), 400, "badRequest", None),
}  # fmt: skip


Ask = Callable[..., requests.Response]
Case = tuple[tuple[str, str, Any], int, str, str | None]


def check(scene: Scene, ask: Ask, case: Case, **headers: str) -> None:
    """The request is answered as the case says, and all is as it was before."""
    (method, path, body), status, name, text = case
    before = worlds.quiet(scene.own.stack)
    found = told(ask(method, scene.fill(path), scene.fill(body), **headers))
    assert found[:2] == (status, name), found
    assert text is None or scene.fill(text) in found[2], found
    assert worlds.quiet(scene.own.stack) == before


@pytest.mark.parametrize("name", COMPUTE)
def test_nova_api_refuses(scene: Scene, name: str) -> None:
    check(scene, scene.own.compute, COMPUTE[name])


@pytest.mark.parametrize("name", VOLUME)
def test_cinder_api_refuses(scene: Scene, name: str) -> None:
    check(scene, scene.own.volumes, VOLUME[name])


@pytest.mark.parametrize("content_type", ["application/xml", "text/html", "application/x-www-form-urlencoded"])
def test_another_content_type(scene: Scene, content_type: str) -> None:
    body = json.dumps({"volumeAttachment": {"volumeId": scene.things["volume"]}}).encode()
    path = f"/servers/{scene.things['server']}/os-volume_attachments"
    case = (("POST", path, body), 415, "badMediaType", "Unsupported Content-Type")
    check(scene, scene.own.compute, case, Content_Type=content_type)
    body = json.dumps({"volume": {"size": 1}}).encode()
    case = (("POST", "/volumes", body), 415, "badMediaType", "Unsupported Content-Type")
    check(scene, scene.own.volumes, case, Content_Type=content_type)


def check_version(scene: Scene, answer: requests.Response, *named: str) -> None:
    """A 406 whose text names the version asked for and the first and last that are served."""
    assert answer.status_code == 406, answer.text
    ((_, fault),) = answer.json().items()
    text = str(fault)
    assert not [version for version in named if version not in text], text


@pytest.mark.parametrize("version", ["2.0", "2.102", "3.1"])
def test_a_microversion_of_nova_that_is_none(scene: Scene, version: str) -> None:
    before = worlds.quiet(scene.own.stack)
    method, path, body = attach("{server}", "{volume}")
    header = f"compute {version}"
    answer = scene.own.compute(method, scene.fill(path), scene.fill(body), OpenStack_API_Version=header)
    check_version(scene, answer, version, "2.1", "2.101")
    assert worlds.quiet(scene.own.stack) == before


@pytest.mark.parametrize("version", ["2.60", "3.72", "4.0"])
def test_a_microversion_of_cinder_that_is_none(scene: Scene, version: str) -> None:
    before = worlds.quiet(scene.own.stack)
    header = f"volume {version}"
    answer = scene.own.volumes("POST", "/volumes", {"volume": {"size": 1}}, OpenStack_API_Version=header)
    check_version(scene, answer, version, "3.0", "3.71")
    assert worlds.quiet(scene.own.stack) == before


@pytest.mark.parametrize(
    "device",
    [
        *("", " ", "auto", "vdb", "/dev/", "/dev/vdB", "/dev/nvme0n1", "/dev/vdb\n", "dev/vdb", "/dev/vdb/x"),
        *("/dev/sd-b", "/dev/vdb;reboot", "/dev/../etc/passwd", "/dev/vdß", "/dev/" + "v" * 300),
        *(7, True, ["/dev/vdb"], {}),
    ],
)
def test_a_device_name_that_is_none(scene: Scene, device: Any) -> None:
    body = attach("{server}", "{volume}", device=device)
    check(scene, scene.own.compute, (body, 400, "badRequest", "device"))


NAMES = [
    "ä" * 255,
    "💾" * 255,
    "容量 größe ёмкость",
    "<b>&amp;</b>",
    "'; DROP TABLE volumes; --",
    "%s %d {0}",
    "\u202eabc",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_kept_as_they_are(stack: stacks.FunctionalStack, name: str) -> None:
    own = World(stack, "ann:names")
    server, volume = own.server(name), own.volume(name=name)
    assert own.compute("GET", f"/servers/{server}").json()["server"]["name"] == name
    assert own.volumes("GET", f"/volumes/{volume}").json()["volume"]["name"] == name
    found = own.volumes("GET", "/volumes/detail?" + parse.urlencode({"name": name})).json()["volumes"]
    assert [one["id"] for one in found] == [volume]
    own.remove(servers=[server], volumes=[volume])


@pytest.fixture
def pair(stack: stacks.FunctionalStack) -> Iterator[tuple[World, str, str]]:
    """A server and a volume of a project of their own, gone without a trace afterwards."""
    own = World(stack, "ann:pair")
    before = worlds.quiet(stack)
    server, volume = own.server(), own.volume()
    yield own, server, volume
    own.remove(servers=[server], volumes=[volume])
    assert own.quota() == {"volumes": 0, "gigabytes": 0}
    assert worlds.quiet(stack) == before


def test_a_volume_above_all_capacity_ends_in_error(stack: stacks.FunctionalStack) -> None:
    before = worlds.quiet(stack)
    admin = World(stack, "admin:capacity")
    limits = {"quota_set": {"gigabytes": -1}}
    assert admin.volumes("PUT", "/os-quota-sets/capacity", limits).status_code == 200
    volume = admin.volume("error", size=1_000_000)
    shown = admin.volumes("GET", f"/volumes/{volume}").json()["volume"]
    assert (shown["status"], shown["os-vol-host-attr:host"], shown["attachments"]) == ("error", None, [])
    after = worlds.quiet(stack)
    assert (after.stored, after.exported) == (before.stored, before.exported)
    admin.remove(volumes=[volume])
    assert admin.volumes("DELETE", "/os-quota-sets/capacity").status_code == 200
    assert worlds.quiet(stack) == before


def test_detach_twice(pair: tuple[World, str, str]) -> None:
    own, server, volume = pair
    own.attached(server, volume)
    own.stack.virt.delays = {"detach_volume": 1.0}
    try:
        assert own.detach(server, volume).status_code == 202
        status, name, text = told(own.detach(server, volume))
    finally:
        own.stack.virt.delays = {}
    assert (status, name) == (400, "badRequest")
    assert f"volume {volume} has status detaching" in text
    own.await_volume(volume, "available")
    again = lambda: told(own.detach(server, volume))  # noqa: E731 - asked several times below
    stacks.wait_for(lambda: again()[0] == 404, 5, "the block device is gone")
    assert again() == (404, "itemNotFound", f"Instance {server} is not attached to volume {volume}")


def test_an_attached_volume_is_not_deleted(pair: tuple[World, str, str]) -> None:
    own, server, volume = pair
    own.attached(server, volume)
    before = worlds.quiet(own.stack)
    status, name, text = told(own.volumes("DELETE", f"/volumes/{volume}"))
    assert (status, name) == (400, "badRequest")
    assert f"volume {volume} has status in-use" in text
    assert worlds.quiet(own.stack) == before


def test_a_stopped_server_gets_and_loses_volumes(pair: tuple[World, str, str]) -> None:
    own, server, volume = pair
    own.act(server, {"os-stop": None}, "SHUTOFF")
    own.attached(server, volume)
    assert worlds.quiet(own.stack).guests[server] == (frozenset(), frozenset({volume}))
    own.act(server, {"os-start": None}, "ACTIVE")
    assert worlds.quiet(own.stack).guests[server] == (frozenset({volume}), frozenset({volume}))
    own.act(server, {"os-stop": None}, "SHUTOFF")
    assert own.detach(server, volume).status_code == 202
    own.await_volume(volume, "available")
    stacks.wait_for(lambda: "block_device_mapping" not in worlds.quiet(own.stack).about(volume), 5, "its row is gone")
    assert worlds.quiet(own.stack).guests[server] == (frozenset(), frozenset())


def test_a_paused_server_gets_volumes_and_keeps_them(pair: tuple[World, str, str]) -> None:
    own, server, volume = pair
    own.act(server, {"pause": None}, "PAUSED")
    own.attached(server, volume)
    before = worlds.quiet(own.stack)
    assert before.guests[server] == (frozenset({volume}), frozenset({volume}))
    assert own.detach(server, volume).status_code == 202
    own.await_volume(volume, "in-use")
    assert worlds.quiet(own.stack) == before
    own.act(server, {"unpause": None}, "ACTIVE")
    assert own.detach(server, volume).status_code == 202
    own.await_volume(volume, "available")


@pytest.mark.parametrize(
    ("task", "action"), [("power_off", {"os-stop": None}), ("reboot", {"reboot": {"type": "HARD"}})]
)
def test_a_server_that_is_busy_is_left_alone(pair: tuple[World, str, str], task: str, action: dict[str, Any]) -> None:
    own, server, volume = pair
    own.stack.virt.delays = {task: 1.0}
    try:
        assert own.compute("POST", f"/servers/{server}/action", action).status_code == 202
        status, name, text = told(own.attach(server, volume))
    finally:
        own.stack.virt.delays = {}
    assert (status, name) == (409, "conflictingRequest")
    assert text.startswith(f"Cannot 'attach_volume' instance {server} while it is in task_state ")
    assert own.volume_status(volume) == "available"
    stacks.wait_for(lambda: "/" not in own.server_status(server), 10, "the task has ended")


def test_a_device_name_is_taken_once(pair: tuple[World, str, str]) -> None:
    own, server, volume = pair
    answer = own.attach(server, volume, device="/dev/vdx")
    assert answer.json()["volumeAttachment"]["device"] == "/dev/vdx"
    own.await_volume(volume, "in-use")
    second = own.volume()
    before = worlds.quiet(own.stack)
    found = told(own.attach(server, second, device="/dev/vdx"))
    assert found == (409, "conflictingRequest", "The supplied device path (/dev/vdx) is in use.")
    assert worlds.quiet(own.stack) == before
    own.remove(volumes=[second])
