"""What `unstack.sh` does in which order when it takes a role away. Bash runs the real functions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = "lib config settings control systemd unrole"
# One guest that is being booted: nova-lite-compute, as long as it runs, undefines it when it stops.
PROGRAMS = {
    "virsh": """
        case " $* " in
        *" list "*) [ ! -e guest ] || echo instance-00000001 ;;
        *" destroy "*) [ ! -e nova-lite-compute.service ] || rm guest ;;
        *" undefine "*) rm guest 2>/dev/null || { echo "error: failed to get domain" >&2; exit 1; } ;;
        esac""",
    "systemctl": """
        case " $* " in
        *" disable "*) echo "$*" >>stopped ;;
        esac""",
}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return the directory of a compute host: its unit, its guest, and the programs that tell of them."""
    (tmp_path / "bin").mkdir()
    for name, body in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\ncd {tmp_path}\n{body}\n")
        program.chmod(0o755)
    for name in ("guest", "nova-lite-compute.service"):
        (tmp_path / name).touch()
    return tmp_path


def remove(host: Path, *, force: str) -> subprocess.CompletedProcess[str]:
    """Run the first steps of remove_role."""
    sources = "".join(f". devstack/{part}.sh\n" for part in PARTS.split())
    steps = "refuse_running_guests\nremove_units\nremove_guests\n"
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{sources}UNIT_DIR={host}; FORCE={force}\n{steps}"],
        cwd=ROOT,
        env={"PATH": f"{host}/bin:{os.environ['PATH']}", "NLITE_PATIENCE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_running_guest_is_refused_before_anything_is_stopped(host: Path) -> None:
    done = remove(host, force="no")
    assert done.returncode == 1
    assert "these guests run: instance-00000001" in done.stderr
    assert not (host / "stopped").exists()
    assert (host / "nova-lite-compute.service").exists()


def test_guests_end_when_nova_compute_cannot_interfere(host: Path) -> None:
    done = remove(host, force="yes")
    assert done.returncode == 0, done.stderr
    assert not (host / "guest").exists()
    assert "nova-lite-compute" in (host / "stopped").read_text()
