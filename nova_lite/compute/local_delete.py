"""Delete a server whose nova-compute is down: its attachments in Cinder and its rows.

The guest itself stays until its host is back; nova-compute removes guests of deleted servers when it starts.
"""

from __future__ import annotations

import logging

from lite_common import context, db
from nova_lite import errors
from nova_lite.compute import storage
from nova_lite.db import attachments, servers
from nova_lite.db.servers import Server
from nova_lite.volume.client import CinderClient

LOG = logging.getLogger(__name__)


def delete(database: db.Database, cinder: CinderClient, ctx: context.RequestContext, server: Server) -> None:
    """Give up every attachment of the server and bury it; what Cinder refuses is logged and left."""
    LOG.warning("instance %s is deleted without its host %s, which does not report", server.uuid, server.host)
    for device in attachments.of_server(database, server.uuid):
        try:
            storage.give_up(cinder, ctx, device)
        except errors.CinderUnavailable as err:
            LOG.error("volume %s of deleted instance %s is left: %s", device.volume_id, server.uuid, err.message)
    servers.bury(database, server.uuid)
