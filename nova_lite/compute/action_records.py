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


def done(database: db.Database, ctx: context.RequestContext, server_id: str, action: str) -> None:
    """Record an action that nova-api did by itself and at once, with its one event."""
    begin = db.utcnow()
    actions.begin(database, ctx, server_id, action)
    event = actions.Event(f"api_{action}", begin, db.utcnow(), actions.SUCCESS, None, None, None)
    actions.add_event(database, ctx, server_id, event)
