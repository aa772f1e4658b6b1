"""That somebody began to do something to a server: nova-api writes it down just before it hands the work over."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from lite_common import context, db, errors
from nova_lite.db import actions

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def begun(database: db.Database, ctx: context.RequestContext, server_id: str, action: str) -> Iterator[None]:
    """Record the action of this request; when the block, which hands it over, fails, the action has failed."""
    number = actions.begin(database, ctx, server_id, action)
    try:
        yield
    except errors.LiteError:
        try:
            actions.fail(database, number)
        except errors.LiteError as err:
            LOG.error("that %s of instance %s failed could not be stored: %s", action, server_id, err.message)
        raise


@contextlib.contextmanager
def done_here(
    database: db.Database, ctx: context.RequestContext, server_id: str, action: str, event: str | None = None
) -> Iterator[None]:
    """Record an action that nova-api does by itself, in the block, with its one event (default: `api_<action>`)."""
    begin = db.utcnow()
    with begun(database, ctx, server_id, action):
        yield
    told = actions.Event(event or f"api_{action}", begin, db.utcnow(), actions.SUCCESS, None, None, None)
    actions.add_event(database, ctx, server_id, told)
