"""Pools by name and by what a volume type demands, from the microversions that have these filters."""

from __future__ import annotations

import pytest

from tests.unit.cinder_lite.world import HOST, World

SSD = "host1@ssd#ssd"


@pytest.fixture
def pools(world: World) -> World:
    world.scheduler.pools = [
        {"name": HOST, "capabilities": {"volume_backend_name": "fake1"}},
        {"name": SSD, "capabilities": {"volume_backend_name": "ssd"}},
    ]
    body = {"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "ssd"}}}
    assert world.ask("POST", "/types", body).status_int == 200
    return world


@pytest.mark.parametrize(
    ("query", "version", "expected"),
    [
        ("", "3.0", [HOST, SSD]),
        ("?name=host1%40ssd%23ssd", "3.28", [SSD]),
        ("?name=host1%40ssd%23ssd", "3.27", [HOST, SSD]),
        ("?name=nope", "3.69", []),
        ("?volume_type=fast", "3.35", [SSD]),
        ("?volume_type=fast", "3.30", [HOST, SSD]),
        ("?volume_type=__DEFAULT__&detail=true", "3.69", [HOST, SSD]),
    ],
)
def test_filters(pools: World, query: str, version: str, expected: list[str]) -> None:
    answer = pools.ask("GET", f"/scheduler-stats/get_pools{query}", version=version)
    assert [pool["name"] for pool in answer.json["pools"]] == expected


@pytest.mark.parametrize(
    ("query", "version", "status"),
    [("?volume_type=nope", "3.35", 404), ("?colour=red", "3.31", 400), ("?volume_type=fast", "3.34", 400)],
)
def test_refused(pools: World, query: str, version: str, status: int) -> None:
    assert pools.ask("GET", f"/scheduler-stats/get_pools{query}", version=version).status_int == status
