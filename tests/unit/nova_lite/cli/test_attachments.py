"""Attach, detach and list of attachments against the fake stack."""

import pytest


@pytest.fixture
def pair(stack):
    return stack.server("c1"), stack.volume("v1")


def in_use(server):
    return {"status": "in-use", "attachments": [{"server_id": server["id"], "device": "/dev/vdb"}]}


def test_attach_sends_names_as_ids_and_lets_nova_choose_the_device(nlite, stack, pair):
    server, volume = pair
    result = nlite("volume-attach", "c1", "v1", "-f", "json")
    assert result.code == 0
    assert stack.sent("POST") == [
        (
            f"/v2.1/servers/{server['id']}/os-volume_attachments",
            {"volumeAttachment": {"volumeId": volume["id"], "device": None}},
        )
    ]
    shown = result.json()
    assert (shown["server_name"], shown["volume_name"], shown["device"]) == ("c1", "v1", "/dev/vdb")
    assert shown["attachment_id"] == stack.cinder_attachments[0]["id"]
    assert shown["status"] == "reserved"


def test_attach_passes_the_device_on(nlite, stack, pair):
    nlite("volume-attach", "c1", "v1", "/dev/vdd")
    assert stack.sent("POST")[0][1]["volumeAttachment"]["device"] == "/dev/vdd"


def test_attach_wait_shows_the_steps_and_keeps_json_pure(nlite, stack, pair):
    server, volume = pair
    stack.script[volume["id"]] = [{}, {"status": "attaching"}, {}, in_use(server)]
    result = nlite("volume-attach", "c1", "v1", "--wait", "-f", "json")
    assert result.code == 0
    assert result.json()["volume_id"] == volume["id"]
    assert [line.split(" (")[0] for line in result.err.splitlines()] == [
        "Attaching v1 to c1: reserved",
        "Attaching v1 to c1: attaching",
        "Attaching v1 to c1: in-use",
        "Attaching v1 to c1: done",
    ]


@pytest.mark.parametrize(
    ("fallen", "text"),
    [("available", "the attach failed and was undone"), ("error_attaching", "its status is error_attaching")],
)
def test_attach_that_falls_back_fails_and_names_the_request(nlite, stack, pair, fallen, text):
    stack.script[pair[1]["id"]] = [{}, {"status": "attaching"}, {"status": fallen}]
    result = nlite("volume-attach", "c1", "v1", "--wait", "-f", "json")
    assert result.code == 1
    assert result.out == ""
    assert f"error: volume v1 was not attached to c1: {text}" in result.err
    assert "`nlite trace req-" in result.err
    assert "Attaching v1 to c1: failed" in result.err


def test_attach_is_not_done_while_another_server_holds_the_volume(nlite, stack, pair):
    other = {"status": "in-use", "attachments": [{"server_id": "somebody else"}]}
    stack.script[pair[1]["id"]] = [other]
    result = nlite("volume-attach", "c1", "v1", "--wait", "--timeout", "0.05")
    assert result.code == 1
    assert "gave up after 0.05 s: volume v1 is still in-use" in result.err


def test_attach_of_a_volume_deleted_meanwhile(nlite, stack, pair):
    stack.script[pair[1]["id"]] = [None]
    assert "volume v1 was deleted meanwhile" in nlite("volume-attach", "c1", "v1", "--wait").err


def test_refused_attach_of_an_attached_volume_says_where_it_is(nlite, stack, pair):
    other = stack.server("c2")
    stack.plug(other, pair[1])
    text = f"Invalid volume: volume {pair[1]['id']} is already attached to instances: {other['id']}"
    stack.refuse("POST", "os-volume_attachments", 400, text)
    result = nlite("volume-attach", "c1", "v1", "--wait")
    assert result.code == 1
    assert result.err.splitlines() == [
        f"error: {text}",
        f"hint: detach it first: nlite volume-detach {other['id']} {pair[1]['id']} --wait",
    ]


@pytest.mark.parametrize(
    ("status", "hint"),
    [("creating", "the volume is creating: wait until it is available"), ("error", "the volume is in error")],
)
def test_refused_attach_by_state_of_the_volume(nlite, stack, status, hint):
    stack.server("c1")
    stack.volume("v1", status)
    stack.refuse("POST", "os-volume_attachments", 400, "Invalid input received: Invalid volume: status")
    assert f"hint: {hint}" in nlite("volume-attach", "c1", "v1").err


def test_refused_device_name_shows_what_one_looks_like(nlite, stack, pair):
    stack.refuse("POST", "os-volume_attachments", 400, "Invalid input for field/attribute device. Value: vdb.")
    assert nlite("volume-attach", "c1", "v1", "vdb").err.splitlines() == [
        "error: Invalid input for field/attribute device. Value: vdb.",
        "hint: a device looks like /dev/vdc; leave it out and nova takes the next free one",
    ]


def test_attach_to_a_busy_server(nlite, stack, pair):
    stack.refuse("POST", "os-volume_attachments", 409, "Cannot 'attach_volume' instance", "conflictingRequest")
    assert f"nlite show {pair[0]['id']}" in nlite("volume-attach", "c1", "v1").err


def test_detach_wait_ends_only_when_nova_has_let_go_too(nlite, stack, pair):
    server, volume = pair
    stack.plug(server, volume)
    stack.script[volume["id"]] = [{}, {"status": "available", "attachments": []}]
    stack.script[f"row of {volume['id']}"] = [{}, {}]
    result = nlite("volume-detach", "c1", "v1", "--wait")
    assert (result.code, result.out) == (0, "")
    assert [line.split(" (")[0] for line in result.err.splitlines()] == [
        "Detaching v1 from c1: detaching",
        "Detaching v1 from c1: available",
        "Detaching v1 from c1: done",
    ]
    row = f"/v2.1/servers/{server['id']}/os-volume_attachments/{volume['id']}"
    assert stack.sent("DELETE") == [(row, None)]
    assert len([path for path, _ in stack.sent("GET") if path == row]) == 3


def test_detach_that_is_rolled_back_fails(nlite, stack, pair):
    server, volume = pair
    stack.plug(server, volume)
    stack.script[volume["id"]] = [{}, in_use(server)]
    result = nlite("volume-detach", "c1", "v1", "--wait")
    assert result.code == 1
    assert "volume v1 is still attached to c1: the detach failed and was undone" in result.err


def test_detach_that_the_guest_does_not_answer(nlite, stack, pair):
    stack.plug(*pair)
    result = nlite("volume-detach", "c1", "v1", "--wait", "--timeout", "0.05")
    assert result.code == 1
    assert "volume v1 is still detaching" in result.err
    assert "nlite volume-show" in result.err


def test_detach_that_ends_in_error(nlite, stack, pair):
    stack.plug(*pair)
    stack.script[pair[1]["id"]] = [{"status": "error_detaching"}]
    assert "volume v1 went to error_detaching" in nlite("volume-detach", "c1", "v1", "--wait").err


def test_detach_of_what_is_not_attached(nlite, stack, pair):
    result = nlite("volume-detach", "c1", "v1")
    assert result.code == 1
    assert "is not attached to volume" in result.err
    assert f"nlite volume-attachments {pair[0]['id']}" in result.err


def test_detach_without_wait_says_how_to_follow_it(nlite, stack, pair):
    stack.plug(*pair)
    result = nlite("volume-detach", "c1", "v1")
    assert (result.code, result.out) == (0, "")
    assert f"nlite volume-show {pair[1]['id']}" in result.err
    assert nlite("-q", "volume-detach", "c1", "v1").err == ""


@pytest.mark.parametrize("count", [1, 7])
def test_attachments_of_a_server(nlite, stack, count):
    server = stack.server("c1")
    for number in range(count):
        stack.plug(server, stack.volume(f"v{number}"), f"/dev/vd{'bcdefghi'[number]}")
    rows = nlite("volume-attachments", "c1", "-f", "json").json()
    assert len(rows) == count
    assert rows[0] == {
        "Volume ID": next(iter(stack.volumes)),
        "Volume Name": "v0",
        "Device": "/dev/vdb",
        "Attachment ID": stack.cinder_attachments[0]["id"],
        "Status": "attached",
    }


def test_attachments_that_cinder_does_not_know_are_still_listed(nlite, stack, pair):
    stack.plug(*pair)
    stack.cinder_attachments.clear()
    (row,) = nlite("volume-attachments", "c1", "-f", "json").json()
    assert (row["Volume Name"], row["Attachment ID"], row["Status"]) == ("v1", None, None)


def test_attachments_of_a_server_without_any(nlite, stack, pair):
    assert nlite("volume-attachments", "c1", "-f", "json").json() == []
