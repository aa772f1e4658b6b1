"""Pages by key on both databases: in order, complete, without repetition, whatever ties."""

from __future__ import annotations

import datetime
import uuid

import pytest
import sqlalchemy as sa

from cinder_lite.db import attachment_lists, attachments, metadata, models, paging, volume_lists
from lite_common import db, errors
from tests.unit.cinder_lite.db.conftest import MakeVolume

ALL = volume_lists.Filters(None)


@pytest.mark.parametrize(
    "sort",
    [
        (("created_at", True),),
        (("name", False),),
        (("status", True), ("name", True)),
        (("id", False),),
        (("updated_at", False),),
    ],
)
def test_pages_join_up(database: db.Database, make: MakeVolume, sort: tuple[tuple[str, bool], ...]) -> None:
    for number in range(9):
        make(display_name=None if number % 3 == 0 else f"v{number % 2}")
    seen: list[str] = []
    marker = None
    with database.connection() as conn:
        whole = [row["id"] for row in volume_lists.names(conn, ALL, paging.Page(100, sort=sort))]
        while True:
            part = volume_lists.names(conn, ALL, paging.Page(2, marker, sort=sort))
            if not part:
                break
            seen += [row["id"] for row in part]
            marker = seen[-1]
    assert seen == whole
    assert len(set(seen)) == 9


def test_unknown_keys_and_markers(database: db.Database) -> None:
    with database.connection() as conn:
        with pytest.raises(errors.Invalid, match="provider_auth"):
            volume_lists.names(conn, ALL, paging.Page(1, sort=(("provider_auth", True),)))
        with pytest.raises(errors.NotFound, match="nope"):
            volume_lists.names(conn, ALL, paging.Page(1, "nope"))


def test_filters(database: db.Database, make: MakeVolume) -> None:
    first = make(display_name="100%_é")
    make(display_name="100xxé")
    with database.connection() as conn:
        metadata.write(conn, first, {"k": "v", "l": "w"}, replace=False)
        for filters in (
            volume_lists.Filters("p", like={"display_name": "%_"}),
            volume_lists.Filters("p", equal={"display_name": "100%_é"}),
            volume_lists.Filters("p", metadata={"k": "v", "l": "w"}),
            volume_lists.Filters(None, equal={"id": [first, "x"]}),
        ):
            assert [row["id"] for row in volume_lists.names(conn, filters, paging.Page(9))] == [first]
            assert volume_lists.count(conn, filters) == (1, 2)
        assert volume_lists.count(conn, volume_lists.Filters("q")) == (0, 0)
        assert volume_lists.count(conn, volume_lists.Filters("p", metadata={"k": "w"})) == (0, 0)


def test_metadata_is_merged_replaced_and_dropped(database: db.Database, make: MakeVolume) -> None:
    volume = make()
    with database.connection() as conn:
        assert metadata.write(conn, volume, {"a": "1", "b": "2"}, replace=False) == {"a": "1", "b": "2"}
        assert metadata.write(conn, volume, {"b": "3", "c": "4"}, replace=False) == {"a": "1", "b": "3", "c": "4"}
        assert metadata.get(conn, volume) == {"a": "1", "b": "3", "c": "4"}
        assert metadata.write(conn, volume, {"c": "4"}, replace=True) == {"c": "4"}
        assert metadata.get(conn, volume) == {"c": "4"}
        assert metadata.drop(conn, volume, ["c"])
        assert not metadata.drop(conn, volume, ["c"])


def test_attachments_of_a_project(database: db.Database, make: MakeVolume) -> None:
    mine, other = make(), make(project_id="q")
    first = attachments.reserve(database, mine, None, "s1", "ro")
    second = attachments.reserve(database, other, None, "s1", None)
    with database.connection() as conn:
        page = paging.Page(9)
        assert [one.id for one in attachment_lists.page(conn, "p", paging.Matches(), page)] == [first]
        assert [one.id for one in attachment_lists.page(conn, None, paging.Matches({"instance_uuid": "s1"}), page)] == [
            second,
            first,
        ]
        assert attachment_lists.page(conn, None, paging.Matches({"instance_uuid": "s2"}), page) == []


@pytest.mark.parametrize("project", [None, "p"])
def test_a_page_reads_its_own_rows_and_not_those_before_it(
    database: db.Database, make: MakeVolume, project: str | None
) -> None:
    """With few rows MariaDB finds its way alone."""
    first = make()
    table = models.volumes
    with database.connection() as conn:
        model = dict(conn.execute(sa.select(table).where(table.c.id == first)).mappings().one())
        times = (model["created_at"] + datetime.timedelta(seconds=number) for number in range(1, 3000))
        conn.execute(table.insert(), [model | {"id": str(uuid.uuid4()), "created_at": moment} for moment in times])

    def read(conn: sa.Connection) -> int:
        if conn.dialect.name != "mysql":
            return 0  # SQLite does not tell
        told = conn.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read_%%'")
        return sum(int(value) for name, value in told if name.split("_")[-1] in ("next", "prev", "rnd"))

    filters = volume_lists.Filters(project)
    with database.connection() as conn:
        whole = [row["id"] for row in volume_lists.names(conn, filters, paging.Page(3000))]
        before = read(conn)
        part = volume_lists.names(conn, filters, paging.Page(5, whole[1499]))
        assert read(conn) - before <= 6
    assert [row["id"] for row in part] == whole[1500:1505]
