"""The journal's lines: what observers of `lite_common.trace` hear as JSON, and read back as records.

Each line is a whole record of a step or of a part of an operation, so that lines may be lost, cut, or read twice.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from oslo_context import context as oslo_context

from lite_common import errors, operations, records, service, trace

LOG = logging.getLogger(__name__)


class Writer:
    """The observer: hands a line to `append` for each begin and each end."""

    def __init__(self, append: Callable[[bytes], None], name: str, host: str, process: str) -> None:
        self._append = append
        self._own = {"service": name, "host": host, "process": process}
        # Where several daemons share a process, each records what threads do in its name.
        self._daemon = service.current()
        self._open: dict[int, dict[str, Any]] = {}

    def begin(self, step: trace.Step) -> None:
        """Record that it runs, for the request that is current now."""
        if not self._is_ours():
            return
        record = self._of_request() | {
            "number": step.number,
            "parent": step.parent,
            "step": step.name,
            "ids": _things(step.ids),
            "started_at": _moment(step.began),
            "finished_at": None,
            "outcome": records.RUNNING,
        }
        if step.operation is not None:
            record["operation"] = _operation(step.operation)
        self._open[step.number] = record
        self._write(record)

    def end(self, step: trace.Step) -> None:
        """Record how it ended."""
        record = self._open.pop(step.number, None)
        if record is None:
            return
        record["finished_at"] = _moment(step.began + (step.seconds or 0.0))
        record["outcome"] = step.outcome
        if step.error is not None:
            record["error"], record["error_type"] = _told(step.error)
        self._write(record)

    def begin_operation(self, operation: trace.Operation) -> None:
        """Record it, if it is known what it is about; else its steps will tell."""
        if not self._is_ours():
            return
        record = self._of_request() | {"at": _moment(operation.began), "outcome": records.RUNNING}
        self._open[operation.number] = record
        if operation.about in operation.ids:
            self._write(record | {"operation": _operation(operation)})

    def end_operation(self, operation: trace.Operation) -> None:
        """Record how it ended, if it did: what was handed on has not."""
        record = self._open.pop(operation.number, None)
        if record is None or not operation.ids or (operation.error is None and not operation.last):
            return
        record |= {"at": _moment(operation.began + (operation.seconds or 0.0)), "outcome": operation.outcome}
        if operation.error is not None:
            message, kind = _told(operation.error)
            record["error"] = message or kind
        self._write(record | {"operation": _operation(operation)})

    def _is_ours(self) -> bool:
        daemon = service.current()
        return daemon is None or daemon is self._daemon

    def _of_request(self) -> dict[str, Any]:
        ctx = oslo_context.get_current()
        if ctx is None:
            return {**self._own, "request_id": None, "project_id": None, "user_id": None}
        request = ctx.global_request_id or ctx.request_id
        return {**self._own, "request_id": request, "project_id": ctx.project_id, "user_id": ctx.user_id}

    def _write(self, record: dict[str, Any]) -> None:
        try:
            self._append(orjson.dumps(record))
        except orjson.JSONEncodeError as err:
            # Whatever a client may have put into an id or an error: the step itself goes on.
            LOG.warning("a step cannot be recorded: %s", err)


def read(lines: Iterable[bytes]) -> tuple[list[records.Step], list[operations.News]]:
    """The records of the lines: the last of each step, and all of operations. A line that is none (half-written) is
    passed over."""
    steps: dict[tuple[str, int], records.Step] = {}
    news = []
    for line in lines:
        try:
            told = orjson.loads(line)
            operation = told.pop("operation", None)
            if operation is not None and told["request_id"] is not None:
                news.append(_news(told, operation))
            if "step" in told:
                steps[told["process"], told["number"]] = _step(told)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return list(steps.values()), news


def _step(told: dict[str, Any]) -> records.Step:
    finished = told["finished_at"]
    return records.Step(
        **told
        | {
            "started_at": datetime.datetime.fromisoformat(told["started_at"]),
            "finished_at": datetime.datetime.fromisoformat(finished) if finished else None,
        }
    )


def _news(told: dict[str, Any], operation: dict[str, Any]) -> operations.News:
    """What a line tells of the operation: that of a step how far it is, that of the operation how it ended."""
    of_step = "step" in told
    ended = of_step and told["outcome"] != records.RUNNING
    at = datetime.datetime.fromisoformat(
        told["at"] if not of_step else told["finished_at"] if ended else told["started_at"]
    )
    return operations.News(
        **operation,
        **{name: told[name] for name in ("request_id", "project_id", "user_id", "service", "host", "process")},
        started_at=at,
        updated_at=at,
        step_begun=told["step"] if of_step and not ended else None,
        step_finished=told["step"] if of_step and told["outcome"] == records.OK else None,
        outcome=records.RUNNING if of_step else told["outcome"],
        last_error=told.get("error") or told.get("error_type"),
    )


def _operation(operation: trace.Operation) -> dict[str, Any]:
    told = {"kind": operation.kind, "wanted": operation.wanted, "about": operation.about}
    return told | {"ids": _things(operation.ids)}


def _things(ids: dict[str, str]) -> dict[str, str]:
    """Of what a step was told only the ids of things, cut to an id's length."""
    return {name: value[:36] for name, value in ids.items() if name in records.SUBJECTS}


def _told(error: BaseException) -> tuple[str | None, str]:
    """An error in words, and its kind. Only our own errors are known to hold no secret."""
    # Errors that came over RPC are of classes with this suffix.
    kind = type(error).__name__.removesuffix("_Remote")
    return (error.message[: records.LONGEST_ERROR] if isinstance(error, errors.LiteError) else None), kind


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None).isoformat()
