"""The tests that need the kernel's own storage have run inside a machine meanwhile: their outcome is this test's."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.vm import conftest


@pytest.mark.usefixtures("lab")
def test_the_tests_of_the_kernel_pass_inside(request: pytest.FixtureRequest) -> None:
    result, report = request.config.stash[conftest.KERNEL].outcome()
    assert report.endswith("</testsuites>"), f"the run inside did not end well:\n{result}"
    suite = ET.fromstring(report)[0]
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    conftest.note(request.config, f"tests/kernel: {counts} in {float(suite.get('time', 0)):.0f} s")
    bad = [f"{case.get('classname')}::{case.get('name')}" for case in suite.iter("testcase") if _reasons(case)]
    assert not bad, "\n".join([f"of {counts['tests']} tests:", *bad, "", result.stdout])
    assert counts["tests"] > 0, result.stdout
    assert result.returncode == 0, str(result)


def _reasons(case: ET.Element) -> list[ET.Element]:
    """Why a test did not simply pass: a test that is skipped here has not been run anywhere."""
    return [reason for kind in ("failure", "error", "skipped") for reason in case.iterfind(kind)]
