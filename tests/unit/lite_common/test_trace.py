"""Steps are logged, and told to those who observe them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lite_common import trace


class Listener:
    """Writes down what it is told; fails at the begin of the steps named."""

    def __init__(self, *fails: str) -> None:
        self.told: list[tuple[str, str, str | None]] = []
        self.steps: dict[str, trace.Step] = {}
        self.fails = fails

    def begin(self, step: trace.Step) -> None:
        self.told.append(("begin", step.name, step.outcome))
        self.steps[step.name] = step
        if step.name in self.fails:
            raise ValueError("injected")

    def end(self, step: trace.Step) -> None:
        self.told.append(("end", step.name, step.outcome))


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Give one that listens."""
    made = Listener("refused")
    trace.observe(made)
    yield made
    trace.ignore(made)


def test_a_step_is_told_with_its_ids_and_the_step_around_it(listener: Listener) -> None:
    with trace.step("outer", volume="v", server=None), trace.step("inner"):
        pass
    assert listener.told == [
        ("begin", "outer", None),
        ("begin", "inner", None),
        ("end", "inner", "ok"),
        ("end", "outer", "ok"),
    ]
    outer, inner = listener.steps["outer"], listener.steps["inner"]
    assert (outer.ids, outer.parent, inner.parent) == ({"volume": "v"}, None, outer.number)
    assert inner.seconds is not None
    assert outer.seconds is not None
    assert outer.seconds >= inner.seconds >= 0


def test_a_failed_step_is_told_with_its_error_which_goes_on_up(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    error = KeyError("lost")
    with caplog.at_level(logging.INFO, "step"), pytest.raises(KeyError), trace.step("broken", volume="v"):
        raise error
    assert listener.steps["broken"].error is error
    assert listener.told[-1] == ("end", "broken", "error")
    assert "step=broken outcome=error" in caplog.text


def test_what_an_observer_raises_at_the_begin_keeps_the_step_from_being_done(listener: Listener) -> None:
    done = []
    with pytest.raises(ValueError, match="injected"), trace.step("refused"):
        done.append(1)
    assert done == []
    assert listener.told == [("begin", "refused", None), ("end", "refused", "error")]


def test_without_observers_a_step_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "step"), trace.step("alone", volume="v"):
        pass
    assert "step=alone outcome=ok" in caplog.text


def test_who_is_first_hears_of_a_begin_before_the_others(listener: Listener) -> None:
    recorder = Listener()
    trace.observe(recorder, first=True)
    try:
        with pytest.raises(ValueError, match="injected"), trace.step("refused"):
            pass
    finally:
        trace.ignore(recorder)
    assert recorder.told == [("begin", "refused", None), ("end", "refused", "error")]
