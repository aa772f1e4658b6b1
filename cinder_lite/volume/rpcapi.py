"""cinder-volume, as the other daemons see it over RPC. Every method names the `host` column of the volume."""

from __future__ import annotations

from typing import Any

from lite_common import context, rpc

TOPIC = "cinder-volume"


class VolumeRpc:
    """Calls wait for the answer, casts only for the bus. Both raise errors.Unavailable when the bus is down."""

    def __init__(self, bus: rpc.Bus) -> None:
        self._client = bus.client(TOPIC)

    def create_volume(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        """Cast: make the volume there."""
        self._client.cast(
            ctx,
            "create_volume",
            server=server_of(host),
            volume_id=volume_id,
            request_spec=request_spec,
            filter_properties=filter_properties,
        )

    def delete_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        """Cast: delete the volume, which is in state deleting."""
        self._client.cast(ctx, "delete_volume", server=server_of(host), volume_id=volume_id)

    def create_snapshot(self, ctx: context.RequestContext, host: str, snapshot_id: str) -> None:
        """Cast: make the snapshot, which is in state creating."""
        self._client.cast(ctx, "create_snapshot", server=server_of(host), snapshot_id=snapshot_id)

    def delete_snapshot(self, ctx: context.RequestContext, host: str, snapshot_id: str) -> None:
        """Cast: delete the snapshot, which is in state deleting."""
        self._client.cast(ctx, "delete_snapshot", server=server_of(host), snapshot_id=snapshot_id)

    def extend_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        """Cast: extend the volume, which is in state extending."""
        self._client.cast(ctx, "extend_volume", server=server_of(host), volume_id=volume_id)

    def retype(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        """Cast: give the volume, which is in state retyping, its new type."""
        self._client.cast(ctx, "retype", server=server_of(host), volume_id=volume_id)

    def attachment_update(
        self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """Call: export the volume for the connector and record it; the flat connection info."""
        info: dict[str, Any] = self._client.call(
            ctx,
            "attachment_update",
            server=server_of(host),
            volume_id=volume_id,
            attachment_id=attachment_id,
            connector=connector,
        )
        return info

    def attachment_delete(self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str) -> None:
        """Call: take the access away; the rows are the caller's to change."""
        self._client.call(
            ctx, "attachment_delete", server=server_of(host), volume_id=volume_id, attachment_id=attachment_id
        )

    def initialize_connection(
        self, ctx: context.RequestContext, host: str, volume_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """Call: export the volume for the connector; driver_volume_type and data."""
        info: dict[str, Any] = self._client.call(
            ctx, "initialize_connection", server=server_of(host), volume_id=volume_id, connector=connector
        )
        return info

    def terminate_connection(
        self, ctx: context.RequestContext, host: str, volume_id: str, connector: dict[str, Any] | None
    ) -> None:
        """Call: take the connector's access away."""
        self._client.call(ctx, "terminate_connection", server=server_of(host), volume_id=volume_id, connector=connector)

    def attach_volume(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> str:
        """Call: record that the disk is in the server; the attachment's id."""
        return str(
            self._client.call(
                ctx,
                "attach_volume",
                server=server_of(host),
                volume_id=volume_id,
                instance_uuid=instance_uuid,
                host_name=host_name,
                mountpoint=mountpoint,
                mode=mode,
            )
        )

    def detach_volume(self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str | None) -> None:
        """Call: take the export away and remove the attachment."""
        self._client.call(
            ctx, "detach_volume", server=server_of(host), volume_id=volume_id, attachment_id=attachment_id
        )

    def inspect_exports(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_ids: list[str] | None,
        *,
        strays: bool = False,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Call: what there is of the exports of these volumes (None: all); see `inspect.inspect_exports`."""
        told: dict[str, Any] = self._client.call(
            ctx, "inspect_exports", server=server_of(host), timeout=timeout, volume_ids=volume_ids, strays=strays
        )
        return told

    def heal_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> dict[str, Any]:
        """Call: make the volume's sides agree; what was done and what was left."""
        told: dict[str, Any] = self._client.call(ctx, "heal_volume", server=server_of(host), volume_id=volume_id)
        return told

    def publish_service_capabilities(self, ctx: context.RequestContext) -> None:
        """Fanout: all backends report to the scheduler now."""
        self._client.cast(ctx, "publish_service_capabilities", fanout=True)


def server_of(host: str) -> str:
    """The RPC server of a volume's host column: without the pool."""
    return host.partition("#")[0]
