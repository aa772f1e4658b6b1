"""The tests that need the kernel's own storage, run inside the machines, all at once: their outcome is this test's."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from concurrent import futures

import pytest

from tests.fixtures.lab import Lab, Result
from tests.vm import conftest

LIMIT = 1200
RESULT = "/run/kernel-tests.xml"
# Two shares of about the same size, each on a machine of its own: a third one would only take turns with them on the
# two processors of a small host. A file that is named nowhere is in the last one.
NAMED = ("test_os_brick.py", "test_block_disk.py", "test_lio_trouble.py", "test_lvm_trouble.py", "test_without_root.py")
PARTS = {
    "compute1": " ".join(f"tests/kernel/{name}" for name in NAMED),
    "compute2": " ".join(["tests/kernel", *(f"--ignore=tests/kernel/{name}" for name in NAMED)]),
}
# libvirtd and machined look at every device that a test makes: they run only for the tests that start them.  Plugins
# that no test there uses take longer to load than many a test to run.  What is still at work at the limit is
# interrupted, so that it says where it was.
COMMAND = (
    "systemctl --quiet stop libvirtd.service systemd-machined.service; "
    "cd /opt/nlite/src && PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "
    f"timeout --signal=INT {LIMIT} /opt/nlite/venv/bin/python -m pytest {{part}} -p pytest_timeout "
    f"-p no:cacheprovider -v --tb=short --color=no --durations=10 --junitxml={RESULT}"
)


@pytest.fixture(scope="module")
def runs(lab: Lab) -> Mapping[str, tuple[Result, str]]:
    """Give output and JUnit report of each part, from machines on which no role is installed (any more)."""
    installed = [host for host in PARTS if lab.run(host, "test -e /etc/nlite", check=False).returncode == 0]
    if installed:
        lab.renew(*installed)

    def run(host: str) -> tuple[Result, str]:
        result = lab.run(host, COMMAND.format(part=PARTS[host]), check=False, timeout=LIMIT + 60)
        return result, lab.run(host, f"cat {RESULT}", check=False).stdout

    with futures.ThreadPoolExecutor(len(PARTS)) as pool:
        return dict(zip(PARTS, pool.map(run, PARTS), strict=True))


@pytest.mark.parametrize("host", PARTS)
def test_the_tests_of_the_kernel_pass_inside(
    host: str, runs: Mapping[str, tuple[Result, str]], request: pytest.FixtureRequest
) -> None:
    result, report = runs[host]
    assert report.endswith("</testsuites>"), f"the run inside {host} did not end well:\n{result}"
    suite = ET.fromstring(report)[0]
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    conftest.note(request.config, f"tests/kernel in {host}: {counts} in {float(suite.get('time', 0)):.0f} s")
    bad = [f"{case.get('classname')}::{case.get('name')}" for case in suite.iter("testcase") if _reasons(case)]
    assert not bad, "\n".join([f"inside {host}, of {counts['tests']} tests:", *bad, "", result.stdout])
    assert counts["tests"] > 0, result.stdout
    assert result.returncode == 0, str(result)


def _reasons(case: ET.Element) -> list[ET.Element]:
    """Why a test did not simply pass: a test that is skipped here has not been run anywhere."""
    return [reason for kind in ("failure", "error", "skipped") for reason in case.iterfind(kind)]
