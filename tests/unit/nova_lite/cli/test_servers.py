"""The commands on servers, each against the fake stack."""

import re

import pytest

DONE = {"status": "ACTIVE", "OS-EXT-STS:task_state": None}


@pytest.fixture
def bootable(stack):
    stack.images.append({"id": "img-1", "name": "lite", "status": "active", "disk_format": "qcow2", "size": 7})
    stack.flavors += [
        {"id": "2", "name": "big", "vcpus": 2, "ram": 512, "disk": 1},
        {"id": "1", "name": "tiny", "vcpus": 1, "ram": 64, "disk": 0},
    ]
    return stack


def test_boot_takes_the_only_image_and_the_smallest_flavor(nlite, bootable):
    result = nlite("boot", "c1", "-f", "json")
    assert result.code == 0
    assert result.json()["name"] == "c1"
    ((path, body),) = bootable.sent("POST")
    assert path == "/v2.1/servers"
    assert body == {"server": {"name": "c1", "imageRef": "img-1", "flavorRef": "1", "networks": "none"}}
    assert f"follow it with: nlite show {result.json()['id']}" in result.err


def test_boot_finds_image_and_flavor_by_name(nlite, bootable):
    bootable.images.append({"id": "img-2", "name": "other"})
    assert nlite("boot", "c1", "--image", "other", "--flavor", "big").code == 0
    ((_, body),) = bootable.sent("POST")
    assert (body["server"]["imageRef"], body["server"]["flavorRef"]) == ("img-2", "2")


def test_boot_asks_which_of_several_images(nlite, bootable):
    bootable.images.append({"id": "img-2", "name": "other"})
    result = nlite("boot", "c1")
    assert result.code == 1
    assert "2 images to boot from: lite, other" in result.err
    assert "--image" in result.err
    assert not bootable.sent("POST")


def test_boot_without_any_image_or_flavor(nlite, bootable):
    bootable.flavors.clear()
    assert "no flavor to boot with" in nlite("boot", "c1").err
    bootable.images.clear()
    assert "no image to boot from" in nlite("boot", "c1").err


def test_boot_wait_shows_each_state_once(nlite, bootable):
    spawning = {"OS-EXT-STS:task_state": "spawning"}
    bootable.script["new"] = [{}, spawning, {}, DONE]
    result = nlite("boot", "c1", "--wait", "-f", "json")
    assert result.code == 0
    assert result.json()["status"] == "ACTIVE"
    states = [re.sub(r" \(\d+\.\d\d s\)$", "", line) for line in result.err.splitlines()]
    assert states == ["Booting c1: BUILD", "Booting c1: BUILD (spawning)", "Booting c1: ACTIVE", "Booting c1: done"]


def test_boot_wait_tells_the_fault_of_a_server_in_error(nlite, bootable):
    fault = {"code": 500, "message": "no room on the host"}
    bootable.script["new"] = [{}, {"status": "ERROR", "fault": fault}]
    result = nlite("boot", "c1", "--wait", "-f", "json")
    assert result.code == 1
    assert result.out == ""
    assert "error: server c1 went to ERROR: no room on the host" in result.err
    assert "nlite delete " in result.err


def test_boot_wait_gives_up_in_time(nlite, bootable):
    result = nlite("boot", "c1", "--wait", "--timeout", "0.05")
    assert result.code == 1
    assert "gave up after 0.05 s: server c1 is still BUILD" in result.err
    assert "nlite show " in result.err


def test_boot_wait_notices_that_the_server_was_deleted(nlite, bootable):
    bootable.script["new"] = [None]
    result = nlite("boot", "c1", "--wait")
    assert result.code == 1
    assert "deleted meanwhile" in result.err


def test_list_shows_image_names_and_volume_ids(nlite, bootable):
    server = bootable.server("c1", image={"id": "img-1"})
    bootable.plug(server, bootable.volume("v1"))
    (row,) = nlite("list", "-f", "json").json()
    assert row["Image"] == "lite"
    assert row["Flavor"] == "tiny"
    assert row["Volumes"] == list(bootable.volumes)
    assert "| 1       |" in nlite("list", "-c", "Volumes").out


def test_list_works_without_the_image_api(nlite, bootable):
    bootable.server("c1", image={"id": "img-1"})
    bootable.refuse("GET", "/images", 500, "broken", "computeFault")
    result = nlite("list", "-f", "json")
    assert result.code == 0
    assert result.json()[0]["Image"] == "img-1"


def test_list_of_nothing_is_an_empty_json_list(nlite):
    assert nlite("list", "-f", "json").json() == []


def test_list_of_all_projects_asks_for_them(nlite, stack):
    nlite("list", "--all-projects")
    assert stack.sent("GET")[0][0] == "/v2.1/servers/detail?all_tenants=1"


def test_show_by_name_and_by_id(nlite, stack):
    server = stack.server("c1")
    for reference in ("c1", server["id"]):
        shown = nlite("show", reference, "-f", "json").json()
        assert shown["id"] == server["id"]
        assert shown["power_state"] == "running"
        assert shown["volumes"] == []


@pytest.mark.parametrize(
    ("argv", "status", "body"),
    [
        (["start"], "SHUTOFF", {"os-start": None}),
        (["stop"], "ACTIVE", {"os-stop": None}),
        (["reboot"], "ACTIVE", {"reboot": {"type": "SOFT"}}),
        (["reboot", "--hard"], "ACTIVE", {"reboot": {"type": "HARD"}}),
    ],
)
def test_actions_send_their_body(nlite, stack, argv, status, body):
    server = stack.server("c1", status)
    result = nlite(*argv, "c1")
    assert (result.code, result.out) == (0, "")
    assert stack.sent("POST") == [(f"/v2.1/servers/{server['id']}/action", body)]


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [("start", "SHUTOFF", "ACTIVE"), ("stop", "ACTIVE", "SHUTOFF"), ("reboot", "ACTIVE", "ACTIVE")],
)
def test_actions_wait_for_their_state(nlite, stack, command, before, after):
    server = stack.server("c1", before)
    stack.script[server["id"]] = [{}, {"status": after, "OS-EXT-STS:task_state": None}]
    result = nlite(command, "c1", "--wait")
    assert result.code == 0
    assert result.err.splitlines()[-1].startswith(("Starting c1: done", "Stopping c1: done", "Rebooting c1: done"))


def test_stop_that_falls_back_is_a_failure(nlite, stack):
    server = stack.server("c1")
    stack.script[server["id"]] = [{}, DONE]
    result = nlite("stop", "c1", "--wait")
    assert result.code == 1
    assert "server c1 is ACTIVE again" in result.err


def test_delete_waits_until_the_server_is_gone(nlite, stack):
    server = stack.server("c1")
    stack.script[server["id"]] = [{}, None]
    result = nlite("delete", "c1", "--wait")
    assert result.code == 0
    assert "Deleting c1: gone" in result.err


def test_delete_goes_on_after_a_failure_and_says_so_with_its_code(nlite, stack):
    server = stack.server("c1")
    result = nlite("delete", "nobody", "c1")
    assert result.code == 1
    assert "no server has the name or id 'nobody'" in result.err
    assert stack.sent("DELETE") == [(f"/v2.1/servers/{server['id']}", None)]


def test_console_prints_the_log_as_it_is(nlite, stack):
    stack.server("c1")
    stack.console = "one\ntwo\nthree"
    assert nlite("console", "c1").out == "one\ntwo\nthree\n"
    assert nlite("console", "c1", "--lines", "2").out == "two\nthree\n"
    assert stack.sent("POST")[1][1] == {"os-getConsoleOutput": {"length": 2}}


def test_console_of_a_silent_guest_prints_nothing(nlite, stack):
    stack.server("c1")
    assert nlite("console", "c1").out == ""


def test_conflict_shows_the_message_and_what_to_do(nlite, stack):
    server = stack.server("c1")
    text = f"Cannot 'start' instance {server['id']} while it is in vm_state active"
    stack.refuse("POST", "/action$", 409, text, "conflictingRequest")
    result = nlite("start", "c1")
    assert result.code == 1
    assert result.err.splitlines()[0] == f"error: {text}"
    assert result.err.splitlines()[1] == f"hint: it is busy or there already; its state: nlite show {server['id']}"
    assert "Traceback" not in result.err


def test_flavor_list_and_image_list(nlite, bootable):
    rows = nlite("flavor-list", "-f", "json").json()
    assert {"ID": "1", "Name": "tiny", "VCPUs": 1, "RAM": 64, "Disk": 0} in rows
    (row,) = nlite("image-list", "-f", "json").json()
    assert row == {"ID": "img-1", "Name": "lite", "Status": "active", "Format": "qcow2", "Size": 7}
