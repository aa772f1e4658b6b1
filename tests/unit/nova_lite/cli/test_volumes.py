"""The commands on volumes, each against the fake stack."""

import pytest


def test_create_sends_name_size_and_type(nlite, stack):
    result = nlite("volume-create", "v1", "--size", "2", "--type", "lite", "-f", "json")
    assert result.code == 0
    assert result.json()["status"] == "creating"
    assert stack.sent("POST") == [("/v3/volumes", {"volume": {"size": 2, "name": "v1", "volume_type": "lite"}})]


def test_create_needs_no_name(nlite, stack):
    result = nlite("volume-create", "--size", "1", "-f", "json")
    assert result.code == 0
    assert result.json()["name"] is None
    assert stack.sent("POST")[0][1] == {"volume": {"size": 1}}


@pytest.mark.parametrize("size", ["0", "-1", "text", "1.5", ""])
def test_create_with_a_bad_size_is_a_usage_error(nlite, stack, size, capsys):
    assert nlite("volume-create", "v1", "--size", size).code == 2
    assert "is not a whole number of at least 1" in capsys.readouterr().err
    assert stack.requests == []


def test_create_waits_until_available(nlite, stack):
    stack.script["new"] = [{}, {"status": "available"}]
    result = nlite("volume-create", "v1", "--size", "1", "--wait", "-f", "json")
    assert result.code == 0
    assert result.json()["status"] == "available"
    assert [line.split(" (")[0] for line in result.err.splitlines()] == [
        "Creating v1: creating",
        "Creating v1: available",
        "Creating v1: done",
    ]


def test_create_that_ends_in_error_fails_and_names_the_next_step(nlite, stack):
    stack.script["new"] = [{}, {"status": "error"}]
    result = nlite("volume-create", "v1", "--size", "1", "--wait")
    assert result.code == 1
    assert result.out == ""
    assert "error: volume v1 could not be created: its status is error" in result.err
    assert f"nlite volume-delete {next(iter(stack.volumes))}" in result.err


def test_create_that_lasts_too_long(nlite):
    result = nlite("volume-create", "v1", "--size", "1", "--wait", "--timeout", "0.05")
    assert result.code == 1
    assert "gave up after 0.05 s: volume v1 is still creating" in result.err


def test_over_quota_shows_the_api_message(nlite, stack):
    stack.refuse("POST", "/volumes$", 413, "VolumeLimitExceeded: 10 of 10 used", "overLimit")
    result = nlite("volume-create", "v1", "--size", "1")
    assert result.code == 1
    assert result.err.splitlines()[0] == "error: VolumeLimitExceeded: 10 of 10 used"
    assert "quota" in result.err.splitlines()[1]


def test_an_unknown_type_has_its_own_hint(nlite, stack):
    stack.refuse("POST", "/volumes$", 404, "Volume type gold could not be found.", "itemNotFound")
    assert nlite("volume-create", "v1", "--size", "1", "--type", "gold").err.splitlines() == [
        "error: Volume type gold could not be found.",
        "hint: leave --type out to get the default type",
    ]


def test_list_names_the_server_in_a_table_and_structures_it_in_json(nlite, stack):
    server, volume = stack.server("c1"), stack.volume("v1")
    attachment = stack.plug(server, volume)
    stack.volume("v2")
    assert "c1 on /dev/vdb" in nlite("volume-list").out
    first, second = nlite("volume-list", "-f", "json").json()
    assert first["Attached to"][0]["server_name"] == "c1"
    assert first["Attached to"][0]["attachment_id"] == attachment["id"]
    assert second["Attached to"] == []


def test_list_works_without_nova(nlite, stack):
    server = stack.server("c1")
    stack.plug(server, stack.volume("v1"))
    stack.refuse("GET", "/v2.1/servers", 503, "down", "serviceUnavailable")
    result = nlite("volume-list")
    assert result.code == 0
    assert f"{server['id']} on /dev/vdb" in result.out


def test_list_follows_pages(nlite, stack):
    stack.page_size = 2
    for number in range(5):
        stack.volume(f"v{number}")
    assert len(nlite("volume-list", "-f", "json").json()) == 5


def test_show_has_readable_attachments(nlite, stack):
    stack.plug(stack.server("c1"), stack.volume("v1", metadata={"readonly": "False"}))
    table = nlite("volume-show", "v1").out
    assert "c1 on /dev/vdb" in table
    assert "readonly=False" in table
    shown = nlite("volume-show", "v1", "-f", "json").json()
    assert shown["attachments"][0]["device"] == "/dev/vdb"
    assert shown["metadata"] == {"readonly": "False"}


def test_delete_waits_until_gone(nlite, stack):
    volume = stack.volume("v1")
    stack.script[volume["id"]] = [{}, None]
    result = nlite("volume-delete", "v1", "--wait")
    assert (result.code, result.out) == (0, "")
    assert "Deleting v1: gone" in result.err


def test_delete_that_cinder_could_not_finish(nlite, stack):
    volume = stack.volume("v1")
    stack.script[volume["id"]] = [{}, {"status": "error_deleting"}]
    result = nlite("volume-delete", "v1", "--wait")
    assert result.code == 1
    assert "volume v1 was not deleted: its status is error_deleting now" in result.err


def test_delete_of_an_attached_volume_says_how_to_detach_it(nlite, stack):
    server, volume = stack.server("c1"), stack.volume("v1")
    stack.plug(server, volume)
    stack.refuse("DELETE", "/volumes/", 400, "Invalid volume: status must be available, but is in-use")
    result = nlite("volume-delete", "v1")
    assert result.code == 1
    assert f"hint: detach it first: nlite volume-detach {server['id']} {volume['id']} --wait" in result.err


def test_delete_of_several(nlite, stack):
    stack.volume("v1")
    stack.volume("v2")
    assert nlite("volume-delete", "v1", "v2").code == 0
    assert len(stack.sent("DELETE")) == 2
