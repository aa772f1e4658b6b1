"""Any JSON at all as the body of the two requests that matter: an answer in the API's form, never a 5xx.

What could be granted is kept from being granted by the state of things (no quota, no volume that is free), so that
the stack is as it was before whatever Hypothesis comes up with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
from hypothesis import strategies as st

from tests.fixtures import stack as stacks
from tests.functional import world as worlds
from tests.functional.world import NOBODY, World

# The same examples each time, so that a red run is not green the next time.
BOUNDED = hypothesis.settings(max_examples=80, deadline=None, derandomize=True, database=None)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def body(key: str, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Bodies near to valid ones (each field right, wrong or absent, others beside them), and some that are not."""
    mixed = {name: st.one_of(right, right, ANYTHING) for name, right in fields.items()}
    near = st.fixed_dictionaries({}, optional=mixed | {"colour": ANYTHING})
    return st.one_of(*[near.map(lambda inner: {key: inner})] * 4, st.fixed_dictionaries({key: ANYTHING}), ANYTHING)


NAMES = st.text(max_size=260) | st.none()
VOLUME = body(
    "volume",
    {
        "size": st.integers() | st.integers().map(str),
        "name": NAMES,
        "description": NAMES,
        "display_name": NAMES,
        "volume_type": st.sampled_from(["__DEFAULT__", NOBODY]) | NAMES,
        "availability_zone": st.sampled_from(["nova", "mars"]) | NAMES,
        "metadata": st.dictionaries(st.text(max_size=260), st.text(max_size=260), max_size=3),
        "snapshot_id": st.just(NOBODY) | st.none(),
        "source_volid": st.just(NOBODY) | st.none(),
        "imageRef": st.just(NOBODY) | st.none(),
        "multiattach": st.booleans(),
    },
)
VERSIONS = ["3.0", "3.53", "3.69"]


def refused(answer: requests.Response) -> None:
    """A 4xx with one fault that says something."""
    assert 400 <= answer.status_code < 500, answer.text
    ((_, fault),) = answer.json().items()
    assert fault["code"] == answer.status_code
    assert fault["message"]


@pytest.fixture(scope="module")
def poor(stack: stacks.FunctionalStack) -> World:
    """A user whose project may have no volume."""
    none = {"quota_set": {"volumes": 0}}
    assert World(stack, "admin:bad-bodies").volumes("PUT", "/os-quota-sets/bad-bodies", none).status_code == 200
    return World(stack, "ann:bad-bodies")


def test_no_body_makes_cinder_api_fail(poor: World) -> None:
    before = worlds.quiet(poor.stack)

    @BOUNDED
    @hypothesis.given(VOLUME, st.sampled_from(VERSIONS))
    def ask(told: Any, version: str) -> None:
        refused(poor.volumes("POST", "/volumes", told, OpenStack_API_Version=f"volume {version}"))

    ask()
    assert worlds.quiet(poor.stack) == before


@pytest.fixture(scope="module")
def taken(stack: stacks.FunctionalStack) -> Iterator[tuple[World, str, str]]:
    """A user's server and a volume that it has already."""
    own = World(stack, "ann:bad-bodies-attach")
    server = own.server()
    volume = own.attached(server, own.volume())
    yield own, server, volume
    own.remove(servers=[server], volumes=[volume])


def test_no_body_makes_nova_api_fail(taken: tuple[World, str, str]) -> None:
    own, server, volume = taken
    before = worlds.quiet(own.stack)
    attachment = body(
        "volumeAttachment",
        {
            "volumeId": st.sampled_from([volume, NOBODY, volume.upper(), volume.replace("-", ""), f"{{{volume}}}"]),
            "device": st.from_regex(r"\A/dev/x?[a-z]?d?[a-z]+[0-9]*\Z") | st.none(),
            "tag": st.text(max_size=70),
            "delete_on_termination": st.booleans() | st.sampled_from(["yes", "0", "maybe"]),
        },
    )

    @BOUNDED
    @hypothesis.given(attachment, st.sampled_from(["2.1", "2.49", "2.79", "2.101"]))
    def ask(told: Any, version: str) -> None:
        path = f"/servers/{server}/os-volume_attachments"
        refused(own.compute("POST", path, told, OpenStack_API_Version=f"compute {version}"))

    ask()
    assert worlds.quiet(own.stack) == before
