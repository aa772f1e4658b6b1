"""Run tempest: `python -m devstack.tempest --programs DIRECTORY [--all] [REGEX]`.

The last line has the counts. The exit code is 0 when no test failed and none is missing, 1 else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from devstack import keystone as keystones
from devstack import keystone_system, servers
from devstack.tempest import config, lists

PROGRAMS = Path(sys.executable).parent
LIST_SECONDS = 300
RUN_SECONDS = 3 * 3600
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
            token_seconds=RUN_SECONDS * 2,
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


class Tempest:
    """Tempest's programs in a workspace of their own."""

    def __init__(self, programs: Path, workspace: Path) -> None:
        self.programs = programs
        self.workspace = workspace
        site = subprocess.check_output(
            [programs / "python", "-c", "import tempest; print(tempest.__path__[0])"], text=True, timeout=60
        ).strip()
        (workspace / "etc").mkdir(parents=True)
        # What `tempest init` writes: all tests of a class run one after the other, in one process.
        (workspace / ".stestr.conf").write_text(
            f"[DEFAULT]\ntest_path={site}/test_discover\ntop_dir={Path(site).parent}\ngroup_regex=([^\\.]*\\.)*\n"
        )
        self._run("stestr", "init", limit=LIST_SECONDS)

    def configure(self, text: str) -> None:
        """Write tempest.conf."""
        path = self.workspace / "etc" / "tempest.conf"
        path.touch(mode=0o600)
        path.write_text(text)

    def wanted(self) -> list[str]:
        """The tests that the first list names."""
        arguments = ("--list-tests", "--include-list", str(lists.INCLUDE))
        lines = self._run("tempest", "run", *arguments, limit=LIST_SECONDS).splitlines()
        return [line.partition("[")[0] for line in lines if line.startswith("tempest.")]

    def run(self, chosen: Sequence[str], concurrency: int) -> list[dict[str, str]]:
        """Run the tests, showing what happens; what became of each."""
        names = self.workspace / "chosen.txt"
        names.write_text("".join(f"{name}\n" for name in chosen))
        listed = self._run("stestr", "list", limit=LIST_SECONDS).splitlines()
        ids = [line for line in listed if line.partition("[")[0] in set(chosen)]
        names.write_text("".join(f"{name}\n" for name in ids))
        arguments = ["run", "--load-list", str(names), "--concurrency", str(concurrency)]
        subprocess.run(
            [self.programs / "tempest", *arguments],
            cwd=self.workspace,
            env=self._environment(),
            timeout=RUN_SECONDS,
            check=False,
        )
        stream = subprocess.run(
            [self.programs / "stestr", "last", "--subunit"],
            cwd=self.workspace,
            env=self._environment(),
            capture_output=True,
            timeout=LIST_SECONDS,
            check=False,
        ).stdout
        told = subprocess.run(
            [self.programs / "python", Path(__file__).with_name("outcomes.py")],
            input=stream,
            capture_output=True,
            timeout=LIST_SECONDS,
            check=True,
        ).stdout
        return list(json.loads(told))

    def _run(self, program: str, *arguments: str, limit: float) -> str:
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.workspace,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        if done.returncode:
            raise lists.ListError(f"{program} {arguments[0]} failed: {(done.stdout + done.stderr)[-800:]}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Without what another cloud or another tempest has left there."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON"))}
        path = f"{self.programs}{os.pathsep}{clean.get('PATH', '')}"
        return clean | {"TEMPEST_CONFIG_DIR": str(self.workspace / "etc"), "PATH": path}


def report(outcomes: Sequence[dict[str, str]], excluded: int, seconds: float) -> int:
    """Print failures, then the counts; the exit code."""
    for one in outcomes:
        if one["outcome"] == "failed":
            print(f"\nFAILED {one['name']}\n{one['text'][-TEXT_LENGTH:]}")
    counts = Counter(one["outcome"] for one in outcomes)
    print(
        f"tempest: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped by tempest, "
        f"{excluded} left out (exclude.txt) in {seconds:.0f} s"
    )
    return 0 if counts["passed"] and not counts["failed"] else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="devstack.tempest", description=__doc__)
    parser.add_argument("--programs", type=Path, required=True, help="where tempest's programs are")
    parser.add_argument("--concurrency", type=int, default=2, help="how many classes of tests run at once")
    parser.add_argument("--all", action="store_true", help="heed no list: run what exclude.txt leaves out, too")
    parser.add_argument("--json", type=Path, help="write what became of each test to this file")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave it, logs and all")
    parser.add_argument("regex", nargs="?", type=lists.expression, help="of these, only tests of such a name")
    asked = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        directory = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nlite-tempest-")))
        directory.mkdir(parents=True, exist_ok=True)
        try:
            tempest = Tempest(asked.programs, directory / "workspace")
            wanted = tempest.wanted()
            gone = (
                []
                if asked.all
                else [n for names in lists.left_out(wanted, lists.read(lists.EXCLUDE)).values() for n in names]
            )
        except lists.ListError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        chosen = [name for name in wanted if name not in set(gone) and (not asked.regex or asked.regex.search(name))]
        system = stack.enter_context(running(directory))
        tempest.configure(config.text(config.sections(system, tempest.workspace)))
        begun = time.monotonic()
        outcomes = tempest.run(chosen, asked.concurrency)
        if asked.json:
            asked.json.write_text(json.dumps(outcomes, indent=1))
        return report(outcomes, len(gone), time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
