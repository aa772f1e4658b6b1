"""The stack's main job, told step by step: a volume is written in one guest and read back in another.

    python3 -m devstack.story --state /var/lib/nlite --nlite /usr/local/bin/nlite

It does what a person would do, with the same client, and looks at the result from three sides: what the first
guest wrote, what the second guest reads, what the volume's file or logical volume holds.  What an earlier run left is
used again.  Ends with exit code 1 at the first step that is not as it should be.  Standard library only.

Where compute hosts have joined, it runs on the controller, and nova-api puts the two guests on two hosts:

    python3 -m devstack.story --volumes /dev/nlite-volumes --via compute1=root@10.0.0.21 --via compute2=root@10.0.0.22

`--via HOST=SSH` is how the serial consoles of the guests on a host are reached: through ssh, which forwards the
console's socket and asks for nothing (so a key must be there).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from devstack.guest import console

# Limits of a real machine; `--patience` multiplies them for an emulated one.
COMMAND_SECONDS = 180.0
WAIT_SECONDS = 120.0
BOOT_SECONDS = 90.0
DISK_SECONDS = 20
COPY_SECONDS = 60.0
TUNNEL_SECONDS = 10.0
PATTERN_MIB = 4
GUESTS = ("c1", "c2")
VOLUME = "v1"
P = ParamSpec("P")
T = TypeVar("T")


class StoryError(Exception):
    """A step did not come out as it should; the message says what was seen."""


@dataclass(frozen=True)
class Client:
    """The `nlite` command; each call is one command line, as typed, and may take `patience` times the usual limit."""

    program: Path
    patience: float = 1.0

    def run(self, *words: str) -> str:
        """Run a command and return its output; raise StoryError when it fails or takes too long."""
        if "--wait" in words and self.patience > 1:
            words = (*words, "--timeout", f"{WAIT_SECONDS * self.patience:g}")
        try:
            done = subprocess.run(
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS * self.patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StoryError(f"nlite {' '.join(words)}: no end within {COMMAND_SECONDS * self.patience:g} s") from error
        if done.returncode != 0:
            raise StoryError(f"nlite {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def table(self, *words: str) -> Any:
        """Run a command with `-f json` and return what it prints, with keys in lower case."""
        return lowered(json.loads(self.run(*words, "-f", "json")))


def lowered(value: Any) -> Any:
    """Return the value with all keys of its objects in lower case."""
    if isinstance(value, dict):
        return {str(key).lower(): lowered(item) for key, item in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


def tell(what: str, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do one step and print it with the seconds it took."""
    begin = time.monotonic()
    result = action(*args, **kwargs)
    print(f"        {time.monotonic() - begin:6.2f} s  {what}", flush=True)
    return result


@contextlib.contextmanager
def tunnel(destination: str, remote: Path, limit: float) -> Iterator[Path]:
    """Give a local socket that leads to the socket `remote` on another host, through ssh; raise StoryError.

    `limit` is the longest wait for ssh, in seconds.
    """
    directory = Path(tempfile.mkdtemp(prefix="story-"))
    local = directory / "console"
    forward = ["-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-L", f"{local}:{remote}", destination]
    ssh = subprocess.Popen(["ssh", *forward], stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + limit
        while not local.exists():
            if ssh.poll() is not None or time.monotonic() > end:
                raise StoryError(f"ssh {destination} did not forward {remote}; try: ssh -o BatchMode=yes {destination}")
            time.sleep(0.1)
        yield local
    finally:
        ssh.terminate()
        try:
            ssh.wait(5)
        except subprocess.TimeoutExpired:
            ssh.kill()
        shutil.rmtree(directory, ignore_errors=True)


def stored_sha256(path: Path, mib: int) -> str:
    """Return the digest of the first `mib` MiB of a volume's file or device; a device is read past this host's cache,
    which may hold what an earlier look has left there."""
    if not stat.S_ISBLK(path.stat().st_mode):
        return console.file_sha256(path, mib)
    argv = ["dd", f"if={path}", "bs=1M", f"count={mib}", "iflag=direct", "status=none"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode != 0:
        raise StoryError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace').strip()}")
    return hashlib.sha256(done.stdout).hexdigest()


@dataclass(frozen=True)
class Story:
    """Guests, volume and files of one run.

    `volumes` is where a volume's bytes are, in a file or device `volume-ID`; `via` is the ssh destination for each
    host whose consoles are not on this machine.
    """

    client: Client
    state: Path
    volumes: Path
    via: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Tell the whole story; raise StoryError or ConsoleError where it breaks."""
        kept = self.clear_leftovers()
        volume = kept.get(VOLUME) or self.make("volume-create", "--size", "1", VOLUME, "--wait")
        guests = {name: kept.get(name) or self.make("boot", name, "--image", "tiny", "--wait") for name in GUESTS}
        with contextlib.ExitStack() as stack:
            first, second = (stack.enter_context(self.console(guests[name])) for name in GUESTS)
            self.move(volume, first, second)

    def move(self, volume: str, first: console.Console, second: console.Console) -> None:
        """Write in the first guest, read back in the second; raise StoryError or ConsoleError."""
        patience = self.client.patience
        see, copy = int(DISK_SECONDS * patience), COPY_SECONDS * patience
        for name, guest in zip(GUESTS, (first, second), strict=True):
            tell(f"{name} has booted and answers on its serial console", guest.wait_ready, BOOT_SECONDS * patience)

        self.attach(GUESTS[0])
        tell(f"{GUESTS[0]} sees the disk by its serial", first.await_disk, volume, see)
        seed = f"written-in-{GUESTS[0]}-{time.time_ns()}"
        written = tell(f"{GUESTS[0]} writes {PATTERN_MIB} MiB", first.write, volume, PATTERN_MIB, seed, copy)
        self.detach(GUESTS[0])
        tell(f"{GUESTS[0]} has lost the disk", first.await_gone, volume, see)

        self.attach(GUESTS[1])
        tell(f"{GUESTS[1]} sees the disk by its serial", second.await_disk, volume, see)
        read = tell(f"{GUESTS[1]} reads the {PATTERN_MIB} MiB back", second.read, volume, PATTERN_MIB, copy)
        self.compare(
            {
                "computed here": console.pattern_sha256(seed, PATTERN_MIB),
                f"written in {GUESTS[0]}": written,
                f"read in {GUESTS[1]}": read,
                f"stored in {self.volumes}": stored_sha256(self.volumes / f"volume-{volume}", PATTERN_MIB),
            }
        )

    @contextlib.contextmanager
    def console(self, server: str) -> Iterator[console.Console]:
        """Give the serial console of a server, by id, on whichever host it is."""
        host = self.host(server)
        socket = self.state / "nova" / "consoles" / f"{server}.sock"
        if host not in self.via:
            if host != os.uname().nodename:
                raise StoryError(f"server {server} is on {host}: say how to reach its console with --via {host}=SSH")
            yield console.Console(socket)
            return
        with tunnel(self.via[host], socket, TUNNEL_SECONDS * self.client.patience) as local:
            yield console.Console(local)

    def host(self, server: str) -> str:
        """Return the name of the host that a server is on."""
        return str(self.client.table("show", server)["host"])

    def rows(self, command: str, *names: str) -> list[dict[str, Any]]:
        """Return the rows of a list command whose name is one of `names`."""
        return [row for row in self.client.table(command) if row["name"] in names]

    def clear_leftovers(self) -> dict[str, str]:
        """Take the volume off its server, remove guests and volumes that an interrupted run left unusable, and return
        the ids by name of those that can be used again."""
        servers, volumes = self.rows("list", *GUESTS), self.rows("volume-list", VOLUME)
        ours = {VOLUME, *(row["id"] for row in volumes)}
        for server in servers:
            for row in self.client.table("volume-attachments", server["id"]):
                volume = row.get("volume id") or row.get("volume_id") or row["volume"]
                if volume in ours:
                    tell(f"an earlier {VOLUME} is taken off {server['name']}", self.off, server["id"], volume)
                    volumes = self.rows("volume-list", VOLUME)
        kept: dict[str, str] = {}
        for command, usable, rows in (("delete", "ACTIVE", servers), ("volume-delete", "available", volumes)):
            for row in rows:
                if row["status"] == usable:
                    kept[row["name"]] = row["id"]
                else:
                    tell(f"an earlier {row['name']} ({row['status']}) is deleted", self.delete, command, row)
        return kept

    def off(self, server: str, volume: str) -> str:
        """Detach and wait."""
        return self.client.run("volume-detach", server, volume, "--wait")

    def delete(self, command: str, row: dict[str, Any]) -> str:
        """Delete by id and wait."""
        return self.client.run(command, row["id"], "--wait")

    def make(self, *command: str) -> str:
        """Run a command that makes something, and return its id."""
        return str(tell(f"nlite {' '.join(command)}", self.client.table, *command)["id"])

    def attach(self, server: str) -> None:
        """Attach the volume and wait."""
        command = ("volume-attach", server, VOLUME, "--wait")
        tell(f"nlite {' '.join(command)}", self.client.run, *command)

    def detach(self, server: str) -> None:
        """Detach the volume and wait."""
        tell(f"nlite volume-detach {server} {VOLUME} --wait", self.off, server, VOLUME)

    def compare(self, digests: dict[str, str]) -> None:
        """Print the digests; raise StoryError unless they are all the same."""
        for what, digest in digests.items():
            print(f"        sha256 {digest[:16]}...  {what}", flush=True)
        if len(set(digests.values())) != 1:
            raise StoryError("the digests differ: the bytes did not survive the way")
        print(f"        the same bytes on all sides; {VOLUME} is attached to {GUESTS[1]} now", flush=True)


def destinations(words: Sequence[str]) -> dict[str, str]:
    """Return the ssh destination by host of `HOST=SSH` words; raise StoryError for another word."""
    pairs = [word.partition("=") for word in words]
    if not all(host and destination for host, _, destination in pairs):
        raise StoryError(f"--via takes HOST=SSH, not {' '.join(words)}")
    return {host: destination for host, _, destination in pairs}


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story; return 0 when every step came out as it should."""
    parser = argparse.ArgumentParser(prog="devstack.story", description="Two guests and one volume, step by step.")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/nlite"), help="the stack's state directory")
    parser.add_argument("--volumes", type=Path, help="where volume-ID is found (default: cinder/volumes in STATE)")
    parser.add_argument("--via", action="append", default=[], metavar="HOST=SSH", help="ssh destination of a host")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies every limit")
    parser.add_argument("--nlite", type=Path, default=Path("/usr/local/bin/nlite"), help="the client program")
    args = parser.parse_args(argv)
    begin = time.monotonic()
    try:
        volumes = args.volumes or args.state / "cinder" / "volumes"
        Story(Client(args.nlite, args.patience), args.state, volumes, destinations(args.via)).run()
    except (StoryError, console.ConsoleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"        story told in {time.monotonic() - begin:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
