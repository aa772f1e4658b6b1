"""Talk to the tiny guest over its serial console: send a command, get its framed answer within a limit.

    console = Console(path_of_the_unix_socket)
    console.wait_ready(60)
    console.write(volume_id, mib=4, seed="first")   -> sha256 of what the guest wrote

The other end is init.sh.  It needs no network in the guest and no privilege but access to the socket, which
libvirt gives each guest as its serial port.  `python3 -m devstack.guest.console SOCKET COMMAND...` is the same for
a person.  Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1048576
PING_SECONDS, LONGEST_PING_SECONDS = 1.0, 30.0
_numbers = itertools.count(int(time.time() * 1000) % 100_000_000)


class ConsoleError(Exception):
    """The guest did not answer in time, or the command failed in the guest; the message says which."""


@dataclass(frozen=True)
class Disk:
    """A virtio disk as the guest sees it: kernel name, size in bytes, the first 20 characters of its serial."""

    name: str
    size: int
    serial: str


def pattern(seed: str, mib: int) -> bytes:
    """Return the bytes that the guest's `write` puts on a disk."""
    line = f"{seed}\n".encode()
    return (line * (mib * MIB // len(line) + 1))[: mib * MIB]


def pattern_sha256(seed: str, mib: int) -> str:
    """Return the digest that the guest's `write` prints."""
    return hashlib.sha256(pattern(seed, mib)).hexdigest()


def file_sha256(path: Path | str, mib: int) -> str:
    """Return the digest of the first `mib` MiB of a file, such as a volume's backing file."""
    with Path(path).open("rb") as file:
        return hashlib.sha256(file.read(mib * MIB)).hexdigest()


class Console:
    """A guest behind one unix socket.  Each call connects anew, so that a person can connect between the calls."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def command(self, *words: str, timeout: float = 30.0) -> str:
        """Run a command in the guest; return its output, raise ConsoleError on failure or after `timeout` seconds."""
        code, output = self._exchange(words, timeout)
        if code != 0:
            raise ConsoleError(f"{' '.join(words)}: failed with {code} in the guest: {output}")
        return output

    def wait_ready(self, timeout: float = 60.0) -> float:
        """Wait until the guest answers; return the seconds it took, raise ConsoleError after `timeout`.

        Each ping gets twice the time of the one before. The guest answers all that it was ever sent, in order: one that
        needs more than a second for an answer would never come to the end of a ping every second.
        """
        begin, patience = time.monotonic(), PING_SECONDS
        while True:
            left = timeout - (time.monotonic() - begin)
            try:
                self.command("ping", timeout=max(0.1, min(patience, left)))
                return time.monotonic() - begin
            except ConsoleError as error:
                if time.monotonic() - begin >= timeout - 0.1:
                    raise ConsoleError(f"the guest was not ready within {timeout:g} s: {error}") from error
                patience = min(2 * patience, LONGEST_PING_SECONDS)
                time.sleep(0.1)

    def disks(self) -> list[Disk]:
        """Return the disks that the guest has now."""
        rows = (line.split(maxsplit=2) for line in self.command("disks").splitlines())
        return [Disk(row[0], int(row[1]), row[2] if len(row) > 2 else "") for row in rows]

    def await_disk(self, serial: str, timeout: int = 20) -> str:
        """Wait until the disk with this serial (a volume id) is in the guest; return its kernel name there."""
        return self.command("await", serial, str(timeout), timeout=timeout * 2 + 10)

    def await_gone(self, serial: str, timeout: int = 20) -> None:
        """Wait until the guest has no disk with this serial."""
        self.command("gone", serial, str(timeout), timeout=timeout * 2 + 10)

    def write(self, serial: str, mib: int, seed: str, timeout: float = 60.0) -> str:
        """Write `mib` MiB of `pattern(seed)` to the disk, flushed; return the sha256 of what was written."""
        return self.command("write", serial, str(mib), seed, timeout=timeout)

    def read(self, serial: str, mib: int, timeout: float = 60.0) -> str:
        """Read the first `mib` MiB of the disk past all caches; return their sha256."""
        return self.command("read", serial, str(mib), timeout=timeout)

    def _exchange(self, words: Sequence[str], timeout: float) -> tuple[int, str]:
        ident = f"@{os.getpid()}.{next(_numbers)}"
        deadline = time.monotonic() + timeout
        lines: list[str] = []
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(timeout)
                line.connect(str(self.path))
                line.sendall(f"\n{ident} {' '.join(words)}\n".encode())
                buffer = b""
                while (left := deadline - time.monotonic()) > 0:
                    line.settimeout(left)
                    chunk = line.recv(65536)
                    if not chunk:
                        raise ConsoleError(f"{self.path}: the guest has ended")
                    *complete, buffer = (buffer + chunk).split(b"\n")
                    for raw in complete:
                        text = raw.decode(errors="replace").rstrip("\r")
                        if text.startswith(f"{ident}|"):
                            lines.append(text[len(ident) + 1 :])
                        elif text.startswith(f"{ident}="):
                            return int(text[len(ident) + 1 :]), "\n".join(lines)
        except TimeoutError:
            pass  # the same as the end of the loop
        except OSError as error:
            raise ConsoleError(f"{self.path}: {error.strerror or error}") from error
        raise ConsoleError(f"{' '.join(words)}: no answer from the guest within {timeout:g} s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command in a guest and print its answer; return the exit code."""
    parser = argparse.ArgumentParser(prog="devstack.guest.console", description="Run a command in the tiny guest.")
    parser.add_argument("socket", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="ping, disks, write, read, sh ...")
    parser.add_argument("--timeout", type=float, default=30.0)
    args = parser.parse_args(argv)
    try:
        print(Console(args.socket).command(*(args.command or ["ping"]), timeout=args.timeout))
    except ConsoleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
