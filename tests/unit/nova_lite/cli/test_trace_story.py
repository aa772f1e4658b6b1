"""Step records into stories: order, cause and effect, failures, clocks."""

import pathlib
import random
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from nova_lite.cli import trace_hops, trace_steps, trace_story, trace_text
from nova_lite.cli.trace_steps import Outcome
from tests.unit.nova_lite.cli import step_records


def told(records):
    return trace_story.stories(map(trace_steps.read, records))


def names(story):
    return [(step.service, step.name) for step in story.steps]


def step(**changes):
    record = step_records.attach()[0] | changes
    return trace_steps.read(record)


def test_an_attach_is_told_in_the_order_in_which_it_happens():
    records = step_records.attach()
    (story,) = told(reversed(records))
    assert [one.raw for one in story.steps] == records
    assert (story.operation, story.outcome, story.failure) == ("attach", Outcome.OK, None)
    assert story.seconds == pytest.approx(0.0607, abs=1e-5)
    assert story.ids == {
        "server": step_records.SERVER,
        "volume": step_records.VOLUME,
        "attachment": step_records.ATTACHMENT,
    }


def test_steps_stand_under_what_they_are_a_part_of_or_what_waits_for_them():
    (story,) = told(step_records.attach())
    depths = {(one.step.service, one.step.name): one.depth for one in story.placed}
    assert depths["cinder-api", "attachment_update"] == 1
    assert depths["cinder-volume", "attachment_update"] == 2
    assert depths["cinder-volume", "create_export"] == 3
    # Nobody waits for what was cast.
    assert depths["nova-compute", "get_connector"] == 0


def test_causes_are_found_over_processes():
    (story,) = told(step_records.attach())
    causes = {(one.step.service, one.step.name): one for one in story.placed if one.cause is not None}
    assert {key: one.cause.name for key, one in causes.items()} == {
        ("cinder-api", "attachment_create"): "create_attachment",
        ("nova-compute", "get_connector"): "hand_over",
        ("cinder-api", "attachment_update"): "update_attachment",
        ("cinder-volume", "attachment_update"): "attachment_update",
        ("cinder-api", "attachment_complete"): "complete_attachment",
    }
    assert causes["nova-compute", "get_connector"].hop.kind is trace_hops.Kind.CAST
    assert story.unheard == ()


def test_requests_are_told_apart_and_in_their_order():
    stories = told([*step_records.detach(), *step_records.attach()])
    assert [(one.operation, one.request_id) for one in stories] == [
        ("attach", step_records.ATTACH),
        ("detach", step_records.DETACH),
    ]


def test_a_step_told_twice_counts_once_as_it_ended():
    records = step_records.attach(until="connect_volume")
    ended = step_records.attach()
    assert len(told([*records, *ended, *records])[0].steps) == len(ended)
    assert told([*ended, *records])[0].outcome is Outcome.OK


@pytest.mark.parametrize("seconds", [-3600.0, -0.5, 0.5, 3600.0])
@pytest.mark.parametrize("host", ["compute1", "controller"])
def test_a_wrong_clock_changes_no_order_and_is_named(seconds, host):
    (straight,) = told(step_records.attach())
    (story,) = told(step_records.attach(clocks={host: seconds}))
    assert names(story) == names(straight)
    (skew,) = story.skews
    behind = (seconds < 0) == (host == "compute1")
    assert {skew.host, skew.other} == {"compute1", "controller"}
    assert (skew.seconds > 0) == (behind == (skew.host == "compute1"))
    # What is known for sure is a little less than what the clock is off.
    assert abs(seconds) - 0.02 < abs(skew.seconds) <= abs(seconds)


def test_clocks_that_agree_are_not_spoken_of():
    (story,) = told(step_records.attach(clocks={"compute1": 0.001}))
    assert story.skews == ()


def test_the_sentence_about_a_clock():
    (story,) = told(step_records.attach(clocks={"compute1": -0.5}))
    assert str(story.skews[0]) == (
        "the clock of controller is at least 499 ms ahead of that of compute1: attachment_complete ends after the step "
        "that waited for it"
    )


def test_a_failure_is_told_by_its_innermost_step():
    (story,) = told(step_records.attach(fails="create_export"))
    assert story.outcome is Outcome.ERROR
    assert (story.failure.service, story.failure.name) == ("cinder-volume", "create_export")
    assert "failed at create_export in cinder-volume on controller: tgtd did not" in trace_text.remarks(story)[0]


def test_undoing_does_not_hide_the_failure():
    (story,) = told(step_records.attach(fails="connect_volume"))
    assert (story.failure.name, story.operation) == ("connect_volume", "attach")
    assert story.steps[-1].name == "remove_export"


def test_a_daemon_that_died_is_a_failure():
    (story,) = told(step_records.attach(dies="connect_volume"))
    assert (story.outcome, story.failure.reason) == (
        Outcome.DIED,
        "nova-compute died here; once it runs again, it finishes this or undoes it",
    )


def test_what_was_done_again_and_worked_is_no_failure():
    story = step_records.Story(step_records.ATTACH)
    story.step("nova-compute", "update_attachment", 0, 100)
    story.step("cinder-api", "attachment_update", 1, 40, error="the database is down")
    story.step("cinder-api", "attachment_update", 60, 99)
    assert told(story.records)[0].failure is None
    story = step_records.Story(step_records.ATTACH)
    story.step("nova-compute", "connect_volume", 0, None, outcome="died")
    story.step("nova-compute", "connect_volume", 5000, 5010)
    assert told(story.records)[0].failure is None


def test_a_cast_that_nobody_took_up_is_named():
    records = [one for one in step_records.attach() if one["service"] != "nova-compute"]
    (story,) = told(records)
    assert [one.name for one in story.unheard] == ["hand_over"]
    assert any("nobody has begun with it" in remark for remark in trace_text.remarks(story))


def test_a_running_step_makes_the_request_run():
    (story,) = told(step_records.attach(until="connect_volume"))
    assert (story.running, story.outcome) == (True, Outcome.RUNNING)
    assert "still running" in trace_text.summary(story)


def test_what_waited_too_long_is_not_forced_into_order():
    story = step_records.Story(step_records.ATTACH)
    story.step("cinder-api", "attachment_update", 0, 1000, error="timed out", server=step_records.SERVER)
    story.step("cinder-api", "attachment_delete", 1001, 1002)
    story.step("cinder-volume", "attachment_update", 5000, 5001)
    assert [one.started for one in told(story.records)[0].steps] == sorted(
        trace_steps.moment(record["started_at"]) for record in story.records
    )


def test_ids_that_differ_are_not_taken_for_cause_and_effect():
    other = "44444444-4444-4444-8444-444444444444"
    story = step_records.Story(step_records.ATTACH)
    story.step("nova-compute", "update_attachment", 0, 100)
    story.step("cinder-api", "attachment_update", 1, 40, volume=other)
    assert all(one.cause is None for one in told(story.records)[0].placed)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" two\n lines\t", "two lines"),
        ("\x1b[31mred\x07", "?[31mred?"),
        (None, ""),
        ("na\u00efve \u2717", "na\u00efve \u2717"),
    ],
)
def test_texts_become_one_harmless_line(text, line):
    assert trace_steps.line(text) == line


def test_names_of_programs_and_backends_are_read():
    read = step(service="cinder-lite-volume", host="h1@lvm", started_at="2026-11-22T01:02:03", finished_at=None)
    assert (read.service, read.machine, read.started) == ("cinder-volume", "h1", 1795309323.0)


@pytest.mark.parametrize("broken", [{"outcome": "odd"}, {"number": None}, {"started_at": "yesterday"}, {"step": None}])
def test_what_is_no_record_is_refused(broken):
    record = step_records.attach()[0] | broken
    if broken == {"step": None}:
        del record["step"]
    with pytest.raises((KeyError, TypeError, ValueError)):
        trace_steps.read(record)


SERVICES = st.sampled_from(trace_story.SERVICES)
NAMES = st.sampled_from(sorted({name for _, name in trace_hops.HOPS} | {"get_connector", "create_export", "os_attach"}))


@st.composite
def any_records(draw):
    """Return records that a defect or a foreign hand may have written: any parents, any times, any names."""
    count = draw(st.integers(1, 14))
    records = []
    numbers: dict[tuple[str, str, str], int] = {}
    for _ in range(count):
        service, host, process = draw(SERVICES), draw(st.sampled_from(["a", "b", "a@x"])), draw(st.sampled_from("12"))
        key = (service, host.partition("@")[0], process)
        numbers[key] = numbers.get(key, 0) + draw(st.integers(1, 3))
        start = draw(st.integers(0, 100))
        end = draw(st.none() | st.integers(0, 100))
        outcome = draw(st.sampled_from(["ok", "error"] if end is not None else ["running", "died"]))
        records.append(
            step_records.attach()[0]
            | {
                "service": service,
                "host": host,
                "process": process,
                "number": numbers[key],
                "parent": draw(st.none() | st.integers(0, 20)),
                "step": draw(NAMES),
                "ids": draw(st.dictionaries(st.sampled_from(["volume", "server"]), st.sampled_from("xy"))),
                "request_id": draw(st.sampled_from(["req-1", "req-2"])),
                "started_at": f"2026-11-22T01:00:00.{start:06}Z",
                "finished_at": None if end is None else f"2026-11-22T01:00:00.{end:06}Z",
                "outcome": outcome,
            }
        )
    return records


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(any_records(), st.randoms(use_true_random=False))
def test_any_records_make_stories_that_keep_every_step_and_each_process_order(records, dice):
    stories = told(records)
    assert sorted(one.key for story in stories for one in story.steps) == sorted(
        trace_steps.read(record).key for record in records
    )
    for story in stories:
        last: dict[tuple[str, str, str], int] = {}
        for one in story.steps:
            assert one.request_id == story.request_id
            assert last.get(one.process, -1) < one.number
            last[one.process] = one.number
        for one in story.placed:
            assert one.depth <= len(story.placed)
            assert one.cause is None or one.cause.process != one.step.process
        assert story.outcome in Outcome
    shuffled = list(records)
    dice.shuffle(shuffled)
    assert [names(story) for story in told(shuffled)] == [names(story) for story in stories]


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    st.floats(-7200, 7200),
    st.floats(-7200, 7200),
    st.integers(),
    st.sampled_from(["", "connect_volume", "create_export"]),
)
def test_no_clock_and_no_delivery_changes_the_order_of_a_request(controller, compute, seed, fails):
    (straight,) = told(step_records.attach(fails=fails))
    records = step_records.attach(clocks={"controller": controller, "compute1": compute}, fails=fails)
    random.Random(seed).shuffle(records)
    (story,) = told(records)
    assert names(story) == names(straight)
    assert [one.depth for one in story.placed] == [one.depth for one in straight.placed]


def traced_steps():
    """Return every step that a daemon may take, by its name in the code."""
    root = pathlib.Path(__file__).parents[4]
    found: set[str] = set()
    for package in ("nova_lite", "cinder_lite"):
        for path in (root / package).rglob("*.py"):
            found |= set(re.findall(r"trace\.step\(\s*\"(\w+)\"", path.read_text()))
    return found


def test_the_table_of_hops_names_steps_that_exist():
    named = {name for _, name in trace_hops.HOPS} | {name for hop in trace_hops.HOPS.values() for name in hop.steps}
    assert named <= traced_steps()
    assert set(trace_hops.OPERATION_OF) <= traced_steps()
    assert {hop.service for hop in trace_hops.HOPS.values()} <= set(trace_story.SERVICES)
