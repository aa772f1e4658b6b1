"""cinder-scheduler's side of RPC: each message goes to the operation of its name, and nothing else happens here."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from cinder_lite.scheduler import core, placed
from lite_common import context, crew, errors


class SchedulerManager:
    """The RPC endpoint. Ids and plain data come in, plain data goes out."""

    def __init__(self, scheduler: core.Scheduler, waiting: core.Waiting) -> None:
        self._scheduler = scheduler
        self._waiting = waiting

    def create_volume(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        """Cast: see `flow.create_volume`."""
        # taskflow brings networkx along; a daemon that makes no volumes does not pay for it.
        from cinder_lite.scheduler import flow

        self._waiting.submit(
            volume_id, lambda: flow.create_volume(self._scheduler, ctx, volume_id, request_spec, filter_properties)
        )

    def create_snapshot(self, ctx: context.RequestContext, snapshot_id: str) -> None:
        """Cast: see `placed.create_snapshot`."""
        self._waiting.submit(snapshot_id, lambda: placed.create_snapshot(self._scheduler, ctx, snapshot_id))

    def extend_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Cast: see `placed.extend_volume`."""
        self._waiting.submit(volume_id, lambda: placed.extend_volume(self._scheduler, ctx, volume_id))

    def retype(self, ctx: context.RequestContext, volume_id: str, migration_policy: str = "never") -> None:
        """Cast: see `placed.retype`."""
        self._waiting.submit(volume_id, lambda: placed.retype(self._scheduler, ctx, volume_id, migration_policy))

    def update_service_capabilities(
        self, ctx: context.RequestContext, service_name: str, host: str, capabilities: dict[str, Any]
    ) -> None:
        """Fanout: see `host_state.HostStates.update`."""
        self._scheduler.states.update(host, capabilities)
        self._waiting.release()

    def get_pools(self, ctx: context.RequestContext) -> list[dict[str, Any]]:
        """Call: see `core.Scheduler.known_pools`."""
        return self._scheduler.known_pools()

    def release_waiting(self) -> None:
        """Timer: run the requests that have waited long enough for a first report."""
        self._waiting.release()
        if self._waiting.should_ask():
            with contextlib.suppress(errors.Unavailable):
                self._scheduler.volume.publish_service_capabilities(context.admin_context(overwrite=False))

    def find_lost(self) -> None:
        """Timer: schedule anew the volumes whose message was lost, and end reservations that nobody settles."""
        core.settle_reservations(self._scheduler.database)
        for volume_id in core.lost(self._scheduler):
            ctx = context.admin_context(overwrite=False)
            crew.at_once(f"volume {volume_id}", functools.partial(self.create_volume, ctx, volume_id, {}, {}))
