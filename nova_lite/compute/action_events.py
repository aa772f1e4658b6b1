"""How operations on servers end, told as events of the action that asked for them.

An event is written when the operation has ended, in one statement: for what is still going on the server's task
state speaks, and the volume's status. Source: Nova API reference, "Servers actions"; names as Nova's.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from lite_common import context, db, errors
from nova_lite.compute.host import ComputeHost
from nova_lite.db import actions

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Operation = Callable[Concatenate[ComputeHost, context.RequestContext, str, P], R]


def recorded(name: str) -> Callable[[Operation[P, R]], Operation[P, R]]:
    """Let the operation (host, context, server id, ...) write the named event when it has ended, well or not."""

    def decorate(operation: Operation[P, R]) -> Operation[P, R]:
        @functools.wraps(operation)
        def run(host: ComputeHost, ctx: context.RequestContext, server_id: str, *args: P.args, **kwargs: P.kwargs) -> R:
            begun = db.utcnow()
            try:
                result = operation(host, ctx, server_id, *args, **kwargs)
            except Exception as err:  # outermost frame of an operation
                _tell(host, ctx, server_id, _event(name, begun, host.name, err))
                raise
            _tell(host, ctx, server_id, _event(name, begun, host.name, None))
            return result

        return run

    return decorate


def _event(name: str, begun: Any, host: str, err: Exception | None) -> actions.Event:
    known = isinstance(err, errors.LiteError)
    return actions.Event(
        event=name,
        start_time=begun,
        finish_time=db.utcnow(),
        result=actions.SUCCESS if err is None else actions.ERROR,
        host=host,
        # What is no refusal but a bug is told by its kind alone, as its text may hold anything.
        details=None if err is None else err.message if isinstance(err, errors.LiteError) else type(err).__name__,
        traceback=None if err is None or known else "".join(traceback.format_exception(err)),
    )


def _tell(host: ComputeHost, ctx: context.RequestContext, server_id: str, event: actions.Event) -> None:
    """Write the event; the operation's end does not depend on that."""
    try:
        actions.add_event(host.database, ctx, server_id, event)
    except errors.LiteError as err:
        LOG.error("event %s of instance %s could not be stored: %s", event.event, server_id, err.message)
