"""The way into a machine: commands and files over ssh, one kept connection for all of them.

A command costs milliseconds once the first one has made the connection.  Everything has a limit; what fails says
which host and which command, with the end of the output.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.vm.hosts import VmError

USER = "root"
ALIAS = "nlite-vm"
KEEP_SECONDS = 600
COMMAND_SECONDS = 120.0
TAIL = 4000


def _run(argv: Sequence[str], seconds: float, data: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, input=data, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
    )


@dataclass(frozen=True)
class Result:
    """What a command in a machine said and how it ended; `returncode` is 124 when its limit was reached."""

    host: str
    command: str
    returncode: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        """The whole of it, for an assertion's message."""
        return f"{self.host}: {self.command}: exit code {self.returncode}\n{self.stdout[-TAIL:]}{self.stderr[-TAIL:]}"


class CommandFailed(VmError):
    """A command in a machine failed; `result` has its output."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result))
        self.result = result


@dataclass(frozen=True)
class Shell:
    """The way into one machine, whose ssh is at 127.0.0.1:`port`; keys are in `state`."""

    host: str
    port: int
    state: Path

    def ssh(self) -> list[str]:
        """Return the ssh command up to the destination."""
        options = {
            "ControlMaster": "auto",
            "ControlPath": self.state / self.host / "ssh.sock",
            "ControlPersist": KEEP_SECONDS,
            "UserKnownHostsFile": self.state / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": ALIAS,
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "PasswordAuthentication": "no",
            "ConnectTimeout": 20,
            "ServerAliveInterval": 15,
            "ServerAliveCountMax": 8,
            "LogLevel": "ERROR",
        }
        pairs = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-i", str(self.state / "key"), "-p", str(self.port), *pairs]

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = True,
        timeout: float = COMMAND_SECONDS,
        data: str | None = None,
    ) -> Result:
        """Run a shell command (a sequence is quoted) and return its result; CommandFailed if it fails and `check`.

        After `timeout` seconds the command is ended in the machine as well.
        """
        text = command if isinstance(command, str) else shlex.join(command)
        limited = f"timeout --kill-after=5 {timeout:g} bash -c {shlex.quote(text)}"
        argv = [*self.ssh(), "-T", f"{USER}@127.0.0.1", limited]
        try:
            done = _run(argv, timeout + 30, data or "")
            result = Result(self.host, text, done.returncode, done.stdout, done.stderr)
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b""
            result = Result(self.host, text, 124, said if isinstance(said, str) else said.decode(errors="replace"), "")
        if check and result.returncode:
            raise CommandFailed(result)
        return result

    def interactive(self, command: Sequence[str]) -> None:
        """Become ssh in this machine, with the user's terminal; does not return."""
        terminal = ["-t"] if command and os.isatty(0) else []
        argv = [*self.ssh(), *terminal, f"{USER}@127.0.0.1", *command]
        os.execvp(argv[0], argv)

    def copy(self, sources: Sequence[str], target: str, *options: str, timeout: float = COMMAND_SECONDS) -> str:
        """Run rsync, whose remote side is written `host:path`; return its output, VmError if it fails."""
        argv = ["rsync", "-rlp", *options, "-e", shlex.join(self.ssh()), "--", *map(self._place, sources)]
        argv.append(self._place(target))
        try:
            done = _run(argv, timeout)
        except subprocess.TimeoutExpired as error:
            raise VmError(f"{self.host}: rsync to or from {target} did not end within {timeout:g} s") from error
        if done.returncode:
            raise VmError(f"{self.host}: rsync to or from {target} failed: {done.stderr[-TAIL:].strip()}")
        return done.stdout

    def _place(self, place: str) -> str:
        path = place.removeprefix("host:")
        return place if path == place else f"{USER}@127.0.0.1:{path}"

    def forward(self, remote: str, local: str | Path) -> None:
        """Make `local` lead to what the machine reaches as `remote`, for as long as the kept connection lives.

        Each is ADDRESS:PORT or the path of a unix socket.
        """
        self.run("true")
        argv = [*self.ssh(), "-O", "forward", "-L", f"{local}:{remote}", f"{USER}@127.0.0.1"]
        done = _run(argv, 20)
        if done.returncode:
            raise VmError(f"{self.host}: {local} cannot be forwarded to {remote}: {done.stderr.strip()}")

    def put(self, source: Path, target: str) -> None:
        """Copy a file, or the content of a directory, into the machine."""
        self.copy([f"{source}/" if source.is_dir() else str(source)], f"host:{target}")

    def get(self, source: str, target: Path) -> None:
        """Copy a file or directory out of the machine."""
        self.copy([f"host:{source}"], str(target))

    def forget(self) -> None:
        """End the kept connection, whose other end is gone; there need not be one."""
        argv = [*self.ssh(), "-O", "exit", f"{USER}@127.0.0.1"]
        _run(argv, 20)
        (self.state / self.host / "ssh.sock").unlink(missing_ok=True)
