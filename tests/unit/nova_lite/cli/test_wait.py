"""Progress of waiting: what `follow` decides, and what a pipe and a terminal see."""

import io
import os
import pty
import re

import pytest

from nova_lite.cli import errors, wait
from tests.unit.nova_lite.cli import conftest


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.now = 100.0
        self.naps = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds


class Recorder:
    """A reporter that remembers its calls."""

    def __init__(self):
        self.calls = []

    def step(self, state, elapsed):
        self.calls.append(("step", state))

    def tick(self, elapsed):
        pass

    def end(self, ending, elapsed):
        self.calls.append(("end", ending.value))


def follow(*seen, timeout=120.0, clock=None):
    clock = clock or Clock()
    looks = iter(seen)
    last = [None]

    def look():
        last[0] = next(looks, last[0])
        if isinstance(last[0], Exception):
            raise last[0]
        return last[0]

    report = Recorder()
    try:
        wait.follow(look, report, timeout, "volume v1", "wait longer", clock, clock.sleep)
    except errors.CliError as error:
        return report.calls, error
    return report.calls, None


def test_every_change_is_reported_once():
    calls, error = follow(
        wait.Seen("reserved"), wait.Seen("reserved"), wait.Seen("attaching"), wait.Seen("in-use", wait.Outcome.DONE)
    )
    assert error is None
    assert calls == [("step", "reserved"), ("step", "attaching"), ("step", "in-use"), ("end", "done")]


def test_a_failure_is_reported_and_raised():
    calls, error = follow(wait.Seen("attaching"), wait.Seen("available", wait.Outcome.FAILED, "undone", "look there"))
    assert (error.message, error.hint) == ("undone", "look there")
    assert calls[-1] == ("end", "failed")


def test_time_is_limited_and_pauses_grow_but_stay_short():
    clock = Clock()
    calls, error = follow(wait.Seen("attaching"), timeout=10, clock=clock)
    assert error.message == "gave up after 10 s: volume v1 is still attaching"
    assert error.hint == "wait longer"
    assert clock.now == pytest.approx(110)
    assert max(clock.naps) <= wait.FRAME
    assert len(clock.naps) < 200
    assert calls[-1] == ("end", "gave up")


def test_one_last_look_is_made_when_time_is_up():
    calls, error = follow(wait.Seen("a"), wait.Seen("b", wait.Outcome.DONE), timeout=0.01)
    assert error is None
    assert calls[-1] == ("end", "done")


def test_an_api_that_is_away_for_a_while_is_waited_for():
    away = errors.Unreachable("cannot reach cinder-api", "start it")
    calls, error = follow(wait.Seen("attaching"), away, away, wait.Seen("in-use", wait.Outcome.DONE))
    assert error is None
    assert [state for _, state in calls] == ["attaching", "no answer from the API", "in-use", "done"]


def test_an_api_that_stays_away_is_the_error():
    away = errors.Unreachable("cannot reach cinder-api", "start it")
    calls, error = follow(wait.Seen("attaching"), away, timeout=5)
    assert error is away
    assert calls[-1] == ("end", "gave up")


def test_an_interrupt_ends_the_report():
    report = Recorder()

    def look():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait.follow(look, report, 1, "x", "y")
    assert report.calls == [("end", "stopped watching")]


def test_a_pipe_gets_plain_lines():
    stream = io.StringIO()
    report = wait.reporter("Attaching v1 to c1", stream)
    report.step("reserved", 0.04)
    report.tick(0.1)
    report.step("in-use", 1.26)
    report.end(wait.Ending.DONE, 1.26)
    assert stream.getvalue() == (
        "Attaching v1 to c1: reserved (0.04 s)\n"
        "Attaching v1 to c1: in-use (1.26 s)\n"
        "Attaching v1 to c1: done (1.26 s)\n"
    )


@pytest.fixture
def terminal():
    """A pty: a stream that is a terminal, and a function that returns what was written to it."""
    outside, inside = pty.openpty()
    stream = os.fdopen(inside, "w", encoding="utf-8")

    def written():
        stream.close()
        chunks = []
        while True:
            try:
                chunk = os.read(outside, 65536)
            except OSError:
                break
            if not chunk:
                break
            chunks.append(chunk)
        return b"".join(chunks).decode()

    yield stream, written
    os.close(outside)
    if not stream.closed:
        stream.close()


def on_screen(text):
    """Return the lines a person sees at the end: each redrawn line in its last form, without colours."""
    last = [line.split("\r\x1b[K")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in last]


def test_a_terminal_gets_a_list_of_steps(nlite, stack, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream, written = terminal
    server, volume = stack.server("c1"), stack.volume("v1")
    done = {"status": "in-use", "attachments": [{"server_id": server["id"]}]}
    stack.script[volume["id"]] = [{}, {}, {"status": "attaching"}, done]
    result = conftest.run_nlite("volume-attach", "c1", "v1", "--wait", "-f", "json", stderr=stream)
    text = written()
    assert result.code == 0
    assert result.json()["volume_name"] == "v1"
    assert "\x1b[32m✓\x1b[0m" in text
    assert "⠙" in text
    assert [re.sub(r" +\d+\.\d\d s$", "", line) for line in on_screen(text)] == [
        "Attaching v1 to c1",
        "  ✓ reserved",
        "  ✓ attaching",
        "  ✓ in-use",
        "  done after",
        "",
    ]


def test_a_terminal_sees_the_step_that_failed(nlite, stack, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream, written = terminal
    stack.server("c1")
    volume = stack.volume("v1")
    stack.script[volume["id"]] = [{}, {"status": "available"}]
    result = conftest.run_nlite("volume-attach", "c1", "v1", "--wait", stderr=stream)
    lines = on_screen(written())
    assert result.code == 1
    assert lines[2].startswith("  ✗ available")
    assert lines[3].startswith("  failed after")
    assert lines[4].startswith("error: volume v1 was not attached to c1")


def test_no_colour_if_the_person_wants_none(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream, written = terminal
    report = wait.reporter("x", stream)
    report.step("a", 0)
    report.end(wait.Ending.DONE, 1)
    assert "\x1b[3" not in written()


def test_a_dumb_terminal_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(wait.reporter("x", terminal[0]), wait.PlainReporter)


def test_a_terminal_without_unicode_gets_ascii_signs(monkeypatch):
    class Latin(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    raw = io.BytesIO()
    report = wait.reporter("x", Latin(raw, encoding="latin-1"))
    report.step("a", 0)
    report.end(wait.Ending.FAILED, 1)
    assert b"x\x1b[0m a" in raw.getvalue()
