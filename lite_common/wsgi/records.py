"""`/os-steps` and `/os-operations` in both APIs: what the service's daemons did, and what for.

OpenStack's own APIs have nothing like it. Each service tells of its own daemons; together, ordered by time, that is
the whole story. Everybody sees what was done for their project, admins what was done at all.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any
from urllib import parse

from lite_common import db, errors, journal, operations, records, times
from lite_common.wsgi import expose, shapes

_ID = {"type": "array", "items": {"type": "string", "format": "uuid", "maxLength": 36}}
_NUMBER = {"type": "array", "items": {"type": "string", "pattern": r"^[0-9]+\Z", "maxLength": 18}}
_REQUEST = {"type": "array", "items": {"type": "string", "pattern": r"^req-[0-9a-f-]{36}\Z"}}
_PAGE: dict[str, Any] = {
    "since": {"type": "array", "description": "Those that began then or later (ISO 8601, UTC)."},
    "limit": _NUMBER | {"description": "The longest page; never more than the service's own limit."},
    "marker": _NUMBER | {"description": "Where the page begins; from the link to it."},
}
_ABOUT: dict[str, Any] = {
    "request_id": _REQUEST | {"description": "Those of this request: the id with which the first service answered."},
    **{f"{name}_id": _ID | {"description": f"Those of requests about this {name}."} for name in records.SUBJECTS},
}
_OUTCOMES = [records.OK, records.ERROR, records.RUNNING, records.DIED]
_OPERATION_OUTCOMES = [*_OUTCOMES, operations.SUPERSEDED]
_OUTCOME = {"type": "array", "items": {"enum": _OPERATION_OUTCOMES}, "description": "Those that ended so."}
STEPS_QUERY = {"type": "object", "properties": _ABOUT | _PAGE, "additionalProperties": False}
OPERATIONS_QUERY = STEPS_QUERY | {"properties": _ABOUT | {"outcome": _OUTCOME} | _PAGE}
_STEP = {
    "request_id": shapes.MAYBE,
    "service": shapes.TEXT,
    "host": shapes.TEXT,
    "process": shapes.TEXT,
    "number": shapes.NUMBER,
    "parent": {"type": ["integer", "null"]},
    "step": shapes.TEXT,
    "ids": shapes.PAIRS,
    "project_id": shapes.MAYBE,
    "user_id": shapes.MAYBE,
    "started_at": shapes.TEXT,
    "finished_at": shapes.MAYBE,
    "outcome": {"enum": _OUTCOMES},
    "error": shapes.MAYBE,
    "error_type": shapes.MAYBE,
}
_OPERATION = {
    "kind": shapes.TEXT,
    "wanted": shapes.TEXT,
    "generation": shapes.NUMBER,
    "ids": shapes.PAIRS,
    "request_id": shapes.TEXT,
    "project_id": shapes.MAYBE,
    "user_id": shapes.MAYBE,
    "service": shapes.TEXT,
    "host": shapes.TEXT,
    "process": shapes.TEXT,
    "step_begun": shapes.MAYBE,
    "step_finished": shapes.MAYBE,
    "started_at": shapes.TEXT,
    "updated_at": shapes.TEXT,
    "finished_at": shapes.MAYBE,
    "outcome": {"enum": _OPERATION_OUTCOMES},
    "last_error": shapes.MAYBE,
}


class StepsController:
    """What daemons did, step by step, for a request or to a thing."""

    def __init__(self, database: db.Database, max_limit: int) -> None:
        self._db = database
        self._max_limit = max_limit

    @expose.expose(query=STEPS_QUERY, answer=shapes.page("steps", shapes.record(_STEP)))
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The steps of a request, or of all requests about a thing, the oldest first.

        At least one of them is to be named; steps are about all that are. A step that still runs has no end, one whose
        process was killed has the outcome `died`.
        """
        filters = records.StepFilters(**_filters(request, self._max_limit, _ABOUT))
        return _page(request, "steps", records.page(self._db, filters), filters, _STEP)


class OperationsController:
    """What was wanted of things, how far it has got, and how it ended."""

    def __init__(self, database: db.Database, max_limit: int) -> None:
        self._db = database
        self._max_limit = max_limit

    @expose.expose(query=OPERATIONS_QUERY, answer=shapes.page("operations", shapes.record(_OPERATION)))
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The operations of a request, on a thing, or that ended so, the oldest first.

        At least one of these is to be named. Each operation on a thing has the next generation. One whose daemon was
        killed has the outcome `died`, one after which another has succeeded, unheard of itself, is `superseded`.
        """
        filters = operations.Filters(
            outcome=request.value("outcome"), **_filters(request, self._max_limit, [*_ABOUT, "outcome"])
        )
        return _page(request, "operations", operations.page(self._db, filters), filters, _OPERATION)


def _filters(request: expose.ApiRequest, max_limit: int, choice: Iterable[str]) -> dict[str, Any]:
    """What both lists may be asked for. Raises errors.Invalid when none of `choice` is, and for a time that is none."""
    if not any(request.value(name) for name in choice):
        raise errors.Invalid(f"Say of what: at least one of {', '.join(choice)} is needed.")
    marker = request.value("marker")
    return {
        "request_id": request.value("request_id"),
        "ids": {name: value.lower() for name in records.SUBJECTS if (value := request.value(f"{name}_id"))},
        "since": _since(request.value("since")),
        "project_id": None if request.context.is_admin else str(request.context.project_id),
        "marker": None if marker is None else int(marker),
        "limit": min(int(request.value("limit") or 0) or max_limit, max_limit),
    }


def _since(text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        return times.read(text)
    except ValueError as err:
        raise errors.Invalid(f"since is no time: {text}. Write it as 2026-11-22T01:02:03Z.") from err


def _page(
    request: expose.ApiRequest,
    key: str,
    found: Sequence[tuple[int, Any]] | None,
    filters: records.PageFilters,
    members: Iterable[str],
) -> dict[str, Any]:
    """The page, with the link to the next one when it is full. Raises errors.Invalid when there is none."""
    if found is None:
        raise errors.Invalid(f"marker [{filters.marker}] not found")
    answer: dict[str, Any] = {key: [_view(one, members) for _, one in found]}
    if len(found) == filters.limit:
        query = request.query | {"marker": [str(found[-1][0])]}
        href = f"{request.path_url}?{parse.urlencode(query, doseq=True)}"
        answer[f"{key}_links"] = [{"rel": "next", "href": href}]
    return answer


def _view(one: Any, members: Iterable[str]) -> dict[str, Any]:
    shown = {name: getattr(one, name) for name in members}
    times_of = {name: value for name, value in shown.items() if isinstance(value, datetime.datetime)}
    return shown | {"ids": dict(one.ids)} | {name: journal.iso(value) for name, value in times_of.items()}
