"""The commands on snapshots, on copies and on growing volumes, each against the fake stack."""

import pytest


def test_create_sends_volume_and_name(nlite, stack):
    volume = stack.volume("v1")
    result = nlite("snapshot-create", "v1", "s1", "-f", "json")
    assert result.code == 0
    assert result.json()["status"] == "creating"
    assert stack.sent("POST") == [("/v3/snapshots", {"snapshot": {"volume_id": volume["id"], "name": "s1"}})]


def test_create_by_force_waits(nlite, stack):
    volume = stack.volume("v1", "in-use")
    stack.script["new"] = [{}, {"status": "available"}]
    result = nlite("snapshot-create", "v1", "--force", "--wait", "-f", "json")
    assert result.json()["status"] == "available"
    assert stack.sent("POST")[0][1] == {"snapshot": {"volume_id": volume["id"], "force": True}}
    assert "available" in result.err


def test_create_that_ends_in_error(nlite, stack):
    stack.volume("v1")
    stack.script["new"] = [{}, {"status": "error"}]
    result = nlite("snapshot-create", "v1", "s1", "--wait")
    assert (result.code, result.out) == (1, "")
    assert "error: snapshot s1 could not be created: its status is error" in result.err
    assert f"nlite snapshot-delete {next(iter(stack.snapshots))}" in result.err


def test_create_of_a_volume_in_use_says_what_helps(nlite, stack):
    stack.volume("v1", "in-use")
    stack.refuse("POST", "/snapshots$", 400, "Invalid volume: status must be available")
    result = nlite("snapshot-create", "v1")
    assert result.code == 1
    assert "hint: add --force" in result.err


def test_list_and_its_filters(nlite, stack):
    first, second = stack.volume("v1"), stack.volume("v2")
    stack.snapshot(first, "s1")
    stack.snapshot(second, "s2")
    assert [one["Name"] for one in nlite("snapshot-list", "-f", "json").json()] == ["s1", "s2"]
    assert [one["Name"] for one in nlite("snapshot-list", "--volume", "v2", "-f", "json").json()] == ["s2"]
    nlite("snapshot-list", "--all-projects")
    assert "all_tenants=1" in stack.sent("GET")[-1][0]


def test_show_by_name_and_id(nlite, stack):
    snapshot = stack.snapshot(stack.volume("v1"), "s1", metadata={"a": "b"})
    assert nlite("snapshot-show", "s1", "-f", "json").json()["id"] == snapshot["id"]
    assert "a=b" in nlite("snapshot-show", snapshot["id"]).out
    result = nlite("snapshot-show", "nothing")
    assert result.code == 1
    assert "`nlite snapshot-list` shows the snapshots" in result.err


@pytest.mark.parametrize(("last", "code"), [(None, 0), ({"status": "error_deleting"}, 1)])
def test_delete_waits_for_the_end(nlite, stack, last, code):
    snapshot = stack.snapshot(stack.volume("v1"), "s1")
    stack.script[snapshot["id"]] = [{}, last]
    result = nlite("snapshot-delete", "s1", "--wait")
    assert (result.code, result.out) == (code, "")
    assert ("Deleting s1: gone" in result.err) == (code == 0)


def test_a_volume_from_a_snapshot_has_its_size(nlite, stack):
    snapshot = stack.snapshot(stack.volume("v1"), "s1")
    assert nlite("volume-create", "--snapshot", "s1", "v2").code == 0
    assert stack.sent("POST") == [("/v3/volumes", {"volume": {"snapshot_id": snapshot["id"], "name": "v2"}})]


def test_a_volume_from_a_volume_may_be_larger(nlite, stack):
    source = stack.volume("v1")
    assert nlite("volume-create", "--source", "v1", "--size", "3").code == 0
    assert stack.sent("POST") == [("/v3/volumes", {"volume": {"source_volid": source["id"], "size": 3}})]


@pytest.mark.parametrize("arguments", [["v1"], ["--snapshot", "s", "--source", "v"]])
def test_a_volume_of_no_size_or_two_sources_is_a_usage_error(nlite, stack, arguments):
    assert nlite("volume-create", *arguments).code == 2
    assert stack.requests == []


def test_extend_waits_for_the_size(nlite, stack):
    volume = stack.volume("v1", "in-use")
    stack.script[volume["id"]] = [{}, {"status": "in-use", "size": 3}]
    result = nlite("volume-extend", volume["name"], "3", "--wait", "-f", "json")
    assert (result.code, result.json()["size"]) == (0, 3)
    assert stack.sent("POST") == [(f"/v3/volumes/{volume['id']}/action", {"os-extend": {"new_size": 3}})]


@pytest.mark.parametrize("status", ["available", "error_extending"])
def test_extend_that_does_not_come_to_be(nlite, stack, status):
    volume = stack.volume("v1")
    stack.script[volume["id"]] = [{}, {"status": status}]
    result = nlite("volume-extend", "v1", "3", "--wait")
    assert result.code == 1
    assert f"volume v1 was not extended: its size is 1, its status {status}" in result.err


def test_extend_of_a_volume_that_goes_meanwhile(nlite, stack):
    volume = stack.volume("v1")
    stack.script[volume["id"]] = [{}, None]
    result = nlite("volume-extend", "v1", "3", "--wait")
    assert result.code == 1
    assert "was deleted meanwhile" in result.err
