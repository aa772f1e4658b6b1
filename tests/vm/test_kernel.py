"""The tests that need the kernel's own storage, run inside the controller: their outcome is this test's."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.fixtures.lab import Lab
from tests.vm import conftest

HOST = "controller"
LIMIT = 1200
RESULT = "/run/kernel-tests.xml"
# libvirtd's first start takes long under emulation, longer than the services wait for it.
COMMAND = (
    "systemctl start libvirtd; cd /opt/nlite/src && "
    "PYTHONDONTWRITEBYTECODE=1 /opt/nlite/venv/bin/python -m pytest tests/kernel "
    f"-p no:cacheprovider -q --tb=short --color=no --durations=10 --junitxml={RESULT}"
)


@pytest.mark.timeout(LIMIT + 300, func_only=True)
def test_the_tests_of_the_kernel_pass_inside_the_controller(lab: Lab, request: pytest.FixtureRequest) -> None:
    result = lab.run(HOST, COMMAND, check=False, timeout=LIMIT)
    suite = ET.fromstring(lab.read(HOST, RESULT)).find("testsuite") if result.returncode in (0, 1) else None
    # The site's tests install a controller on a clean machine.
    lab.renew(HOST)
    assert suite is not None, f"the run inside {HOST} did not end well:\n{result}"
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    conftest.note(request.config, f"tests/kernel in {HOST}: {counts} in {float(suite.get('time', 0)):.0f} s")
    bad = [f"{case.get('classname')}::{case.get('name')}" for case in suite.iter("testcase") if len(_reasons(case))]
    assert not bad, "\n".join([f"inside {HOST}, of {counts['tests']} tests:", *bad, "", result.stdout])
    assert counts["tests"] > 0, result.stdout


def _reasons(case: ET.Element) -> list[ET.Element]:
    """Why a test did not simply pass: a test that is skipped here has not been run anywhere."""
    return [reason for kind in ("failure", "error", "skipped") for reason in case.iterfind(kind)]
