"""Filters of lists by version and caller: exact ones, those for a part of the value, and what is no filter."""

from __future__ import annotations

import uuid

import hypothesis
import pytest
from hypothesis import strategies as st

from cinder_lite.api import listing
from tests.unit.cinder_lite.world import World

USER = "ann:demo"
SERVER = str(uuid.UUID(int=7))


def found(world: World, query: str, **kw: str) -> int:
    answer = world.ask("GET", f"/volumes/detail?{query}", **kw)  # type: ignore[arg-type]  # version and token only
    assert answer.status_int == 200, answer.text
    return len(answer.json["volumes"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status~=avail", 2),
        ("availability_zone~=nov", 2),
        ("consumes_quota=true", 2),
        ("migration_status=error", 0),
        ("group_id=x", 0),
        ("updated_at=lt:2000-01-01T00:00:00", 0),
    ],
)
def test_what_users_filter_volumes_by(world: World, query: str, expected: int) -> None:
    for _ in range(2):
        world.volume(token=USER)
    assert found(world, query, token=USER) == expected


def test_what_administrators_filter_volumes_by(world: World) -> None:
    volume, other = world.volume(), world.volume()
    world.attach(volume)
    for query, expected in (
        ("attach_status=attached", 1),
        ("multiattach=true", 0),
        ("multiattach=false", 2),
        (f"id={other}", 1),
        (f"snapshot_id={other}", 0),
        ("host=host1%40fake1%23fake1", 2),
        ("host~=fake1", 2),
        ("user_id=admin", 2),
        ("all_tenants=1&project_id=other", 0),
    ):
        assert found(world, query) == expected, query
        # Users do not: an error from 3.31 on, ignored before.
        plain = query.removeprefix("all_tenants=1&")
        assert world.ask("GET", f"/volumes?{plain}", token=USER).status_int == 400
        if "~" not in query:
            assert world.ask("GET", f"/volumes?{plain}", token=USER, version="3.30").json == {
                "volumes": world.ask("GET", "/volumes", token=USER).json["volumes"]
            }


@pytest.mark.parametrize("query", ["metadata~=x", "size~=1", "bootable~=t", "created_at~=2", "name~~=x", "~=x"])
def test_what_has_no_part_to_look_for(world: World, query: str) -> None:
    assert world.ask("GET", f"/volumes?{query}").status_int == 400


def test_attachments(world: World) -> None:
    world.attach(world.volume(), SERVER)
    for query, expected in ((f"instance_id~={SERVER[:8]}", 1), ("attach_status~=tach", 1), ("status~=reserv", 0)):
        assert len(world.ask("GET", f"/attachments?{query}").json["attachments"]) == expected
        assert world.ask("GET", f"/attachments?{query}", version="3.33").status_int == 400
    assert world.ask("GET", "/attachments?project_id=other").json == {"attachments": []}
    assert world.ask("GET", "/attachments?project_id=other", token=USER).status_int == 400


def test_the_filters_are_told(world: World) -> None:
    told = world.ask("GET", "/resource_filters", token=USER).json["resource_filters"]
    assert [one["resource"] for one in told] == ["volume", "snapshot", "attachment", "message", "pool", "volume_type"]
    [volume] = world.ask("GET", "/resource_filters?resource=volume", version="3.33").json["resource_filters"]
    assert set(volume["filters"]) == listing.VOLUME_FILTERS
    assert world.ask("GET", "/resource_filters?resource=nope").json == {"resource_filters": []}
    assert world.ask("GET", "/resource_filters", version="3.32").status_int == 404


def test_the_summary_tells_all_metadata(world: World) -> None:
    for number in range(3):
        world.volume(token=USER, metadata={"color": "red" if number else "blue", "n": str(number)})
    world.volume(token="eve:other", metadata={"color": "black"})
    told = world.ask("GET", "/volumes/summary", token=USER).json["volume-summary"]
    assert told == {"total_count": 3, "total_size": 3, "metadata": {"color": ["blue", "red"], "n": ["0", "1", "2"]}}
    assert "metadata" not in world.ask("GET", "/volumes/summary", version="3.35").json["volume-summary"]


@hypothesis.given(name=st.text(max_size=20), value=st.text(max_size=40))
@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_no_query_breaks_a_list(world: World, name: str, value: str) -> None:
    from urllib import parse

    for known in (name, "name~", "size", "created_at", "metadata", "limit", "sort", "marker", "is_public", "size~"):
        try:
            query = parse.urlencode({known: value})
        except UnicodeEncodeError:
            continue
        for path in ("/volumes", "/attachments", "/messages", "/types"):
            assert world.ask("GET", f"{path}?{query}").status_int in (200, 400, 404)
