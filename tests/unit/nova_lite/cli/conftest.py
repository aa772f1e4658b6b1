"""Runs nlite in this process against a FakeStack, away from any configuration of the person who runs the tests."""

import dataclasses
import io
import json
import os
import pathlib
import typing
from collections.abc import Callable, Iterator

import pytest

from nova_lite.cli import main, wait
from tests.unit.nova_lite.cli import fake_api


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run of nlite left behind."""

    code: int
    out: str
    err: str

    def json(self) -> typing.Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in list(os.environ):
        if name.startswith("OS_") or name in ("NLITE_TOKEN", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Else a clouds.yaml of the machine's own stack would be found there.
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    monkeypatch.setattr("nova_lite.cli.config.SITE_FOLDER", tmp_path / "etc" / "openstack")
    monkeypatch.chdir(tmp_path)
    # The scripts of the fake stack advance per look, so there is nothing to wait for.
    monkeypatch.setattr(wait, "FIRST_PAUSE", 0.001)


@pytest.fixture
def stack() -> Iterator[fake_api.FakeStack]:
    fake = fake_api.FakeStack()
    yield fake
    fake.close()


def run_nlite(*argv: str, stderr: typing.TextIO | None = None) -> Result:
    """Run nlite and return what it printed; argparse's exits count as exit codes."""
    out = io.StringIO()
    err = stderr or io.StringIO()
    try:
        code = main.Nlite(stdout=out, stderr=err).run(list(argv))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    return Result(code, out.getvalue(), err.getvalue() if isinstance(err, io.StringIO) else "")


@pytest.fixture
def nlite(stack: fake_api.FakeStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs nlite against the fake stack."""
    monkeypatch.setenv("OS_COMPUTE_ENDPOINT_OVERRIDE", f"{stack.base}/v2.1")
    monkeypatch.setenv("OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE", f"{stack.base}/v3")
    monkeypatch.setenv("OS_IMAGE_ENDPOINT_OVERRIDE", f"{stack.base}/image")
    return run_nlite
