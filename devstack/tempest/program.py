"""Tempest's own programs, run in a workspace of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from devstack.tempest import lists

ASK_SECONDS = 600
RUN_SECONDS = 3 * 3600
# A class that could not be set up, or is skipped as a whole, stands for its tests.
WHOLE_CLASS = re.compile(r"^(?:setUpClass|tearDownClass) \((.+)\)$")
Outcome = dict[str, str]


class Tempest:
    """The tempest whose programs are in that directory. Its methods raise lists.ListError when it fails."""

    def __init__(self, programs: Path, workspace: Path) -> None:
        self.programs = programs
        self.workspace = workspace
        self._ids: dict[str, str] = {}
        site = self._ask("python", "-c", "import tempest; print(tempest.__path__[0])").strip()
        (workspace / "etc").mkdir(parents=True)
        # What `tempest init` writes: all tests of a class run one after the other, in one process.
        (workspace / ".stestr.conf").write_text(
            f"[DEFAULT]\ntest_path={site}/test_discover\ntop_dir={Path(site).parent}\ngroup_regex=([^\\.]*\\.)*\n"
        )
        self._ask("stestr", "init")

    def version(self) -> str:
        """Which tempest it is."""
        return self._ask("python", "-c", "from importlib.metadata import version; print(version('tempest'))").strip()

    def configure(self, text: str) -> None:
        """Write tempest.conf."""
        path = self.workspace / "etc" / "tempest.conf"
        path.touch(mode=0o600)
        path.write_text(text)

    def wanted(self) -> list[str]:
        """The names of the tests that include.txt means."""
        lines = self._ask("tempest", "run", "--list-tests", "--include-list", str(lists.INCLUDE)).splitlines()
        self._ids = {line.partition("[")[0]: line for line in lines if line.startswith("tempest.")}
        return list(self._ids)

    def run(self, chosen: Iterable[str], concurrency: int) -> list[Outcome]:
        """Run these of the `wanted` tests, showing what happens; what became of each."""
        # The attributes in a test's id depend on the configuration, which may be newer than the list.
        self.wanted()
        names = self.workspace / "chosen.txt"
        names.write_text("".join(f"{self._ids[name]}\n" for name in chosen))
        # Its exit code says less than what it has written down.
        subprocess.run(
            [self.programs / "tempest", "run", "--load-list", str(names), "--concurrency", str(concurrency)],
            cwd=self.workspace,
            env=_environment(self.programs, self.workspace),
            timeout=RUN_SECONDS,
            check=False,
        )
        stream = self.workspace / "last.subunit"
        with stream.open("wb") as file:
            # It fails when a test has, and writes down all the same.
            subprocess.run(
                [self.programs / "stestr", "last", "--subunit"],
                cwd=self.workspace,
                env=_environment(self.programs, self.workspace),
                stdout=file,
                stderr=subprocess.DEVNULL,
                timeout=ASK_SECONDS,
                check=False,
            )
        reader = str(Path(__file__).with_name("outcomes.py"))
        return list(json.loads(self._ask("python", reader, str(stream))))

    def _ask(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.workspace if self.workspace.is_dir() else None,
            env=_environment(self.programs, self.workspace),
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
        )
        if done.returncode:
            raise lists.ListError(f"{program} {arguments[0]} failed: {(done.stdout + done.stderr)[-800:]}")
        return done.stdout


def missing(chosen: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    """The tests of which nothing was heard: neither of them nor of their class as a whole."""
    names = {one["name"].partition("[")[0] for one in outcomes}
    whole = {found[1] for one in outcomes if (found := WHOLE_CLASS.match(one["name"]))}
    return [name for name in chosen if name not in names and name.rpartition(".")[0] not in whole]


def _environment(programs: Path, workspace: Path) -> dict[str, str]:
    """Without what another cloud or another tempest has left there."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON"))}
    path = f"{programs}{os.pathsep}{clean.get('PATH', '')}"
    return clean | {"TEMPEST_CONFIG_DIR": str(workspace / "etc"), "PATH": path}
