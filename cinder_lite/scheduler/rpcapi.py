"""cinder-scheduler, as the other daemons see it over RPC."""

from __future__ import annotations

from typing import Any

from lite_common import context, rpc

TOPIC = "cinder-scheduler"


class SchedulerRpc:
    """Calls wait for the answer, casts only for the bus. Both raise errors.Unavailable when the bus is down."""

    def __init__(self, bus: rpc.Bus) -> None:
        self._client = bus.client(TOPIC)

    def create_volume(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        """Cast: find a backend for the volume, which is in state creating, and have it made there."""
        self._client.cast(
            ctx,
            "create_volume",
            volume_id=volume_id,
            request_spec=request_spec,
            filter_properties=filter_properties,
        )

    def create_snapshot(self, ctx: context.RequestContext, snapshot_id: str) -> None:
        """Cast: have the snapshot, which is in state creating, made if its volume's backend has room."""
        self._client.cast(ctx, "create_snapshot", snapshot_id=snapshot_id)

    def extend_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Cast: have the volume, which is in state extending, extended if its backend has room."""
        self._client.cast(ctx, "extend_volume", volume_id=volume_id)

    def retype(self, ctx: context.RequestContext, volume_id: str, migration_policy: str) -> None:
        """Cast: have the volume, which is in state retyping, retyped if its backend offers what the type demands."""
        self._client.cast(ctx, "retype", volume_id=volume_id, migration_policy=migration_policy)

    def update_service_capabilities(self, ctx: context.RequestContext, host: str, capabilities: dict[str, Any]) -> None:
        """Fanout: what the backend `host@name` can do and has left."""
        self._client.cast(
            ctx,
            "update_service_capabilities",
            fanout=True,
            service_name="volume",
            host=host,
            capabilities=capabilities,
        )

    def get_pools(self, ctx: context.RequestContext) -> list[dict[str, Any]]:
        """Call: every pool that reported, as {"name", "capabilities"}."""
        return list(self._client.call(ctx, "get_pools"))
