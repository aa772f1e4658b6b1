"""The last failed attach or detach beside volumes, attachments and servers."""

import pytest

from nova_lite.cli import failures, trace_steps, trace_story
from tests.unit.nova_lite.cli import step_records

LATER = "req-aaaaaaaa-0000-4000-8000-000000000005"
REASON = "The iSCSI portal 10.0.0.1:3260 refused the login of iqn.2026-11.org:compute1: authorization failure."


def standing(*requests):
    records = [record for request in requests for record in request]
    return failures.standing(trace_story.stories(map(trace_steps.read, records)))


@pytest.fixture
def failed(stack):
    """A volume and a server of which an attach failed."""
    stack.server("c1", id=step_records.SERVER)
    stack.volume("v1", id=step_records.VOLUME)
    stack.steps = step_records.sides(step_records.attach(fails="connect_volume"))
    return stack


def test_a_failure_stands():
    assert standing(step_records.attach(fails="connect_volume")) == {
        step_records.VOLUME: {
            "operation": "attach",
            "step": "connect_volume",
            "service": "nova-compute",
            "host": "compute1",
            "at": "2026-11-22T01:02:03.156500+00:00",
            "message": REASON,
            "server_id": step_records.SERVER,
            "volume_id": step_records.VOLUME,
            "request_id": step_records.ATTACH,
        }
    }


def test_until_something_later_has_succeeded():
    failure = step_records.attach(fails="connect_volume")
    assert standing(failure, step_records.attach(LATER, after=10)) == {}
    assert standing(step_records.attach(LATER, after=-10), failure) != {}
    assert standing(failure, step_records.attach(LATER, after=10, until="connect_volume")) != {}


def test_a_later_failure_takes_its_place():
    found = standing(
        step_records.attach(fails="connect_volume"), step_records.attach(LATER, after=10, fails="create_export")
    )
    assert found[step_records.VOLUME]["step"] == "create_export"


def timer(name, after):
    story = step_records.Story("req-eeeeeeee-0000-4000-8000-000000000007", after)
    story.step("nova-compute", name, 0, 5, user=None)
    return story.records


def test_tidying_up_does_not_make_it_good_but_finishing_does():
    failure = step_records.attach(dies="connect_volume")
    assert standing(failure, timer("delete_attachment", 10))[step_records.VOLUME]["message"].startswith(
        "nova-compute died here"
    )
    assert standing(failure, timer("complete_attachment", 10)) == {}


def test_a_refused_request_is_no_failure_of_the_volume():
    story = step_records.Story(step_records.ATTACH)
    story.step("nova-api", "check_server", 0, 1)
    story.step("nova-api", "check_volume", 1, 2, error="already attached")
    assert standing(story.records) == {}


def test_volume_show_tells_it(nlite, failed):
    shown = nlite("volume-show", "v1", "-f", "json").json()
    assert (shown["last_failure"]["step"], shown["last_failure"]["message"]) == ("connect_volume", REASON)
    text = nlite("volume-show", "v1", "--fit-width").out
    assert "attach failed at connect_volume (nova-compute on compute1, 2026-11-22 01:02:03 UTC): " in text
    assert f"see: nlite trace {step_records.ATTACH}" in text


def test_show_tells_it_of_a_server(nlite, failed):
    assert nlite("show", "c1", "-f", "json").json()["last_failure"]["volume_id"] == step_records.VOLUME


def test_what_has_not_failed_has_no_such_line(nlite, failed):
    failed.steps = step_records.sides(step_records.attach())
    for command in (("volume-show", "v1"), ("show", "c1")):
        assert "last_failure" not in nlite(*command, "-f", "json").json()
    assert nlite("volume-attachments", "c1").err == ""


@pytest.mark.parametrize("how", ["stock", "down"])
def test_without_records_nothing_is_said(nlite, failed, monkeypatch, how):
    if how == "stock":
        failed.steps = {}
    else:
        failed.refuse("GET", "os-steps", 503, "The database cannot be reached.", "serviceUnavailable")
    result = nlite("volume-show", "v1", "-f", "json")
    assert (result.code, result.err) == (0, "")
    assert "last_failure" not in result.json()


def test_attachments_tell_it_of_volumes_that_are_plugged_in(nlite, failed):
    failed.plug(failed.servers[step_records.SERVER], failed.volumes[step_records.VOLUME])
    (row,) = nlite("volume-attachments", "c1", "-f", "json").json()
    assert row["Last Failure"]["step"] == "connect_volume"


def test_attachments_note_it_of_others(nlite, failed):
    result = nlite("volume-attachments", "c1", "-f", "json")
    assert (result.code, result.json()) == (0, [])
    assert f"volume {step_records.VOLUME}: attach failed at connect_volume" in result.err
    assert f"see: nlite trace {step_records.ATTACH}" in result.err
    assert nlite("-q", "volume-attachments", "c1").err == ""


def test_what_is_over_for_the_volume_is_over_for_the_server(nlite, failed):
    """The volume went to another server, which the records of this server do not tell."""
    later = step_records.attach(LATER, after=10)
    for one in later:
        one["ids"] = {kind: value for kind, value in one["ids"].items() if kind != "server"}
    failed.steps = step_records.sides([*step_records.attach(fails="connect_volume"), *later])
    assert nlite("volume-attachments", "c1").err == ""
    assert "last_failure" not in nlite("show", "c1", "-f", "json").json()


def test_a_busy_volume_is_judged_by_its_last_hour(nlite, failed, monkeypatch):
    monkeypatch.setattr(failures.time, "time", lambda: step_records.BEGAN.timestamp() + 1800)
    nlite("volume-show", "v1")
    asked = [path for path, _ in failed.sent("GET") if "os-steps" in path]
    assert len(asked) == 2
    assert all("since=2026-11-22T00%3A32%3A03Z" in path for path in asked)
