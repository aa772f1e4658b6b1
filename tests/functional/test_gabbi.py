"""The REST contract, told in gabbits/*.yaml and asked of the running services over HTTP."""

import gc
import unittest
from pathlib import Path
from urllib import parse

import pytest
import yaml
from gabbi import handlers, suitemaker

from tests.fixtures import stack as stack_fixture

GABBITS = Path(__file__).parent / "gabbits"


@pytest.mark.parametrize("path", sorted(GABBITS.glob("*.yaml")), ids=lambda path: path.stem)
def test_contract(path: Path, stack: stack_fixture.FunctionalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of the file, in order, gets the answer the file says.

    compute-*.yaml are asked of nova-api, volume-*.yaml of cinder-api; the other side is at $ENVIRON['VOLUME_URL'] or
    $ENVIRON['COMPUTE_URL'].
    """
    own = stack.compute_url if path.stem.startswith("compute") else stack.volume_url
    monkeypatch.setenv("COMPUTE_URL", stack.compute_url)
    monkeypatch.setenv("VOLUME_URL", stack.volume_url)
    monkeypatch.setenv("IMAGE_URL", stack.image_url)
    monkeypatch.setenv("SERVICE_SECRET", stack.secret)
    where = parse.urlsplit(own)
    suite = suitemaker.test_suite_from_dict(
        unittest.defaultTestLoader,
        path.stem,
        yaml.safe_load(path.read_text()),
        str(GABBITS),
        where.hostname,
        where.port,
        None,
        None,
        prefix="",
        handlers=[kind() for kind in handlers.RESPONSE_HANDLERS],
    )
    result = unittest.TestResult()
    suite.run(result)
    # gabbi makes a client for each request and leaves the connections of all of them to the collector.
    gc.collect()
    assert result.testsRun > 0
    problems = [f"{test}\n{trace}" for test, trace in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    assert not result.unexpectedSuccesses
