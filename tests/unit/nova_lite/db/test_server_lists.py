"""Lists of servers under any order and any page size; what hosts and projects use."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lite_common import db
from nova_lite.db import compute_nodes, models, server_lists, services, tags
from tests.unit.nova_lite.db.test_tables import new_server

NUMBER = 9


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[db.Database]:
    """A database with servers that are equal in many columns, and empty in some."""
    directory: Path = tmp_path_factory.mktemp("lists")
    made = db.Database(f"sqlite:///{directory}/nova.sqlite")
    models.metadata.create_all(made.engine)
    for number in range(NUMBER):
        new_server(
            made,
            f"s{number}",
            display_name=None if number == 4 else f"name{number % 3}",
            launched_at=datetime.datetime(2026, 1, 1 + number % 2) if number % 3 else None,
            launch_index=number % 2 or None,
            auto_disk_config=[None, True, False][number % 3],
            flavor_id=str(number % 2),
            locked_by=[None, "owner", "admin"][number % 3],
            availability_zone=None if number % 2 else "nova",
        )
    yield made
    made.close()


orders = st.lists(
    st.tuples(st.sampled_from(sorted(server_lists.SORT_KEYS)), st.sampled_from(["asc", "desc"])), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(order=orders, size=st.integers(1, NUMBER + 1))
def test_pages_cover_everything_once_in_any_order(
    servers: db.Database, order: list[tuple[str, str]], size: int
) -> None:
    whole = [one.uuid for one in server_lists.list_page(servers, server_lists.ServerFilters(), sort=order)]
    assert len(set(whole)) == NUMBER
    assert pages(servers, order, size) == whole


@pytest.mark.parametrize("way", ["asc", "desc"])
@pytest.mark.parametrize("key", sorted(server_lists.SORT_KEYS))
def test_every_key_orders_and_pages(servers: db.Database, key: str, way: str) -> None:
    whole = [one.uuid for one in server_lists.list_page(servers, server_lists.ServerFilters(), sort=[(key, way)])]
    assert len(set(whole)) == NUMBER
    assert pages(servers, [(key, way)], 2) == whole


def pages(servers: db.Database, order: list[tuple[str, str]], size: int) -> list[str]:
    """The ids of all servers, read page by page."""
    seen: list[str] = []
    while True:
        page = server_lists.list_page(
            servers, server_lists.ServerFilters(), sort=order, limit=size, marker=seen[-1] if seen else None
        )
        if not page:
            break
        seen += [one.uuid for one in page]
    return seen


def test_who_asked_for_no_zone_is_in_the_one_there_is(servers: db.Database) -> None:
    def found(pattern: str) -> int:
        filters = server_lists.ServerFilters(patterns={"availability_zone": pattern})
        return len(server_lists.list_page(servers, filters))

    assert (found("^nova$"), found("mars")) == (NUMBER, 0)


def test_tags_choose_servers(database: db.Database) -> None:
    for name, words in (("s1", "ab"), ("s2", "bc"), ("s3", "")):
        new_server(database, name)
        tags.replace(database, name, list(words))

    def found(**chosen: list[str]) -> set[str]:
        return {one.uuid for one in server_lists.list_page(database, server_lists.ServerFilters(**chosen))}  # type: ignore[arg-type]

    assert found(tags=["b"]) == {"s1", "s2"}
    assert found(tags=["a", "b"]) == {"s1"}
    assert found(tags_any=["a", "c"]) == {"s1", "s2"}
    assert found(not_tags=["a", "b"]) == {"s2", "s3"}
    assert found(not_tags_any=["a", "c"]) == {"s3"}
    assert found(tags=["b"], not_tags_any=["a"]) == {"s2"}


def test_usage_of_a_project_and_of_hosts(database: db.Database) -> None:
    assert server_lists.usage(database, "demo") == server_lists.Usage(0, 0, 0)
    facts = compute_nodes.Facts("h", "QEMU", 7002022, "10.0.0.1", vcpus=4, memory_mb=2048, local_gb=50)
    assert compute_nodes.list_all(database) == []
    services.report(database, "h", services.COMPUTE, "compute")
    compute_nodes.report(database, "h", facts)
    (idle,) = compute_nodes.list_all(database)
    assert (idle.servers, idle.vcpus_used, idle.facts) == (0, 0, facts)
    new_server(database, "s1", vcpus=2, memory_mb=512, root_gb=3)
    new_server(database, "s2", vcpus=1, memory_mb=256, project_id="other")
    compute_nodes.report(database, "h", compute_nodes.Facts("h", "QEMU", 8000000, "10.0.0.1", 8, 2048, 50))
    (busy,) = compute_nodes.list_all(database)
    assert (busy.id, busy.facts.vcpus, busy.service.host) == (idle.id, 8, "h")
    assert (busy.servers, busy.vcpus_used, busy.memory_mb_used, busy.local_gb_used) == (2, 3, 768, 3)
    assert server_lists.usage(database, "demo") == server_lists.Usage(1, 2, 512)


def test_a_host_is_forgotten_when_it_has_no_servers(database: db.Database) -> None:
    for binary in (services.COMPUTE, "nova-api"):
        services.report(database, "h", binary, "")
    compute_nodes.report(database, "h", compute_nodes.Facts("h", "QEMU", 1, "10.0.0.1", 1, 1, 1))
    new_server(database, "s1")
    compute, api = services.list_all(database)
    assert not services.forget(database, compute)
    assert services.forget(database, api)
    assert not services.forget(database, api)
    assert services.list_all(database) == [compute]
    with database.connection() as conn:
        conn.execute(models.instances.update().values(deleted=models.instances.c.id))
    services.change(database, compute, disabled=True, disabled_reason="old")
    assert [(one.disabled, one.disabled_reason) for one in services.list_all(database)] == [(True, "old")]
    assert services.forget(database, compute)
    assert services.list_all(database) == compute_nodes.list_all(database) == []
    services.report(database, "h", services.COMPUTE, "")
    compute_nodes.report(database, "h", compute_nodes.Facts("h", "QEMU", 1, "10.0.0.1", 1, 1, 1))
    assert len(compute_nodes.list_all(database)) == 1
