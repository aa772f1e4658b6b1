"""`/os-steps` in both APIs: what the service's daemons did for a request or to a thing, step by step.

OpenStack's own APIs have nothing like it. Each service tells of its own daemons; together, ordered by time, that is
the whole story. Everybody sees what was done for their project, admins what was done at all.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any
from urllib import parse

from lite_common import db, errors, journal, records, times
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
STEPS_QUERY = {"type": "object", "properties": _ABOUT | _PAGE, "additionalProperties": False}
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
    "outcome": {"enum": [records.OK, records.ERROR, records.RUNNING, records.DIED]},
    "error": shapes.MAYBE,
    "error_type": shapes.MAYBE,
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
        filters = _filters(request, self._max_limit)
        found = records.page(self._db, filters)
        if found is None:
            raise errors.Invalid(f"marker [{filters.marker}] not found")
        shown = [_step(step) for _, step in found]
        return {"steps": shown} | _more(request, "steps", [number for number, _ in found], filters.limit)


def _filters(request: expose.ApiRequest, max_limit: int) -> records.StepFilters:
    """Raises errors.Invalid when nothing is named and for a time that is none."""
    ids = {name: value.lower() for name in records.SUBJECTS if (value := request.value(f"{name}_id"))}
    about = request.value("request_id")
    if not ids and about is None:
        raise errors.Invalid(f"Say of what: at least one of {', '.join(_ABOUT)} is needed.")
    marker = request.value("marker")
    return records.StepFilters(
        request_id=about,
        ids=ids,
        since=_since(request.value("since")),
        project_id=None if request.context.is_admin else str(request.context.project_id),
        marker=None if marker is None else int(marker),
        limit=min(int(request.value("limit") or 0) or max_limit, max_limit),
    )


def _since(text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        return times.read(text)
    except ValueError as err:
        raise errors.Invalid(f"since is no time: {text}. Write it as 2026-11-22T01:02:03Z.") from err


def _more(request: expose.ApiRequest, key: str, numbers: Sequence[int], limit: int) -> dict[str, Any]:
    """The link to the next page of a full one."""
    if len(numbers) < limit:
        return {}
    query = request.query | {"marker": [str(numbers[-1])]}
    href = f"{request.path_url}?{parse.urlencode(query, doseq=True)}"
    return {f"{key}_links": [{"rel": "next", "href": href}]}


def _step(step: records.Step) -> dict[str, Any]:
    shown = {name: getattr(step, name) for name in _STEP}
    ended = step.finished_at
    return shown | {
        "ids": dict(step.ids),
        "started_at": journal.iso(step.started_at),
        "finished_at": None if ended is None else journal.iso(ended),
    }
