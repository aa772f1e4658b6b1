"""Delete a server whose nova-compute is down: its attachments in Cinder and its rows.

The guest itself stays until its host is back; nova-compute removes guests of deleted servers when it starts. What
Cinder cannot be told now is told later, by the timer of whichever nova-api is first: a row is never forgotten before
its attachment has ended, and Cinder ends none whose target a guest still holds.
"""

from __future__ import annotations

import datetime
import logging

from lite_common import context, db, errors
from nova_lite import states
from nova_lite.compute import storage
from nova_lite.db import actions, attachments, servers, services
from nova_lite.db.servers import Server
from nova_lite.volume.client import CinderClient

LOG = logging.getLogger(__name__)

# Seconds between two attempts at one server.
AGE = 15.0
EVENT = "api_local_delete"


def delete(database: db.Database, cinder: CinderClient, ctx: context.RequestContext, server: Server) -> bool:
    """Give up every attachment of the server and bury it; False when one is left, and the server with it."""
    LOG.warning("instance %s is deleted without its host %s, which does not report", server.uuid, server.host)
    left = 0
    for device in attachments.of_server(database, server.uuid):
        try:
            storage.give_up(database, cinder, ctx, device)
        except storage.UNHEARD as err:
            LOG.error("volume %s of instance %s cannot be let go yet: %s", device.volume_id, server.uuid, err.message)
            left += 1
        else:
            attachments.release(database, device.uuid)
    if left:
        return False
    servers.bury(database, server.uuid)
    return True


def finish(database: db.Database, cinder: CinderClient, down_time: float) -> None:
    """Go on with the deletes of servers whose hosts are down; with several nova-apis each server is taken by one."""
    old = db.utcnow() - datetime.timedelta(seconds=AGE)
    for service in services.list_all(database, binary=services.COMPUTE):
        if service.is_up(down_time):
            continue
        for server in servers.on_host(database, service.host, tasks=(states.DELETING,), idle_since=old):
            if servers.claim(database, server):
                _finish_one(database, cinder, server)


def _finish_one(database: db.Database, cinder: CinderClient, server: Server) -> None:
    ctx = context.admin_context(request_id=actions.last_request(database, server.uuid))
    begun = db.utcnow()
    try:
        if delete(database, cinder, ctx, server):
            told = actions.Event(EVENT, begun, db.utcnow(), actions.SUCCESS, None, None, None)
            actions.add_event(database, ctx, server.uuid, told)
    except errors.LiteError as err:
        LOG.error("instance %s is not deleted yet: %s", server.uuid, err.message)
