"""Events of other services, nova-api's half: which server is meant, and the nova-compute that has it is told."""

from __future__ import annotations

import logging

from lite_common import context, db, errors
from nova_lite import errors as nova_errors
from nova_lite.compute import action_records
from nova_lite.compute.rpcapi import ComputeRpc
from nova_lite.db import servers

LOG = logging.getLogger(__name__)

VOLUME_EXTENDED = "volume-extended"
# What became of an event, as the answer tells it (Nova API reference).
TAKEN, UNFIT, NO_SERVER, NO_HOST, BUS_DOWN = 200, 400, 404, 422, 503


class ExternalEventApi:
    """Events of services, which see every server."""

    def __init__(self, database: db.Database, rpc: ComputeRpc) -> None:
        self._database = database
        self._rpc = rpc

    def dispatch(self, ctx: context.RequestContext, name: str, server_id: str, tag: str | None) -> int:
        """Hand the event to the server's host; 200, or the code of the reason why nobody was told.

        400: an event that is not served here, or without the tag that says what it is about. 503, which Nova answers
        with 500 for all events together: the bus is down.
        """
        if name != VOLUME_EXTENDED or not tag:
            LOG.warning("event %s (tag %s) of server %s is not served or has no tag", name, tag, server_id)
            return UNFIT
        try:
            server = servers.get(self._database, server_id)
        except nova_errors.ServerNotFound:
            return NO_SERVER
        if server.host is None:
            return NO_HOST
        try:
            with action_records.begun(self._database, ctx, server_id, "extend_volume"):
                self._rpc.external_instance_event(ctx, server.host, server_id, name, tag)
        except errors.Unavailable as err:
            LOG.error("event %s of server %s is lost: %s", name, server_id, err.message)
            return BUS_DOWN
        return TAKEN
