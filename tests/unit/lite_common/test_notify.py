"""What systemd is told: ready only when all parts serve, stopping, why a start failed, signs of life."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from lite_common import errors, service


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Give the socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


@pytest.fixture(autouse=True)
def _same_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


class Part:
    """Says when it was started and stopped, into the same socket as the daemon."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def start(self) -> None:
        if self.error is not None:
            raise self.error
        service.notify("X_PART=started")

    def stop(self, timeout: float) -> None:
        service.notify("X_PART=stopped")


def test_ready_comes_after_the_parts_and_stopping_before_they_end(manager: socket.socket) -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert service.run(lambda: service.Service("d", [Part()], stop_timeout=7)) == 0
    assert told(manager) == ["STATUS=starting"]
    assert told(manager) == ["X_PART=started"]
    ready = told(manager)
    assert ready[0] == "READY=1"
    assert ready[1].startswith("STATUS=serving since 20")
    assert told(manager) == ["STOPPING=1", "STATUS=stopping; work in hand gets 7 s"]
    assert told(manager) == ["X_PART=stopped"]


def test_a_failed_start_is_never_ready_and_says_why_in_one_line(manager: socket.socket) -> None:
    broken = Part(errors.Unavailable("The database is down.\nStart it.\nREADY=1"))
    assert service.run(lambda: service.Service("d", [broken])) == 1
    assert told(manager) == ["STATUS=starting"]
    assert told(manager) == ["STATUS=could not start: The database is down."]
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1)


@pytest.mark.parametrize("error", [errors.Invalid("No backend."), cfg.ConfigFileValueError("No backend.")])
def test_what_an_operator_can_mend_is_one_line_of_the_log(
    manager: socket.socket, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> service.Service:
        raise error

    before = signal.getsignal(signal.SIGTERM)
    assert service.run(make) == 1
    assert [(one.levelname, one.getMessage(), one.exc_info) for one in caplog.records] == [
        ("CRITICAL", "cannot start: No backend.", None)
    ]
    assert told(manager) == ["STATUS=starting"]
    assert told(manager) == ["STATUS=could not start: No backend."]
    # What is forked while the daemon is made must end by a signal as any process does.
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_defect_is_logged_with_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    assert service.run(lambda: service.Service("d", [Part(ZeroDivisionError("nothing to share"))])) == 1
    (line,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
    assert line.exc_info is not None
    assert "nothing to share" in str(line.exc_info[1])


def test_signs_of_life_come_as_often_as_the_watchdog_needs(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    threading.Timer(2.4, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert service.run(lambda: service.Service("d", [])) == 0
    seen = [told(manager)[0] for _ in range(5)]
    assert seen == ["STATUS=starting", "READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize(
    ("microseconds", "pid", "pause"),
    [("60000000", None, 30.0), ("60000000", "own", 30.0), ("60000000", "1", 0.0), ("", None, 0.0), ("x", None, 0.0)],
)
def test_the_watchdog_is_only_for_the_process_that_was_asked(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str | None, pause: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert service.watchdog_pause() == pause


def test_without_systemd_nothing_is_sent(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    service.notify("READY=1")
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1)


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"nlite-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        service.notify("READY=1", "STATUS=well")
        assert listening.recv(100) == b"READY=1\nSTATUS=well"


def test_a_manager_that_does_not_listen_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    service.notify("READY=1")
    assert "systemd was not told READY=1" in caplog.text
