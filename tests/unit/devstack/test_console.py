"""The console client against a scripted guest: framing, failures, limits."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.guest import console

Answer = Callable[[str, list[str]], bytes]


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Callable[[Answer], console.Console]]:
    """Return a function that serves answers on a socket and gives the console to it."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(answer: Answer) -> console.Console:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(tmp_path / "s"))
        server.listen()
        servers.append(server)

        def loop() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    ident, *words = line.recv(4096).decode().split()
                    line.sendall(answer(ident, words))
                    line.recv(1)  # until the client hangs up

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        threads.append(thread)
        return console.Console(tmp_path / "s")

    yield serve
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_an_answer_is_read_between_kernel_messages(guest: Callable[[Answer], console.Console]) -> None:
    def answer(ident: str, words: list[str]) -> bytes:
        assert words == ["disks"]
        return f"[ 1.0] virtio\r\n{ident}|vda 1073741824 0123\r\nnoise\n@1.1|old\n{ident}|vdb 5\n{ident}=0\n".encode()

    assert guest(answer).disks() == [console.Disk("vda", 1073741824, "0123"), console.Disk("vdb", 5, "")]


def test_a_failure_in_the_guest_is_an_error(guest: Callable[[Answer], console.Console]) -> None:
    silent = guest(lambda ident, _: f"{ident}|no disk with serial x\n{ident}=1\n".encode())
    with pytest.raises(console.ConsoleError, match="read x 1: failed with 1 in the guest: no disk with serial x"):
        silent.read("x", 1)


def test_silence_ends_at_the_limit(guest: Callable[[Answer], console.Console]) -> None:
    silent = guest(lambda _ident, _words: b"booting\n")
    begin = time.monotonic()
    with pytest.raises(console.ConsoleError, match=r"ping: no answer from the guest within 0\.2 s"):
        silent.command("ping", timeout=0.2)
    assert time.monotonic() - begin < 2


def test_ready_is_asked_for_until_it_comes(
    guest: Callable[[Answer], console.Console], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PING_SECONDS", 0.1)
    asked: list[str] = []

    def answer(ident: str, _: list[str]) -> bytes:
        asked.append(ident)
        return f"{ident}|pong\n{ident}=0\n".encode() if len(asked) == 3 else b"SeaBIOS\n"

    assert guest(answer).wait_ready(10) < 10
    assert len(set(asked)) == 3


def test_no_guest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(console.ConsoleError, match="No such file"):
        console.Console(tmp_path / "none").command("ping", timeout=1)


def test_pattern_is_lines_of_the_seed_cut_to_size() -> None:
    data = console.pattern("seed", 2)
    assert len(data) == 2 * console.MIB
    assert data.startswith(b"seed\nseed\n")
    assert console.pattern_sha256("seed", 2) != console.pattern_sha256("other", 2)


def test_file_digest_covers_only_the_asked_part(tmp_path: Path) -> None:
    file = tmp_path / "volume"
    file.write_bytes(console.pattern("seed", 1) + b"rest")
    assert console.file_sha256(file, 1) == console.pattern_sha256("seed", 1)


def test_a_guest_that_is_slower_than_a_ping_a_second_becomes_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers every ping that it was ever sent, in order, and needs three seconds for each."""
    now, busy_until = 0.0, 20.0

    def exchange(self: console.Console, words: list[str], timeout: float) -> tuple[int, str]:
        nonlocal now, busy_until
        busy_until = max(busy_until, now) + 3
        if busy_until > now + timeout:
            now += timeout
            raise console.ConsoleError("no answer")
        now = busy_until
        return 0, "pong"

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(console.Console, "_exchange", exchange)
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    monkeypatch.setattr(console.time, "sleep", sleep)
    assert console.Console("nowhere").wait_ready(120) < 60
    busy_until = 10_000.0
    begun = now
    with pytest.raises(console.ConsoleError, match="not ready within 120 s"):
        console.Console("nowhere").wait_ready(120)
    assert 119 < now - begun < 122
