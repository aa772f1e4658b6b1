"""What the kernel benchmark makes of the daemons' log lines and of its figures."""

from __future__ import annotations

from devstack.bench import kernel, report

ATTACH, DETACH = "attach_to_guest", "detach_from_guest"


def _line(number: int, step: str, ms: float, outcome: str = "ok") -> str:
    request = f"req-00000000-0000-0000-0000-{number:012d}"
    said = f"step={step} outcome={outcome} ms={ms:.1f} volume=v"
    return f"2026-01-01 00:00:00.000 7 INFO nova.x [None {request} admin demo] {said}"


def test_steps_are_told_apart_by_what_their_request_was_for_and_the_first_is_not_counted() -> None:
    lines = [
        *(_line(1, "check_volume", 500), _line(1, ATTACH, 900), _line(2, "check_volume", 600), _line(2, DETACH, 700)),
        *(_line(3, "check_volume", 5), _line(3, ATTACH, 50), _line(4, "check_volume", 7), _line(4, DETACH, 70)),
        *(_line(5, ATTACH, 30), _line(5, "check_volume", 1), _line(5, "check_volume", 2), _line(6, DETACH, 90)),
        *(_line(7, "create_volume", 4), _line(8, ATTACH, 9, outcome="error"), "nothing of a step"),
    ]
    assert kernel.step_means(lines) == {
        "attach": {"check_volume": 4.0, ATTACH: 40.0},
        "detach": {"check_volume": 3.5, DETACH: 80.0},
    }


def test_the_table_has_the_ratios_and_the_share_of_each_step() -> None:
    results = {
        "kernel": {
            "real_ms": {"attach": {"p50": 200.0}, "detach": {"p50": 100.0}},
            "floor_ms": {"attach": {"p50": 100.0}, "detach": {"p50": 90.0}},
            "attach_ratio": 2.0,
            "detach_ratio": 1.11,
            "floor_steps_ms": {"export": 12.5, "log in": 40.0},
            "steps_ms": {"attach": {"connect_volume": 20.0, ATTACH: 50.0}, "detach": {DETACH: 30.0}},
        }
    }
    lines = report.table(results).splitlines()
    assert [line.split() for line in lines if " / floor" in line] == [
        ["kernel", "attach", "/", "floor", "2", "1.25", "MISSED"],
        ["kernel", "detach", "/", "floor", "1.11", "1.25", "ok"],
    ]
    assert lines[-1] == "the bare operations, in milliseconds: export 12.5, log in 40"
    shares = [line.split() for line in lines if line.startswith("    ")]
    assert shares == [[ATTACH, "50.0", "25%"], ["connect_volume", "20.0", "10%"], [DETACH, "30.0", "30%"]]
