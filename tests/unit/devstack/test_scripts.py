"""The shell scripts as such: bash can read them, none grows too long, and the usage text tells every option."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted((ROOT / "devstack").rglob("*.sh"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bash_understands_every_script(path: Path) -> None:
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("name", ["stack.sh", "unstack.sh"])
def test_the_usage_tells_every_option_and_no_other(name: str) -> None:
    text = (ROOT / "devstack" / name).read_text()
    told = "\n".join(line for line in text.splitlines()[1:30] if line.startswith("#"))
    cases = re.findall(r"^ {8}(--[^)]+)\)", text, re.MULTILINE)
    taken = {option.strip() for case in cases for option in case.split("|")}
    assert taken == set(re.findall(r"--[a-z-]+", told))


def test_every_part_that_stack_sh_is_made_of_is_there() -> None:
    text = (ROOT / "devstack" / "stack.sh").read_text()
    parts = re.findall(r'^\. "\$NLITE_ROOT/devstack/(\w+\.sh)"', text, re.MULTILINE)
    assert len(parts) >= 8
    assert all((ROOT / "devstack" / part).exists() for part in parts)
