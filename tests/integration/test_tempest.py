"""Tempest, unchanged, against the daemons behind a real keystone: the part that is in every run (docs/tempest.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from devstack.tempest import lists

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / ".tox" / "tempest" / "bin"
SECONDS = 840
# Fewer, and the expression has lost what it is for.
AT_LEAST = 40


@pytest.mark.timeout(SECONDS + 60)
def test_tempests_tests_of_attachments_and_volumes_pass(tmp_path: Path) -> None:
    assert PROGRAMS.is_dir(), "tempest is not installed: ./devstack/test.sh prepare"
    told = tmp_path / "outcomes.json"
    argv = [sys.executable, "-m", "devstack.tempest", "--programs", str(PROGRAMS), "--json", str(told), lists.SUBSET]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    assert Counter(one["outcome"] for one in json.loads(told.read_text()))["passed"] >= AT_LEAST
