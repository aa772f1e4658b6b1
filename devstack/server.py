"""What every private server instance shares: start, readiness, stop, log tail.

`devstack/servers.py` derives the four servers from `Server`; `devstack/launch.py` runs their programs.

Standard library only: the stack starts servers before it has a virtualenv.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LAUNCHER = Path(__file__).resolve().parent / "launch.py"
HOST = "127.0.0.1"
SOCKET_PATH_LIMIT = 107  # sun_path of unix(7), without the closing zero
PROBE_SECONDS = 5.0


class ServerError(Exception):
    """A server did not start, answer or stop in time; the message ends with the last lines of its log."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(*names: str) -> str:
    """Return the path of the first of `names` that is installed; raise ServerError when none is."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/lib/rabbitmq/bin"])
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise ServerError(f"{names[0]} is not installed: install the packages of devstack/packages.txt")


def checked(argv: Sequence[str], *, limit: float, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return its output; raise ServerError when it fails or takes longer."""
    merged = {**os.environ, **(env or {})}
    try:
        done = subprocess.run(
            argv, env=merged, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"{argv[0]} did not end within {limit:g} s") from error
    if done.returncode != 0:
        raise ServerError(
            f"{shlex.join(argv)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-800:]}"
        )
    return done.stdout


class Server(ABC):
    """One private instance.  `start`, `stop`, `kill` and `start` again work on the same directory and port."""

    name: str
    respawn = False
    grace = 10.0

    def __init__(self, directory: Path | str, port: int | None = None) -> None:
        self.directory = Path(directory).resolve()
        self.port = port or free_port()
        self.log_path = self.directory / f"{self.name}.log"
        self.pid_path = self.directory / f"{self.name}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Create what the server needs in its directory; safe to repeat, keeps existing data."""

    @abstractmethod
    def argv(self) -> list[str]:
        """Return the foreground command."""

    def env(self) -> dict[str, str]:
        """Return the variables that the command needs on top of the present environment."""
        return {}

    @abstractmethod
    def answers(self) -> bool:
        """Say whether the server serves clients now; takes at most PROBE_SECONDS."""

    def launch_argv(self, *, tie: bool) -> list[str]:
        """Return the command under the launcher; with `tie` it ends when the starting process does."""
        options = ["--grace", str(self.grace), "--pid-file", str(self.pid_path)]
        options += (["--tie"] if tie else []) + (["--respawn"] if self.respawn else [])
        python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
        return [python, "-I", str(LAUNCHER), *options, "--", *self.argv()]

    def start(self, timeout: float = 60.0) -> Self:
        """Start and wait until the server answers; raise ServerError after `timeout` seconds or an early end."""
        if self._process is not None:
            raise ServerError(f"{self.name} in {self.directory} is already started")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.launch_argv(tie=True),
                env={**os.environ, **self.env()},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
            )
        try:
            self.wait(timeout)
        except BaseException:  # an interrupt as well must not leave a half-started server; it is raised again
            self.stop()
            raise
        return self

    def wait(self, timeout: float) -> None:
        """Wait until the server answers; raise ServerError after `timeout` seconds or when it has ended."""
        deadline = time.monotonic() + timeout
        while not self.answers():
            if self._process is not None and self._process.poll() is not None:
                raise self._error(f"ended with exit code {self._process.returncode} while starting")
            if time.monotonic() > deadline:
                raise self._error(f"did not answer within {timeout:g} s")
            time.sleep(0.05)

    @property
    def running(self) -> bool:
        """Say whether this object has started the server and it has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the pid of the server program itself (not of its launcher); raise ServerError when not running."""
        try:
            return int(self.pid_path.read_text())
        except (OSError, ValueError) as error:
            raise self._error("is not running: no pid") from error

    def stop(self, timeout: float = 30.0) -> None:
        """End the server and all that it started; does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the launcher's own limits are lower: this is a last resort
            process.wait(PROBE_SECONDS)
            raise self._error(f"did not stop within {timeout:g} s and was killed") from None

    def kill(self) -> None:
        """End it the hard way, as a crash does: SIGKILL to the program, then to what it left; data stays."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        """Stop the program from running (SIGSTOP): connections are accepted by the kernel, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen program run on."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, lines: int = 25) -> str:
        """Return the last lines of the server's log."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def _error(self, what: str) -> ServerError:
        return ServerError(f"{self.name} in {self.directory} {what}; its log ends with:\n{self.log_tail()}")

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def socket_path_of(self, name: str) -> Path:
        path = self.directory / name
        if len(str(path)) > SOCKET_PATH_LIMIT:
            raise ServerError(f"{path} is too long for a socket: give {self.name} a shorter directory")
        return path
