"""Pages of lists: how long, from where. Source: Nova API guide, "Paginated collections"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lite_common import errors
from lite_common.wsgi import expose

T = TypeVar("T")


def limit_of(request: expose.ApiRequest, max_limit: int) -> int:
    """How many rows the client gets: what it asked for, at most `max_limit`; 0 is none."""
    return min(int(request.value("limit") or max_limit), max_limit)


def attachments_limit_of(request: expose.ApiRequest, max_limit: int) -> int:
    """As `limit_of`, for the lists of Nova's older kind of paging, where 0 asks for nothing special."""
    return limit_of(request, max_limit) or max_limit


def page_of(items: Sequence[T], marker: str | None, limit: int, key: Callable[[T], str]) -> list[T]:
    """The `limit` items after the one whose key is `marker`. Raises errors.Invalid for an unknown marker."""
    first = 0
    if marker:
        first = next((place + 1 for place, item in enumerate(items) if key(item) == marker), 0)
        if not first:
            raise errors.Invalid(f"marker [{marker}] not found")
    return list(items[first : first + limit])
