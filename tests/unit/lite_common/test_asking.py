"""Many are asked at once; who does not answer is named and holds up nobody."""

from __future__ import annotations

import threading
import time

import pytest

from lite_common import asking, errors


def test_all_are_asked_at_the_same_time() -> None:
    meet = threading.Barrier(3, timeout=5)

    def ask(name: str) -> str:
        meet.wait()
        return name.upper()

    assert asking.ask_all(["a", "b", "c"], ask) == ({"a": "A", "b": "B", "c": "C"}, {})


def test_nobody_is_asked_for_nothing() -> None:
    assert asking.ask_all([], lambda name: name) == ({}, {})


def test_a_refusal_is_the_reason() -> None:
    def ask(name: str) -> str:
        if name == "down":
            raise errors.Unavailable("it is down.")
        return name

    assert asking.ask_all(["up", "down"], ask) == ({"up": "up"}, {"down": "it is down."})


def test_who_is_late_is_not_waited_for() -> None:
    done = threading.Event()
    begun = time.monotonic()
    answers, silent = asking.ask_all(["fast", "slow"], lambda name: name if name == "fast" else done.wait(5), total=0.1)
    assert time.monotonic() - begun < 3
    assert (answers, silent) == ({"fast": "fast"}, {"slow": "it did not answer within 0.1 s"})
    done.set()


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        asking.ask_all([0], lambda number: 1 / number)
