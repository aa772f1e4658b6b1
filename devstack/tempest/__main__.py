"""Run tempest: `python -m devstack.tempest --programs DIRECTORY [--all] [NAME]`.

The last line has the counts. The exit code is 0 when no test failed and none is missing, 1 else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from devstack import keystone as keystones
from devstack import keystone_system, servers
from devstack.tempest import config, lists, page, program

PROGRAMS = Path(sys.executable).parent
KEYSTONE_SECONDS = 1200
TEXT_LENGTH = 1500
IMAGES = ("tiny.qcow2", "small.qcow2")


@contextlib.contextmanager
def running(directory: Path) -> Iterator[keystone_system.KeystoneSystem]:
    """A started system, with twins of hypervisor and storage, until the end of the block."""
    (directory / "keystone").mkdir(mode=0o700)
    # Tempest makes users for every class of tests; hashing their passwords slowly protects nobody here.
    (directory / "keystone" / "hashes.conf").write_text("[identity]\npassword_hash_rounds = 4\n")
    (directory / "images").mkdir()
    for name in IMAGES:
        (directory / "images" / name).write_bytes(b"not booted by the twin")
    with tempfile.TemporaryDirectory(prefix="nlk-") as short, servers.MariaDB(Path(short) / "mariadb") as database:
        keystone = keystones.Keystone(
            directory / "keystone",
            programs=PROGRAMS,
            database=database.create_database("keystone"),
            token_seconds=program.RUN_SECONDS * 2,
        )
        system = keystone_system.KeystoneSystem(directory, keystone)
        try:
            keystone.start(KEYSTONE_SECONDS)
            system.start()
            # Where tempest is told that networks are served (see `config`): whatever is asked there is a 404.
            keystone.populate({"network": system.compute_url.replace("/v2.1", "/network")})
            yield system
        finally:
            system.stop()
            keystone.stop()


def summary(version: str, outcomes: Sequence[program.Outcome], excluded: int, seconds: float) -> dict[str, Any]:
    """What is kept of a run."""
    counts = Counter(one["outcome"] for one in outcomes)
    skips = Counter(" ".join(one["text"].split()) for one in outcomes if one["outcome"] == "skipped")
    return {
        "when": time.strftime("%Y-%m-%d"),
        "tempest": version,
        **{name: counts[name] for name in ("passed", "failed", "skipped")},
        "left_out": excluded,
        "seconds": round(seconds),
        "cores": os.cpu_count(),
        "skips": dict(sorted(skips.items())),
    }


def report(outcomes: Sequence[program.Outcome], unheard: Sequence[str], excluded: int, seconds: float) -> int:
    """Print failures, then the counts; the exit code."""
    for one in outcomes:
        if one["outcome"] == "failed":
            print(f"\nFAILED {one['name']}\n{one['text'][-TEXT_LENGTH:]}")
    for name in unheard:
        print(f"NOT RUN {name}")
    counts = Counter(one["outcome"] for one in outcomes)
    print(
        f"tempest: {counts['passed']} passed, {counts['failed']} failed, {len(unheard)} not run, "
        f"{counts['skipped']} skipped by tempest, {excluded} left out (exclude.txt) in {seconds:.0f} s"
    )
    return 0 if counts["passed"] and not counts["failed"] and not unheard else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    asked = _arguments(argv)
    with contextlib.ExitStack() as stack:
        directory = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nlite-tempest-")))
        directory.mkdir(parents=True, exist_ok=True)
        try:
            tempest = program.Tempest(asked.programs, directory / "workspace")
            wanted = tempest.wanted()
            gone = {} if asked.all else lists.left_out(wanted, lists.read(lists.EXCLUDE))
        except lists.ListError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        excluded = {name for names in gone.values() for name in names}
        chosen = [name for name in wanted if name not in excluded and (not asked.name or asked.name.search(name))]
        system = stack.enter_context(running(directory))
        tempest.configure(config.text(config.sections(system, tempest.workspace)))
        begun = time.monotonic()
        outcomes = tempest.run(chosen, asked.concurrency)
        seconds = time.monotonic() - begun
        if asked.json:
            asked.json.write_text(json.dumps(outcomes, indent=1))
        if asked.record:
            page.RECORD.write_text(
                json.dumps(summary(tempest.version(), outcomes, len(excluded), seconds), indent=1) + "\n"
            )
        return report(outcomes, program.missing(chosen, outcomes), len(excluded), seconds)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devstack.tempest", description=__doc__)
    parser.add_argument("--programs", type=Path, required=True, help="where tempest's programs are")
    parser.add_argument("--concurrency", type=int, default=3, help="how many classes of tests run at once")
    parser.add_argument("--all", action="store_true", help="run what exclude.txt leaves out, too")
    parser.add_argument("--record", action="store_true", help="keep the counts for docs/tempest.md (see page.py)")
    parser.add_argument("--json", type=Path, help="write what became of each test to this file")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave it, logs and all")
    parser.add_argument("name", nargs="?", type=lists.expression, help="a regular expression: tests of such a name")
    asked = parser.parse_args(argv)
    if asked.record and (asked.all or asked.name):
        parser.error("--record keeps whole runs of the list only")
    return asked


if __name__ == "__main__":
    sys.exit(main())
