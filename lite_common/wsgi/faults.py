"""Errors as the two APIs tell them: `{"<name>": {"code": 4xx, "message": "..."}}`. The only place that translates."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import webob.exc
from oslo_db import exception as db_exc

from lite_common import errors

LOG = logging.getLogger(__name__)

# Names by status as in Nova's and Cinder's API references; everything else is a computeFault in both.
NAMES = {
    400: "badRequest",
    401: "error",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def describe(err: BaseException) -> tuple[int, str]:
    """The status and the text for `err`; a bug is logged with its traceback and told without it."""
    if isinstance(err, errors.LiteError):
        if err.code >= 500:
            LOG.error("%s: %s", type(err).__name__, err.message)
        return err.code, err.message
    if isinstance(err, webob.exc.HTTPException):
        return err.code, err.explanation or err.title
    if isinstance(err, db_exc.DBError):
        LOG.error("database error", exc_info=err)
        return (
            503,
            "The database refused the operation and nothing was changed. Try again; the log has the details.",
        )
    LOG.error("unexpected error", exc_info=err)
    return (
        500,
        f"Unexpected API Error. This is a bug; the log has the details under this request id. {type(err)}",
    )


def body(code: int, message: str) -> bytes:
    """The fault as JSON."""
    fault: dict[str, Any] = {"code": code, "message": message}
    if code == 413:
        fault["retryAfter"] = "0"
    if code == 401:
        # As keystone's middleware says it, from which clients know this answer.
        fault["title"] = "Unauthorized"
    return orjson.dumps({NAMES.get(code, "computeFault"): fault})
