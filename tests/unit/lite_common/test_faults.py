"""A fault happens once, at its moment, and only where it is allowed; `die` really kills."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from lite_common import config, errors, faults, trace

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    """Leave no observer behind."""
    found = list(trace._OBSERVERS)
    yield
    for observer in [one for one in trace._OBSERVERS if one not in found]:
        trace.ignore(observer)


def conf(allowed: bool) -> cfg.ConfigOpts:
    made = cfg.ConfigOpts()
    config.register(made, [config.COMMON])
    made([], project="lite", default_config_files=[])
    made.set_override("fault_injection", allowed)
    return made


def failures(name: str, turns: int) -> int:
    """How many of so many turns of the step failed."""
    failed = 0
    for _ in range(turns):
        try:
            with trace.step(name):
                pass
        except errors.BackendError:
            failed += 1
    return failed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("before:create_export:die", faults.Fault("before", "create_export", "die")),
        ("after:hand_over:hang:2.5", faults.Fault("after", "hand_over", "hang", 2.5)),
        (" after:hand_over:error*3 ", faults.Fault("after", "hand_over", "error", times=3)),
        ("before:hand_over:hang:1*2", faults.Fault("before", "hand_over", "hang", 1.0, 2)),
    ],
)
def test_what_a_fault_says(text: str, found: faults.Fault) -> None:
    assert faults.parse(text) == [found]
    assert faults.parse(str(found)) == [found]
    assert faults.parse(f"{text},\n,{text}\n") == [found, found]


@pytest.mark.parametrize(
    "text",
    [
        "create_export:die",
        "during:create_export:die",
        "before:create_export:explode",
        "before:create_export:hang",
        "before:create_export:hang:long",
        "before:create_export:hang:3601",
        "before:create_export:die:1",
        "before:create_export:die*0",
        "before::die",
        "before:create_export:die after:create_export:die",
    ],
)
def test_what_is_no_fault_is_named(text: str) -> None:
    with pytest.raises(errors.Invalid) as raised:
        faults.parse(f"before:good:die,{text}")
    assert repr(text) in raised.value.message


def test_an_error_comes_before_the_step_or_once_it_was_done() -> None:
    trace.observe(faults.Injector(faults.parse("before:first:error,after:second:error")))
    done = []
    for name in ("first", "second"):
        with pytest.raises(errors.BackendError, match=name), trace.step(name):
            done.append(name)
    assert done == ["second"]


def test_a_fault_happens_as_often_as_it_says() -> None:
    trace.observe(faults.Injector(faults.parse("before:once:error,before:twice:error*2")))
    assert (failures("once", 3), failures("twice", 4), failures("other", 2)) == (1, 2, 0)


def test_nothing_comes_after_a_step_that_failed() -> None:
    trace.observe(faults.Injector(faults.parse("after:broken:die")))
    with pytest.raises(KeyError), trace.step("broken"):
        raise KeyError


def test_a_hang_lasts_as_long_as_it_says() -> None:
    trace.observe(faults.Injector(faults.parse("before:slow:hang:0.2")))
    begun = time.monotonic()
    assert failures("slow", 2) == 0
    assert 0.2 <= time.monotonic() - begun < 2


def test_a_file_arms_and_disarms_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    trace.observe(faults.Injector(path=path))
    assert failures("work", 1) == 0
    faults.arm(path, *faults.parse("before:work:error*2,before:other:error"))
    assert failures("work", 1) == 1
    assert faults.armed(path) == faults.parse("before:work:error,before:other:error")
    faults.arm(path)
    assert failures("work", 1) == 0
    assert faults.armed(path) == []


def test_two_that_look_at_one_file_share_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    faults.arm(path, *faults.parse("before:work:error"))
    first, second = faults.Injector(path=path), faults.Injector(path=path)
    step = trace.Step("work", {}, 1, None)
    with pytest.raises(errors.BackendError):
        first.begin(step)
    second.begin(step)


def test_a_file_that_is_being_written_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "faults"
    path.write_text("before:wo")
    trace.observe(faults.Injector(path=path))
    assert failures("work", 1) == 0
    assert "before:wo" in caplog.text


def test_off_means_that_nothing_listens(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    before = list(trace._OBSERVERS)
    monkeypatch.setenv(faults.VARIABLE, "before:work:error")
    faults.install(conf(False))
    assert list(trace._OBSERVERS) == before
    assert "fault_injection is off" in caplog.text
    assert failures("work", 1) == 0


def test_on_is_told_in_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(faults.VARIABLE, "before:work:error")
    with caplog.at_level(logging.WARNING):
        faults.install(conf(True))
    assert "before:work:error" in caplog.text
    assert "Not for production" in caplog.text
    assert failures("work", 2) == 1


@pytest.mark.parametrize("variable", [faults.VARIABLE, faults.FILE_VARIABLE])
def test_faults_that_make_no_sense_are_a_refusal_to_start(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "faults").write_text("before:work:explode")
    text = "before:work:explode" if variable == faults.VARIABLE else str(tmp_path / "faults")
    monkeypatch.setenv(variable, text)
    with pytest.raises(SystemExit) as raised:
        faults.install(conf(True))
    assert raised.value.code == 1
    assert "before:work:explode" in caplog.text


PROGRAM = """
from oslo_config import cfg
from lite_common import config, faults, trace
conf = cfg.ConfigOpts()
config.register(conf, [config.COMMON])
conf([], project="lite", default_config_files=[])
conf.set_override("fault_injection", True)
faults.install(conf)
with trace.step("first"):
    print("first", flush=True)
with trace.step("second"):
    print("second", flush=True)
print("end", flush=True)
"""


@pytest.mark.parametrize(("fault", "said"), [("before:second:die", "first"), ("after:second:die", "first second")])
def test_a_process_really_dies(fault: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "faults"
    faults.arm(path, *faults.parse(fault))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), faults.FILE_VARIABLE: str(path)}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    died = run()
    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, said.split()), died.stderr
    # What has fired is gone before it fires: the next start lives.
    lived = run()
    assert (lived.returncode, lived.stdout.split()) == (0, ["first", "second", "end"]), lived.stderr


DAEMONS = sorted(
    path
    for package in ("nova_lite", "cinder_lite")
    for path in (ROOT / package / "cmd").glob("*.py")
    if "service.run(" in path.read_text()
)


@pytest.mark.parametrize("path", DAEMONS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_every_daemon_can_be_armed(path: Path) -> None:
    assert len(DAEMONS) == 5
    assert "    faults.install(conf)\n" in path.read_text()
