"""nova-compute, as nova-api sees it over RPC. Every method names the host that has the server."""

from __future__ import annotations

from typing import Any

from lite_common import context, rpc

TOPIC = "compute"


class ComputeRpc:
    """Calls wait for the answer, casts only for the bus. Both raise errors.Unavailable when the bus is down."""

    def __init__(self, bus: rpc.Bus) -> None:
        self._client = bus.client(TOPIC)

    def reserve_block_device_name(
        self, ctx: context.RequestContext, host: str, server_id: str, volume_id: str, **wanted: Any
    ) -> dict[str, Any]:
        """Call: the new block device as a dictionary. `wanted`: bdm_uuid, device, tag, delete_on_termination."""
        answer: dict[str, Any] = self._client.call(
            ctx, "reserve_block_device_name", server=host, server_id=server_id, volume_id=volume_id, **wanted
        )
        return answer

    def attach_volume(self, ctx: context.RequestContext, host: str, server_id: str, bdm_uuid: str) -> None:
        """Cast: plug the reserved block device in."""
        self._client.cast(ctx, "attach_volume", server=host, server_id=server_id, bdm_uuid=bdm_uuid)

    def detach_volume(
        self, ctx: context.RequestContext, host: str, server_id: str, volume_id: str, attachment_id: str | None
    ) -> None:
        """Cast: unplug the volume; the attachment's id is Cinder's, for volumes attached by the volume actions."""
        self._client.cast(
            ctx, "detach_volume", server=host, server_id=server_id, volume_id=volume_id, attachment_id=attachment_id
        )

    def do_to_server(
        self, ctx: context.RequestContext, host: str, operation: str, server_id: str, **arguments: Any
    ) -> None:
        """Cast: `operation` is build_server, start_server, stop_server, reboot_server, pause_server, unpause_server
        or terminate_server."""
        self._client.cast(ctx, operation, server=host, server_id=server_id, **arguments)

    def external_instance_event(
        self, ctx: context.RequestContext, host: str, server_id: str, name: str, tag: str
    ) -> None:
        """Cast: another service tells something of the server; `tag` says about what (a volume's id)."""
        self._client.cast(ctx, "external_instance_event", server=host, server_id=server_id, name=name, tag=tag)

    def inspect_attachments(
        self,
        ctx: context.RequestContext,
        host: str,
        server_id: str | None,
        volume_id: str | None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Call: what there is on the host of the attachments of that server, that volume, or all; see
        `inspect.inspect_attachments`."""
        told: dict[str, Any] = self._client.call(
            ctx, "inspect_attachments", server=host, timeout=timeout, server_id=server_id, volume_id=volume_id
        )
        return told

    def heal_attachment(
        self, ctx: context.RequestContext, host: str, server_id: str | None, volume_id: str
    ) -> dict[str, Any]:
        """Call: make the sides of the attachment agree; what was done and what was left."""
        told: dict[str, Any] = self._client.call(
            ctx, "heal_attachment", server=host, server_id=server_id, volume_id=volume_id
        )
        return told

    def get_console_output(self, ctx: context.RequestContext, host: str, server_id: str, length: int | None) -> str:
        """Call: the end of the serial console's log."""
        return str(self._client.call(ctx, "get_console_output", server=host, server_id=server_id, length=length))
