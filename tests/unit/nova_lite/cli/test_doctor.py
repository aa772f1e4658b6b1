"""`nlite doctor` against the fake stack: what it prints, what it asks for, and how it ends."""

from __future__ import annotations

import io
import pathlib
import re

import pytest

from nova_lite.cli import doctor, main
from tests.unit.nova_lite.cli import sides as samples

GOLDEN = f"""\
volume data ({samples.VOLUME}) in server c1 ({samples.SERVER})   disagree
  nova row          | /dev/vdb, attachment {samples.ATTACHMENT}; server active on host1
  cinder volume     | in-use, 1 GiB on host1@lvm#pool
  cinder attachment | {samples.ATTACHMENT} attached on host1
  volume bytes      | /volumes/volume-{samples.VOLUME}, 1073741824 bytes
! target            | none
  LUN               | none
  ACL               | none
  session           | in QEMU
  host device       | none: QEMU connects by itself
  live XML          | ua-{samples.VOLUME}, iscsi://10.0.0.4:3260/{samples.IQN}/1
! stored XML        | none
  ! stored XML: the disk is not there (unchanged since 2026-01-01T00:00:00Z); nova-compute would plug it in again
  ! target: {samples.IQN} is not there (unchanged since 2026-01-01T00:00:00Z); cinder-volume would make it again

1 attachment: 1 disagree
"""


@pytest.fixture
def attached(stack):
    """One attachment, in order on all sides."""
    stack.sides["compute"]["attachment_sides"] = [samples.row()]
    stack.sides["volume"]["volume_sides"] = [samples.volume(samples.attachment())]
    return stack


@pytest.fixture
def broken(attached):
    """The same without a target and without the stored disk."""
    attached.sides["compute"]["attachment_sides"] = [samples.changed(samples.row(), "compute/stored", None)]
    lost = {"present": False, "portals": ["10.0.0.4:3260"]}
    volume = samples.changed(samples.volume(samples.attachment()), "export/target", lost)
    attached.sides["volume"]["volume_sides"] = [volume]
    return attached


def test_all_agree(nlite, attached):
    result = nlite("doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith("1 attachment: 1 agree\n")
    assert f"  ACL               | CHAP; ALL\n  session           | in QEMU; target: {samples.INITIATOR}" in result.out
    assert [path for path, _ in attached.sent("GET")] == [
        "/v2.1/os-attachment-sides?all_tenants=true",
        "/v3/os-volume-sides?all_tenants=true",
    ]
    assert nlite("doctor", "--wrong").out == "1 attachment: 1 agree\n"


def test_nothing_to_compare(nlite, stack):
    assert nlite("doctor").out == "0 attachments: nothing to compare\n"


def test_what_disagrees_is_marked(nlite, broken):
    result = nlite("doctor")
    assert (result.code, result.out) == (1, GOLDEN)


def test_the_example_in_the_docs_is_what_is_printed():
    page = pathlib.Path(__file__).parents[4] / "docs" / "doctor.md"
    assert f"```\n{GOLDEN}```\n" in page.read_text()


def test_json_is_the_whole_of_it(nlite, broken):
    told = nlite("doctor", "-f", "json").json()
    (one,) = told["attachments"]
    assert (told["exit_code"], one["verdict"], one["server_name"], one["volume_name"]) == (1, "disagree", "c1", "data")
    assert one["sides"]["row"] == broken.sides["compute"]["attachment_sides"][0]
    assert one["findings"][0] == {
        "side": "stored XML",
        "what": "the disk is not there",
        "action": "plug it in again",
        "by": "nova-compute",
        "since": "2026-01-01T00:00:00Z",
    }


def test_fix_asks_the_daemons_and_shows_before_and_after(nlite, broken):
    def heal(service, asked):
        if service == "compute":
            broken.sides["compute"]["attachment_sides"] = [samples.row()]
            return {"done": ["The disk was given back to the stored configuration."], "left": []}
        broken.sides["volume"]["volume_sides"] = [samples.volume(samples.attachment())]
        return {"done": ["The target was made again."], "left": []}

    broken.heal = heal
    result = nlite("doctor", "--fix")
    assert result.code == 0
    before, after = result.out.split("+ nova-compute")
    assert before == GOLDEN
    assert f"+ cinder-volume, volume {samples.VOLUME}: The target was made again.\n" in after
    assert result.out.endswith("1 attachment: 1 agree\n")
    assert broken.sent("POST") == [
        ("/v2.1/os-attachment-sides/heal", {"heal": {"volume_id": samples.VOLUME, "server_id": samples.SERVER}}),
        ("/v3/os-volume-sides/heal", {"heal": {"volume_id": samples.VOLUME}}),
    ]


def test_fix_says_what_was_left_and_does_not_ask_for_ever(nlite, broken):
    broken.heal = lambda service, asked: {"done": [], "left": ["the guest keeps the disk."]}
    result = nlite("doctor", "--fix")
    assert result.code == 1
    assert f"- nova-compute, volume {samples.VOLUME}: the guest keeps the disk.\n" in result.out
    assert len(broken.sent("POST")) == 2


def test_fix_of_what_agrees_asks_nobody(nlite, attached):
    assert nlite("doctor", "--fix").code == 0
    assert attached.sent("POST") == []


def test_a_daemon_that_could_not_be_asked_is_named(nlite, attached):
    attached.sides["compute"]["attachment_sides"] = [samples.row() | {"compute": None}]
    gone = {"service": "nova-compute", "host": "host1", "side": "all", "reason": "it is down"}
    attached.sides["compute"]["unseen"] = [gone]
    result = nlite("doctor")
    assert result.code == 2
    assert "  live XML          | (not seen)\n" in result.out
    assert "Not seen:\n  nova-compute on host1: it is down\n" in result.out
    assert "1 attachment: 1 not all seen" in result.out


def test_with_an_api_down_the_other_half_is_told(nlite, attached, monkeypatch):
    monkeypatch.setenv("OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE", "http://127.0.0.1:9/v3")
    result = nlite("doctor")
    assert result.code == 2
    assert "  cinder volume     | (not seen)\n" in result.out
    assert f"  live XML          | ua-{samples.VOLUME}" in result.out
    assert "cinder-api: cannot reach cinder-api" in result.out
    assert nlite("doctor", samples.VOLUME).code == 2


def test_a_server_or_a_volume_by_name(nlite, attached):
    server, volume = attached.server("c1"), attached.volume("data")
    nlite("doctor", "c1")
    nlite("doctor", "data")
    asked = [path for path, _ in attached.sent("GET") if "sides" in path]
    assert asked[0] == f"/v2.1/os-attachment-sides?server_id={server['id']}"
    assert asked[-2:] == [
        f"/v2.1/os-attachment-sides?volume_id={volume['id']}",
        f"/v3/os-volume-sides?volume_id={volume['id']}",
    ]


@pytest.mark.parametrize(
    "words", [("nobody",), ("--watch", "0"), ("--in-motion", "x"), ("-f", "yaml"), ("--unknown",), ("a", "b")]
)
def test_what_is_typed_wrong_ends_with_three(nlite, stack, words):
    assert nlite("doctor", *words).code == doctor.REFUSED


def test_who_may_not_is_told_so(nlite, broken):
    broken.refuse("POST", "heal$", 403, "Policy doesn't allow it.", "forbidden")
    result = nlite("doctor", "--fix")
    assert (result.code, "Policy doesn't allow it." in result.err) == (doctor.REFUSED, True)
    broken.refuse("GET", "sides$", 401, "Who are you?", "unauthorized")
    assert nlite("doctor").code == doctor.REFUSED


def test_exports_of_no_volume_are_told_and_healed(nlite, stack):
    stack.sides["volume"]["strays"] = [{"host": "host1@lvm", "volume_id": samples.VOLUME}]

    def heal(service, asked):
        stack.sides["volume"]["strays"] = []
        return {"done": ["Target removed."], "left": []}

    stack.heal = heal
    assert "it is there, and no such volume is; cinder-volume would remove it" in nlite("doctor").out
    assert nlite("doctor", "--fix").code == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stdout", [io.StringIO, Terminal])
def test_watch_looks_again_until_it_is_interrupted(stack, broken, monkeypatch, nlite, stdout):
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(doctor.time, "sleep", sleep)
    out = stdout()
    code = main.Nlite(stdout=out, stderr=io.StringIO()).run(["doctor", "--watch", "5"])
    assert (code, looks) == (1, [5, 5, 5])
    assert len(re.findall(r"^(?:\x1b\[H\x1b\[2J)?-- \S+Z$", out.getvalue(), re.MULTILINE)) == 3
    assert out.getvalue().count(doctor.HOME_AND_CLEAR) == (3 if out.isatty() else 0)
