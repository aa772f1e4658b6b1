"""Pages of a list by key: ordered by any columns, continued after a marker, without counting rows before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from lite_common import errors


@dataclass(frozen=True)
class Page:
    """Which part of a list: at most `limit` rows after `offset` rows after the row `marker`, in order of `sort`
    (pairs of key and whether it descends)."""

    limit: int
    marker: str | None = None
    offset: int = 0
    sort: Sequence[tuple[str, bool]] = (("created_at", True),)


@dataclass(frozen=True)
class Matches:
    """Which rows: columns that have these values, and columns that contain these texts."""

    equal: Mapping[str, str] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)

    def conditions(self, table: sa.Table) -> list[sa.ColumnElement[bool]]:
        """As conditions on the table's columns."""
        exact: list[sa.ColumnElement[bool]] = [table.c[name] == value for name, value in self.equal.items()]
        return [*exact, *(table.c[name].contains(text, autoescape=True) for name, text in self.like.items())]


def apply(
    conn: sa.Connection,
    statement: sa.Select,
    page: Page,
    keys: dict[str, sa.ColumnElement[Any]],
    source: sa.Table,
    index: str = "",
) -> sa.Select:
    """`statement` limited to the page. `keys` are the sortable columns, never NULL, `id` among them.

    `index` of the table `source` holds what the statement wants, by created_at and id: where these are the order,
    MariaDB is told to begin in it at the marker. By itself it reads all rows of the project before the page.
    Raises errors.Invalid for an unknown sort key, errors.NotFound for an unknown marker.
    """
    unknown = [key for key, _ in page.sort if key not in keys]
    if unknown:
        raise errors.Invalid(
            f"Invalid input received: Sort key {unknown[0]} is invalid. Known: {', '.join(sorted(keys))}."
        )
    order = [(keys[key], descends) for key, descends in page.sort]
    if "id" not in dict(page.sort):
        # The id makes the order total, or a page could repeat or skip rows that tie.
        order.append((keys["id"], page.sort[-1][1]))
    if page.marker is not None:
        columns = [column.label(f"key{number}") for number, (column, _) in enumerate(order)]
        row = conn.execute(sa.select(*columns).select_from(source).where(keys["id"] == page.marker)).first()
        if row is None:
            raise errors.NotFound(f"Marker {page.marker} could not be found.")
        statement = statement.where(_after(order, list(row)))
        if index and [key for key, _ in page.sort] in (["created_at"], ["created_at", "id"]):
            statement = statement.with_hint(source, f"FORCE INDEX ({index})", "mysql")
    statement = statement.order_by(*(column.desc() if descends else column.asc() for column, descends in order))
    return statement.limit(page.limit).offset(page.offset or None)


def is_not_deleted(table: sa.Table) -> sa.ColumnElement[bool]:
    """The row lives; in the form that an index answers (`IS false` is none, for MariaDB)."""
    return table.c.deleted == sa.false()


def _after(order: list[tuple[sa.ColumnElement[Any], bool]], values: list[Any]) -> sa.ColumnElement[bool]:
    choices = []
    for index, (column, descends) in enumerate(order):
        ties = [before == value for (before, _), value in zip(order[:index], values, strict=False)]
        beyond = column < values[index] if descends else column > values[index]
        choices.append(sa.and_(*ties, beyond))
    return sa.or_(*choices)
