"""The command `trace` against the fake stack: what a reference means, what is shown, what is said when it cannot be."""

import io
import json

import pytest

from nova_lite.cli import session, trace_follow, trace_records, trace_text
from tests.unit.nova_lite.cli import step_records

ABSENT = "99999999-9999-4999-8999-999999999999"


@pytest.fixture
def recorded(stack):
    stack.steps = step_records.sides([*step_records.attach(), *step_records.detach()])
    return stack


def steps_of(result):
    return [step["step"] for request in json.loads(result.out)["requests"] for step in request["steps"]]


def test_a_request_is_told_from_both_sides(nlite, recorded):
    result = nlite("trace", step_records.ATTACH)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == step_records.ATTACH
    assert "attach: server" in lines[1]
    assert len(lines) == 4 + len(step_records.attach())
    assert "\x1b" not in result.out


@pytest.mark.parametrize("reference", [step_records.VOLUME, step_records.SERVER, step_records.ATTACHMENT])
def test_an_id_is_that_of_a_volume_server_or_attachment_even_if_it_is_gone(nlite, recorded, reference):
    result = nlite("trace", reference, "-f", "json")
    assert result.code == 0
    assert [request["operation"] for request in json.loads(result.out)["requests"]] == ["attach", "detach"]


@pytest.mark.parametrize(("kind", "name"), [("server", "c1"), ("volume", "v1")])
def test_names_are_those_of_servers_and_volumes(nlite, recorded, kind, name):
    record = getattr(recorded, kind)(name)
    for side in recorded.steps.values():
        for one in side:
            one["ids"] = one["ids"] | {kind: record["id"]}
    assert nlite("trace", name).code == 0
    assert "create_export" in nlite("trace", name).out


def test_a_name_of_two_things_is_refused(nlite, recorded):
    server, volume = recorded.server("twin"), recorded.volume("twin")
    result = nlite("trace", "twin")
    assert result.code == 1
    assert f"server {server['id']}, volume {volume['id']}" in result.err
    assert "hint: say which one by its id" in result.err


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("nobody", "nothing has the name or id 'nobody'"),
        (ABSENT, f"no step of any request, server, volume or attachment {ABSENT} is recorded"),
        (f"req-{ABSENT}", f"no step of request req-{ABSENT} is recorded"),
    ],
)
def test_what_nobody_knows_is_an_error(nlite, recorded, reference, text):
    result = nlite("trace", reference)
    assert (result.code, result.out) == (1, "")
    assert text in result.err
    assert "hint: " in result.err


def test_a_thing_to_which_nothing_was_done_yet(nlite, recorded):
    volume = recorded.volume("v1")
    result = nlite("trace", volume["id"])
    assert (result.code, result.out) == (1, "")
    assert "no step of volume v1 is recorded" in result.err


def test_only_the_last_requests(nlite, recorded):
    result = nlite("trace", step_records.VOLUME, "--last", "1", "-f", "json")
    assert [request["operation"] for request in json.loads(result.out)["requests"]] == ["detach"]


def test_all_pages_are_read(nlite, recorded):
    recorded.page_size = 3
    assert sorted(steps_of(nlite("trace", step_records.ATTACH, "-f", "json"))) == sorted(
        record["step"] for record in step_records.attach()
    )


def test_json_holds_the_records_and_what_was_made_of_them(nlite, recorded):
    recorded.steps = step_records.sides(step_records.attach(fails="connect_volume"))
    told = nlite("trace", step_records.ATTACH, "-f", "json").json()
    (request,) = told["requests"]
    assert told["notes"] == []
    assert (request["operation"], request["outcome"]) == ("attach", "error")
    assert request["failed_at"] == {"service": "nova-compute", "step": "connect_volume"}
    by_name = {(step["service"], step["step"]): step for step in request["steps"]}
    step = by_name["cinder-volume", "attachment_update"]
    assert (step["start_ms"], step["duration_ms"], step["depth"]) == (20.0, 9.3, 2)
    assert step["cause"]["service"] == "cinder-api"
    assert step["started_at"] == "2026-11-22T01:02:03.143000Z"


@pytest.mark.parametrize(
    ("shape", "begin"),
    [("diagram", step_records.ATTACH), ("mermaid", "sequenceDiagram\n"), ("svg", "<?xml version")],
)
def test_formats(nlite, recorded, shape, begin):
    result = nlite("trace", step_records.ATTACH, "--format", shape)
    assert result.code == 0
    assert result.out.startswith(begin)
    assert "create_export" in result.out


def test_diagram_is_short_for_the_format(nlite, recorded):
    assert nlite("trace", step_records.ATTACH, "--diagram", "--width", "80").out == (
        nlite("trace", step_records.ATTACH, "-f", "diagram", "--width", "80").out
    )


def test_one_side_is_told_when_the_other_is_down(nlite, recorded, monkeypatch):
    monkeypatch.setenv("OS_COMPUTE_ENDPOINT_OVERRIDE", "http://127.0.0.1:9/v2.1")
    result = nlite("trace", step_records.VOLUME)
    assert result.code == 1
    assert "create_export" in result.out
    assert "hand_over" not in result.out
    assert "note: nova's side is not seen: cannot reach nova-api at http://127.0.0.1:9/v2.1" in result.out
    assert "error: cannot reach nova-api" in result.err


def test_a_name_is_looked_for_on_the_side_that_answers(nlite, recorded, monkeypatch):
    recorded.volume("v1", id=step_records.VOLUME)
    monkeypatch.setenv("OS_COMPUTE_ENDPOINT_OVERRIDE", "http://127.0.0.1:9/v2.1")
    result = nlite("trace", "v1")
    assert result.code == 1
    assert "create_export" in result.out
    # It may be a server's name, so that nobody has it cannot be said.
    assert "error: cannot reach nova-api" in nlite("trace", "c1").err


def test_one_side_that_keeps_no_records_is_named(nlite, recorded):
    del recorded.steps["cinder"]
    result = nlite("trace", step_records.ATTACH)
    assert result.code == 1
    assert "note: cinder's side is not seen: cinder-api keeps no records of steps" in result.out
    for shape in ("json", "mermaid", "svg", "diagram"):
        assert "cinder-api keeps no records" in nlite("trace", step_records.ATTACH, "-f", shape).out


def test_no_records_anywhere(nlite, stack):
    result = nlite("trace", step_records.ATTACH)
    assert (result.code, result.out) == (1, "")
    assert "nova-api keeps no records of steps" in result.err
    assert "openstack server event list" in result.err


def test_a_side_that_answers_nonsense_is_named(nlite, recorded):
    recorded.steps["nova"] = [one | {"outcome": "odd"} for one in recorded.steps["nova"]]
    result = nlite("trace", step_records.ATTACH)
    assert "nova-api answered with something that is no step record" in result.out


def test_policy_is_respected(nlite, recorded):
    recorded.refuse("GET", "/v3/os-steps", 403, "Policy doesn't allow it.", "forbidden")
    assert "cinder's side is not seen: Policy doesn't allow it." in nlite("trace", step_records.ATTACH).out


def test_a_died_and_a_running_step_are_shown_as_such(nlite, stack):
    stack.steps = step_records.sides(step_records.attach(dies="connect_volume"))
    assert "DIED\n" in nlite("trace", step_records.ATTACH).out
    stack.steps = step_records.sides(step_records.attach(until="connect_volume"))
    assert "running\n" in nlite("trace", step_records.ATTACH).out


class Clock:
    """Time that passes by sleeping; `then` happens at each sleep."""

    def __init__(self, *then):
        self.now = 0.0
        self.then = list(then)

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.then:
            self.then.pop(0)()


class Recorded:
    """The APIs, as far as `ask` needs them."""

    def __init__(self, records):
        self.records = records
        self.queries = []
        self.silent = set()

    def pages(self, service, path, key, params):
        self.queries.append((service, params))
        if service in self.silent:
            raise trace_records.errors.Unreachable(f"cannot reach {session.API_NAMES[service]}")
        side = trace_records.SIDES[service]
        yield from (one for one in self.records if one["service"].startswith(side))


def followed(cloud, clock, reference=step_records.ATTACH, timeout=None):
    out = io.StringIO()
    code = trace_follow.follow(cloud, reference, out, trace_text.Style(width=100), timeout, clock, clock.sleep)
    return code, out.getvalue()


def grown(cloud, records):
    def change():
        cloud.records = records

    return change


def test_follow_shows_steps_as_they_come_until_the_request_is_finished():
    whole = step_records.attach()
    cloud = Recorded(whole[:6])
    clock = Clock(
        grown(cloud, whole[:9]),
        grown(cloud, step_records.attach(until="connect_volume")),
        grown(cloud, whole),
    )
    code, out = followed(cloud, clock)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == step_records.ATTACH
    assert len([line for line in lines if " connect_volume " in line]) == 2
    assert len([line for line in lines if " hand_over " in line]) == 1
    assert lines[-1].startswith("attach ok: ")
    assert clock.now < 10


def test_follow_waits_for_the_daemon_that_has_not_begun():
    cloud = Recorded(step_records.attach()[:6])
    clock = Clock()
    code, out = followed(cloud, clock)
    assert code == 1
    assert trace_follow.PATIENCE <= clock.now < trace_follow.PATIENCE + 5
    assert "nobody has begun with it" in out.replace("\n  ", " ")


def test_follow_of_a_failed_request_ends_with_1():
    code, out = followed(Recorded(step_records.attach(fails="connect_volume")), Clock())
    assert code == 1
    assert "refused the login" in out
    assert out.splitlines()[-1].startswith("attach failed: ")


def test_follow_of_a_request_that_nobody_knows():
    with pytest.raises(trace_records.errors.NotFound, match="no step of request"):
        followed(Recorded([]), Clock())


def test_follow_gives_up_when_told_to():
    with pytest.raises(trace_records.errors.CliError, match="has not finished after 3 s"):
        followed(Recorded(step_records.attach(until="connect_volume")), Clock(), timeout=3.0)


def test_follow_survives_an_api_that_is_away_for_a_while():
    whole = step_records.attach()
    cloud = Recorded(step_records.attach(until="connect_volume"))
    clock = Clock(
        lambda: cloud.silent.update(("compute", "volume")),
        lambda: cloud.silent.clear(),
        grown(cloud, whole),
    )
    code, out = followed(cloud, clock)
    assert code == 0
    assert out.count("note: nova's side is not seen") == 1


def test_follow_of_a_volume_shows_the_last_request_and_those_that_come():
    first, second = step_records.attach(), step_records.detach()
    earlier = step_records.attach("req-aaaaaaaa-0000-4000-8000-000000000003", after=-60)
    cloud = Recorded([*earlier, *first])
    code, out = followed(cloud, Clock(grown(cloud, [*first, *second])), step_records.VOLUME, timeout=5.0)
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("req-")] == [step_records.ATTACH, step_records.DETACH]
    assert cloud.queries[-1][1] == {"volume_id": step_records.VOLUME, "since": first[0]["started_at"]}


def test_follow_goes_with_the_table_only(nlite, recorded):
    result = nlite("trace", step_records.ATTACH, "--follow", "--diagram")
    assert result.code == 2


def test_follow_by_command(nlite, recorded, monkeypatch):
    monkeypatch.setattr(trace_follow, "PAUSE", 0.01)
    monkeypatch.setattr(trace_follow, "QUIET", 0.05)
    result = nlite("trace", step_records.ATTACH, "--follow")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1].startswith("attach ok")
