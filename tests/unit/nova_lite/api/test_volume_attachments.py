"""os-volume_attachments at every microversion that changes something."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
import webob

from nova_lite import errors as nova_errors
from tests.unit.nova_lite.api.conftest import ATTACHMENT, BDM, OTHER, SERVER, VOLUME, Api, a_device

PATH = f"/v2.1/servers/{SERVER}/os-volume_attachments"
BASE = {"id": VOLUME, "serverId": SERVER, "volumeId": VOLUME, "device": "/dev/vdb"}
TAGGED = BASE | {"tag": None}
FULL = TAGGED | {"delete_on_termination": False}
LATEST = {key: value for key, value in FULL.items() if key != "id"} | {"attachment_id": ATTACHMENT, "bdm_uuid": BDM}

Message = Callable[[webob.Response], str]


def body(**members: Any) -> dict[str, Any]:
    return {"volumeAttachment": {"volumeId": VOLUME} | members}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.1", BASE), ("2.69", BASE), ("2.70", TAGGED), ("2.78", TAGGED), ("2.79", FULL), ("2.88", FULL),
     ("2.89", LATEST), ("2.101", LATEST)],
)  # fmt: skip
def test_list_and_show_have_exactly_the_keys_of_their_version(api: Api, version: str, expected: dict[str, Any]) -> None:
    assert api(PATH, version=version).json == {"volumeAttachments": [expected]}
    assert api(f"{PATH}/{VOLUME}", version=version).json == {"volumeAttachment": expected}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.1", BASE), ("2.69", BASE), ("2.70", TAGGED), ("2.79", FULL), ("2.89", FULL), ("2.100", FULL)],
)
def test_an_attach_answers_with_the_keys_of_its_version(api: Api, version: str, expected: dict[str, Any]) -> None:
    answer = api(PATH, "POST", version, json_=body())
    assert (answer.status_int, answer.json) == (200, {"volumeAttachment": expected})


def test_from_2_101_an_attach_answers_without_a_body(api: Api) -> None:
    answer = api(PATH, "POST", "2.101", json_=body())
    assert (answer.status_int, answer.body) == (202, b"")
    assert "Content-Type" not in answer.headers
    assert api.volumes.calls[0][0] == "attach"


def test_what_is_asked_for_reaches_the_compute_side(api: Api) -> None:
    asked = body(device="/dev/vdc", tag="data", delete_on_termination="Yes")
    answer = api(PATH, "POST", "2.79", json_=asked)
    wanted = {"device": "/dev/vdc", "tag": "data", "delete_on_termination": True, "shelved_too": True}
    assert api.volumes.calls == [("attach", SERVER, VOLUME, wanted)]
    assert answer.json["volumeAttachment"]["delete_on_termination"] is True


def test_a_row_without_a_device_name_shows_none(api: Api) -> None:
    api.volumes.devices = [a_device(device_name=None)]
    assert "device" not in api(f"{PATH}/{VOLUME}").json["volumeAttachment"]


def test_a_row_without_a_cinder_attachment_is_shown_below_2_89_only(api: Api, message: Message) -> None:
    api.volumes.devices = [a_device(attachment_id=None)]
    assert api(PATH, version="2.88").json["volumeAttachments"] == [FULL]
    assert api(PATH, version="2.89").json["volumeAttachments"] == []
    answer = api(f"{PATH}/{VOLUME}", version="2.89")
    assert answer.status_int == 404
    assert message(answer) == f"Instance {SERVER} is not attached to volume {VOLUME}"


@pytest.mark.parametrize(
    ("query", "page"),
    [("", (1000, 0)), ("?limit=2", (2, 0)), ("?limit=0&offset=3", (1000, 3)), ("?limit=99999", (1000, 0)),
     ("?limit=2&limit=4", (4, 0)), ("?colour=red", (1000, 0))],
)  # fmt: skip
def test_pages(api: Api, query: str, page: tuple[int, int]) -> None:
    assert api(PATH + query).status_int == 200
    assert api.volumes.calls == [("list", SERVER, *page)]


@pytest.mark.parametrize(
    ("query", "version"),
    [("limit=abc", "2.1"), ("limit=-1", "2.1"), ("offset=1.5", "2.1"), ("limit=", "2.1"), ("limit=%D9%A1", "2.1"),
     ("limit=" + "9" * 5000, "2.1"), ("colour=red", "2.75")],
)  # fmt: skip
def test_pages_that_make_no_sense(api: Api, query: str, version: str) -> None:
    assert api(f"{PATH}?{query}", version=version).status_int == 400
    assert api.volumes.calls == []


@pytest.mark.parametrize("device", ["/dev/vdb", "/dev/xvdc", "/dev/sdb1", "/dev/vdaa", "/dev/a", "/dev/vd1", None])
def test_device_names_that_are_taken(api: Api, device: str | None) -> None:
    assert api(PATH, "POST", json_=body(device=device)).status_int == 200
    assert api.volumes.calls[0][3]["device"] == device


@pytest.mark.parametrize("device", ["vdb", "auto", "", "/dev/vdB", "/dev/nvme0n1", "/dev/vdb\n", 7, [], "/dev/vdb/x"])
def test_device_names_that_are_refused(api: Api, message: Message, device: Any) -> None:
    answer = api(PATH, "POST", json_=body(device=device))
    assert answer.status_int == 400
    assert message(answer).startswith(f"Invalid input for field/attribute device. Value: {device}. ")
    assert api.volumes.calls == []


@pytest.mark.parametrize(
    ("version", "members"),
    [("2.48", {"tag": "t"}), ("2.49", {"tag": None}), ("2.49", {"tag": ""}), ("2.49", {"tag": "a,b"}),
     ("2.49", {"tag": "a/b"}), ("2.49", {"tag": "x" * 61}), ("2.78", {"delete_on_termination": True}),
     ("2.79", {"delete_on_termination": "perhaps"}), ("2.79", {"delete_on_termination": None}),
     ("2.101", {"colour": "red"}), ("2.1", {"volumeId": "here"}), ("2.1", {"volumeId": None})],
)  # fmt: skip
def test_members_that_are_refused(api: Api, version: str, members: dict[str, Any]) -> None:
    assert api(PATH, "POST", version, json_=body(**members)).status_int == 400
    assert api.volumes.calls == []


def test_missing_members_are_named(api: Api, message: Message) -> None:
    assert message(api(PATH, "POST", json_={})) == "'volumeAttachment' is a required property"
    inner = message(api(PATH, "POST", json_={"volumeAttachment": {}}))
    assert inner.endswith("'volumeId' is a required property")


def test_a_refusal_of_the_compute_side_is_told(api: Api, message: Message) -> None:
    api.volumes.error = nova_errors.InvalidVolume(reason=f"volume {VOLUME} is already attached to instances: {SERVER}")
    answer = api(PATH, "POST", json_=body())
    assert (answer.status_int, list(answer.json)) == (400, ["badRequest"])
    assert message(answer) == f"Invalid volume: volume {VOLUME} is already attached to instances: {SERVER}"


def test_detach(api: Api) -> None:
    answer = api(f"{PATH}/{VOLUME}", "DELETE")
    assert (answer.status_int, answer.body) == (202, b"")
    assert api.volumes.calls == [("detach", SERVER, VOLUME)]


@pytest.mark.parametrize(("version", "volume"), [("2.1", VOLUME), ("2.84", OTHER), ("2.85", OTHER)])
def test_swapping_is_left_to_services(api: Api, message: Message, version: str, volume: str) -> None:
    answer = api(f"{PATH}/{VOLUME}", "PUT", version, json_={"volumeAttachment": {"volumeId": volume}})
    assert answer.status_int == 403
    assert "swap" in message(answer)


def test_the_fate_of_a_volume_can_be_changed(api: Api) -> None:
    asked = body(delete_on_termination="1", device="/dev/vdb", serverId=SERVER, id=VOLUME)
    answer = api(f"{PATH}/{VOLUME}", "PUT", "2.85", json_=asked)
    assert (answer.status_int, answer.body) == (202, b"")
    assert api.volumes.calls == [("set_delete_on_termination", VOLUME, True)]


def test_an_update_that_says_nothing_new_changes_nothing(api: Api) -> None:
    assert api(f"{PATH}/{VOLUME}", "PUT", "2.85", json_=body()).status_int == 202
    assert api.volumes.calls == []


@pytest.mark.parametrize(("name", "value"), [("device", "/dev/vdz"), ("tag", "t"), ("serverId", OTHER), ("id", OTHER)])
def test_nothing_else_can_be_changed(api: Api, message: Message, name: str, value: str) -> None:
    answer = api(f"{PATH}/{VOLUME}", "PUT", "2.85", json_=body(**{name: value}))
    assert (answer.status_int, message(answer)) == (400, f"The {name} property is not mutable")


def test_changing_what_is_not_attached(api: Api, message: Message) -> None:
    answer = api(f"{PATH}/{OTHER}", "PUT", "2.85", json_={"volumeAttachment": {"volumeId": OTHER}})
    assert (answer.status_int, message(answer)) == (404, f"No volume Block Device Mapping with id {OTHER}.")


def test_a_long_list_costs_little(api: Api) -> None:
    api.volumes.devices = [dataclasses.replace(a_device(), id=number) for number in range(1000)]
    assert len(api(PATH, version="2.89").json["volumeAttachments"]) == 1000
    spent = []
    for _ in range(5):
        begun = time.process_time()
        api(PATH, version="2.89")
        spent.append(time.process_time() - begun)
    # A few ms on any machine; the bound is for a slow and busy one.
    assert min(spent) < 0.05
