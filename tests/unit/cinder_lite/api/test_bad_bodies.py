"""Bodies near to valid ones, and far from them, of snapshots and of changes of volumes: never a fault of ours."""

from __future__ import annotations

import uuid
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.unit.cinder_lite.world import World

NOBODY = str(uuid.UUID(int=1))
# The same examples each time, so that a red run is not green the next time.
BOUNDED = hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(max_size=260) | st.none()
VERSIONS = st.sampled_from(["3.0", "3.42", "3.66", "3.69"])


def body(key: str, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Each field right, wrong or absent, others beside them; and something else altogether."""
    mixed = {name: st.one_of(right, right, ANYTHING) for name, right in fields.items()}
    near = st.fixed_dictionaries({}, optional=mixed | {"colour": ANYTHING})
    return st.one_of(*[near.map(lambda inner: {key: inner})] * 4, st.fixed_dictionaries({key: ANYTHING}), ANYTHING)


def sound(answer: Any) -> None:
    """An answer that blames the request, if anything, and says why."""
    assert answer.status_int < 500, answer.text
    if answer.status_int >= 400:
        ((_, fault),) = answer.json.items()
        assert fault["code"] == answer.status_int
        assert fault["message"]


@pytest.fixture
def full(database: Any) -> World:
    """A project that may have a volume and a snapshot of 1 GiB, and no more."""
    return World(database, volumes=1, snapshots=1, gigabytes=2)


def test_snapshots(full: World) -> None:
    volume_id = full.volume()
    snapshot_id = full.snapshot(volume_id)
    create = body(
        "snapshot",
        {
            "volume_id": st.sampled_from([volume_id, volume_id.upper(), NOBODY, "x"]) | st.none(),
            "name": NAMES,
            "display_name": NAMES,
            "description": NAMES,
            "force": st.booleans() | st.sampled_from(["True", "off", "maybe"]) | st.none(),
            "metadata": st.dictionaries(st.text(max_size=260), st.text(max_size=260), max_size=3),
        },
    )

    @BOUNDED
    @hypothesis.given(create, VERSIONS)
    def ask(told: Any, version: str) -> None:
        answer = full.ask("POST", "/snapshots", told, version=version)
        sound(answer)
        assert answer.status_int >= 400

    ask()

    @BOUNDED
    @hypothesis.given(body("snapshot", {"name": NAMES, "display_description": NAMES}), VERSIONS)
    def change(told: Any, version: str) -> None:
        sound(full.ask("PUT", f"/snapshots/{snapshot_id}", told, version=version))

    change()
    statuses = st.sampled_from(["available", "creating", "error", "deleting", "error_deleting", "in-use"])
    actions = st.one_of(
        body("os-reset_status", {"status": statuses}),
        body("os-update_snapshot_status", {"status": statuses, "progress": st.sampled_from(["0%", "100%", "101%"])}),
    )

    @BOUNDED
    @hypothesis.given(actions, VERSIONS)
    def act(told: Any, version: str) -> None:
        sound(full.ask("POST", f"/snapshots/{snapshot_id}/action", told, version=version))

    act()
    assert full.rows("snapshots") == 1
    shown = full.ask("GET", f"/snapshots/{snapshot_id}").json["snapshot"]
    assert shown["status"] in ("available", "creating", "error", "deleting", "error_deleting")


def test_changes_of_volumes(full: World) -> None:
    volume_id = full.volume()
    sizes = st.integers(min_value=3) | st.integers(max_value=1) | st.integers().map(str) | st.text(max_size=30)
    types = st.sampled_from(["__DEFAULT__", NOBODY]) | NAMES
    actions = st.one_of(
        body("os-extend", {"new_size": sizes}),
        body("os-retype", {"new_type": types, "migration_policy": st.sampled_from(["never", "on-demand", None])}),
    )

    @BOUNDED
    @hypothesis.given(actions, VERSIONS)
    def act(told: Any, version: str) -> None:
        answer = full.ask("POST", f"/volumes/{volume_id}/action", told, version=version)
        sound(answer)
        # Text may be the one size that there is room for.
        assert answer.status_int >= 400 or told == {"os-extend": {"new_size": "2"}}

    act()
    assert full.status(volume_id) == ("available", "detached")
