"""The machines for the tests of this directory, and what is shown of them when a test fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.vm.hosts import VmError
from tests.fixtures import kernel_tests
from tests.fixtures.lab import Lab
from tests.fixtures.site import COMPUTES, Site

LOGS = Path(os.environ.get("NLITE_VM_LOGS", "/var/tmp/nlite-vm-logs"))
JOURNAL = "journalctl --no-pager -o short-precise --since=-10min -n 60 -u 'nova-lite-*' -u 'cinder-lite-*'"
SHOWN_SECONDS = 30
TEST_SECONDS = 600
LAB = pytest.StashKey[Lab]()
KERNEL = pytest.StashKey[kernel_tests.KernelTests]()
FAILED = pytest.StashKey[bool]()
LINES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `whole` is left out unless NLITE_VM is `all`. The kernel tests, which run beside the others, are
    waited for at last, as long as it takes.

    The limit of a test here does not count its fixtures, which build an image and install a site; they have their own.
    """
    if os.environ.get("NLITE_VM") != "all":
        left_out = [item for item in items if item.get_closest_marker("whole")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_is_kernel)
    for item in items:
        if item.path.parent.name == "vm" and item.get_closest_marker("timeout") is None:
            seconds = kernel_tests.LIMIT + TEST_SECONDS if _is_kernel(item) else TEST_SECONDS
            item.add_marker(pytest.mark.timeout(seconds, func_only=True))


def _is_kernel(item: pytest.Item) -> bool:
    return item.path.parent.name == "vm" and item.path.name == "test_kernel.py"


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Give the running machines, this checkout in them."""
    config = request.config
    begun = time.monotonic()
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")

    def report(text: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(f"vm: {text}", flush=True)

    machines, kernel = Lab(report), None
    try:
        machines.ready()
        note(config, f"machines ready after {time.monotonic() - begun:.0f} s")
        config.stash[LAB] = machines
        if any(_is_kernel(item) for item in request.session.items):
            config.stash[KERNEL] = kernel = kernel_tests.KernelTests(lambda text: note(config, text))
        yield machines
        if config.stash.get(FAILED, False):
            machines.collect(LOGS)
            if kernel is not None:
                kernel.collect(LOGS / "kernel")
            note(config, f"logs of the machines: {LOGS}")
    finally:
        if kernel is not None:
            kernel.close()
        machines.close()
        note(config, f"{time.monotonic() - begun:.0f} s in all")


@pytest.fixture(scope="session")
def site(lab: Lab, request: pytest.FixtureRequest) -> Site:
    """Give the installation on all three machines, with a booted guest on each compute node."""
    begun = time.monotonic()
    made = Site(lab)
    if not made.adopt():
        made.install()
    installed = time.monotonic()
    for host in COMPUTES:
        made.await_guest(host)
    ended = time.monotonic()
    note(request.config, f"site installed in {installed - begun:.0f} s, guests booted {ended - installed:.0f} s later")
    return made


def note(config: pytest.Config, text: str) -> None:
    """Have a line in the run's summary."""
    config.stash.setdefault(LINES, []).append(text)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put the ends of the daemons' journals into the report of a test that failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result, which pytest does not type
    machines = item.config.stash.get(LAB, None)
    if not report.failed or machines is None or "lab" not in getattr(item, "fixturenames", ()):
        return
    item.config.stash[FAILED] = True
    for name in machines.names:
        try:
            journal = machines.run(name, JOURNAL, check=False, timeout=SHOWN_SECONDS).stdout.strip()
        except VmError as error:
            journal = str(error)
        if journal and journal != "-- No entries --":
            report.sections.append((f"journal of {name}", journal))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how long the machines took, and what the tests inside them counted."""
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(f"vm: {line}")
