"""The stack's main job, told step by step: a volume is written in one guest and read back in another.

    python3 -m devstack.story --state /var/lib/nlite --nlite /usr/local/bin/nlite

It does what a person would do, with the same client, and looks at the result from three sides: what the first
guest wrote, what the second guest reads, what the volume's file holds.  What an earlier run left is used again.
Ends with exit code 1 at the first step that is not as it should be.  Standard library only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from devstack.guest import console

COMMAND_SECONDS = 180.0
BOOT_SECONDS = 90.0
PATTERN_MIB = 4
GUESTS = ("c1", "c2")
VOLUME = "v1"
P = ParamSpec("P")
T = TypeVar("T")


class StoryError(Exception):
    """A step did not come out as it should; the message says what was seen."""


@dataclass(frozen=True)
class Client:
    """The `nlite` command; each call is one command line, as typed."""

    program: Path

    def run(self, *words: str) -> str:
        """Run a command and return its output; raise StoryError when it fails or takes too long."""
        try:
            done = subprocess.run(
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StoryError(f"nlite {' '.join(words)}: no end within {COMMAND_SECONDS:g} s") from error
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


@dataclass(frozen=True)
class Story:
    """Guests, volume and files of one run."""

    client: Client
    state: Path

    def run(self) -> None:
        """Tell the whole story; raise StoryError or ConsoleError where it breaks."""
        self.clear_leftovers()
        volume = self.ensure_volume()
        guests = {name: self.ensure_guest(name) for name in GUESTS}
        first, second = (self.console(guests[name]) for name in GUESTS)
        for name, guest in zip(GUESTS, (first, second), strict=True):
            tell(f"{name} has booted and answers on its serial console", guest.wait_ready, BOOT_SECONDS)

        self.attach(GUESTS[0])
        tell(f"{GUESTS[0]} sees the disk by its serial", first.await_disk, volume)
        seed = f"written-in-{GUESTS[0]}-{time.time_ns()}"
        written = tell(f"{GUESTS[0]} writes {PATTERN_MIB} MiB", first.write, volume, PATTERN_MIB, seed)
        self.detach(GUESTS[0])
        tell(f"{GUESTS[0]} has lost the disk", first.await_gone, volume)

        self.attach(GUESTS[1])
        tell(f"{GUESTS[1]} sees the disk by its serial", second.await_disk, volume)
        read = tell(f"{GUESTS[1]} reads the {PATTERN_MIB} MiB back", second.read, volume, PATTERN_MIB)
        self.compare(
            {
                "computed here": console.pattern_sha256(seed, PATTERN_MIB),
                f"written in {GUESTS[0]}": written,
                f"read in {GUESTS[1]}": read,
                "backing file": console.file_sha256(self.backing_file(volume), PATTERN_MIB),
            }
        )

    def console(self, server: str) -> console.Console:
        """Return the serial console of a server, by id."""
        return console.Console(self.state / "nova" / "consoles" / f"{server}.sock")

    def backing_file(self, volume: str) -> Path:
        """Return the file that holds a volume's bytes."""
        return self.state / "cinder" / "volumes" / f"volume-{volume}"

    def rows(self, command: str, name: str) -> list[dict[str, Any]]:
        """Return the rows of a list command whose name is `name`."""
        return [row for row in self.client.table(command) if row["name"] == name]

    def clear_leftovers(self) -> None:
        """Take the volume off its server, and remove guests and volumes that an interrupted run left unusable."""
        for server in [row["id"] for name in GUESTS for row in self.rows("list", name)]:
            for row in self.client.table("volume-attachments", server):
                volume = row.get("volume id") or row.get("volume_id") or row["volume"]
                if self.is_ours(volume):
                    tell(f"an earlier {VOLUME} is taken off {server}", self.off, server, volume)
        for name in GUESTS:
            for row in self.rows("list", name):
                if row["status"] != "ACTIVE":
                    tell(f"an earlier {name} ({row['status']}) is deleted", self.delete, "delete", row)
        for row in self.rows("volume-list", VOLUME):
            if row["status"] != "available":
                tell(f"an earlier {VOLUME} ({row['status']}) is deleted", self.delete, "volume-delete", row)

    def is_ours(self, volume: str) -> bool:
        """Say whether a volume, given by name or id, is the story's."""
        return volume == VOLUME or volume in [row["id"] for row in self.rows("volume-list", VOLUME)]

    def off(self, server: str, volume: str) -> str:
        """Detach and wait."""
        return self.client.run("volume-detach", server, volume, "--wait")

    def delete(self, command: str, row: dict[str, Any]) -> str:
        """Delete by id and wait."""
        return self.client.run(command, row["id"], "--wait")

    def ensure_volume(self) -> str:
        """Return the id of the volume, made if it is not there."""
        if not self.rows("volume-list", VOLUME):
            command = ("volume-create", "--size", "1", VOLUME, "--wait")
            tell(f"nlite {' '.join(command)}", self.client.run, *command)
        return str(self.rows("volume-list", VOLUME)[0]["id"])

    def ensure_guest(self, name: str) -> str:
        """Return the id of a running guest, booted if there is none of this name."""
        if not self.rows("list", name):
            command = ("boot", name, "--image", "tiny", "--wait")
            tell(f"nlite {' '.join(command)}", self.client.run, *command)
        return str(self.rows("list", name)[0]["id"])

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


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story; return 0 when every step came out as it should."""
    parser = argparse.ArgumentParser(prog="devstack.story", description="Two guests and one volume, step by step.")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/nlite"), help="the stack's state directory")
    parser.add_argument("--nlite", type=Path, default=Path("/usr/local/bin/nlite"), help="the client program")
    args = parser.parse_args(argv)
    begin = time.monotonic()
    try:
        Story(Client(args.nlite), args.state).run()
    except (StoryError, console.ConsoleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"        story told in {time.monotonic() - begin:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
