"""The crew: jobs by name, one at a time of each, failures told once and tried again later."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lite_common import crew, errors
from tests.fixtures import stack


@pytest.fixture
def two() -> Iterator[crew.Crew]:
    made = crew.Crew("test", 2)
    made.start()
    yield made
    made.stop(5)


def test_a_job_is_not_begun_twice_and_holds_up_no_other(two: crew.Crew) -> None:
    go, done = threading.Event(), []

    def slow() -> None:
        assert go.wait(10)
        done.append("slow")

    assert two.do("slow", slow)
    assert not two.do("slow", slow)
    assert two.do("quick", lambda: done.append("quick"))
    stack.wait_for(lambda: done == ["quick"], 5, "the quick one is done")
    go.set()
    stack.wait_for(lambda: done == ["quick", "slow"], 5, "the slow one is done")
    stack.wait_for(lambda: two.do("slow", lambda: None), 5, "it may be done again")


def test_a_failure_is_told_once_and_waits_a_little(two: crew.Crew, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    def refused() -> None:
        tried.append(1)
        raise errors.Conflict("The guest keeps it.")

    assert two.do("job", refused)
    stack.wait_for(lambda: len(tried) == 1 and "guest keeps" in caplog.text, 5, "it was tried")
    assert not two.do("job", refused), "too early"
    stack.wait_for(lambda: two.do("job", refused), 5, "it may be tried again")
    stack.wait_for(lambda: len(tried) == 2, 5, "it was tried again")
    assert caplog.text.count("The guest keeps it.") == 1


def test_nobody_works_before_the_start_and_after_the_stop() -> None:
    made = crew.Crew("test")
    assert not made.do("job", lambda: None)
    made.start()
    made.stop(1)
    assert not made.do("job", lambda: None)
