"""nova-compute's side of RPC: each message goes to the operation of its name, and nothing else happens here."""

from __future__ import annotations

import dataclasses
from typing import Any

from lite_common.context import RequestContext
from nova_lite.compute import attach, detach, extend, heal, inspect, servers
from nova_lite.compute.host import ComputeHost


class ComputeManager:
    """The RPC endpoint of one host. Ids and plain data come in, plain data goes out."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host

    def reserve_block_device_name(
        self, ctx: RequestContext, server_id: str, volume_id: str, bdm_uuid: str, **wanted: Any
    ) -> dict[str, Any]:
        """Call: see `attach.reserve_block_device_name`."""
        return dataclasses.asdict(
            attach.reserve_block_device_name(self._host, ctx, server_id, volume_id, bdm_uuid=bdm_uuid, **wanted)
        )

    def attach_volume(self, ctx: RequestContext, server_id: str, bdm_uuid: str) -> None:
        """Cast: see `attach.attach_volume`."""
        attach.attach_volume(self._host, ctx, server_id, bdm_uuid)

    def detach_volume(
        self, ctx: RequestContext, server_id: str, volume_id: str, attachment_id: str | None = None
    ) -> None:
        """Cast: see `detach.detach_volume`."""
        detach.detach_volume(self._host, ctx, server_id, volume_id, attachment_id)

    def external_instance_event(self, ctx: RequestContext, server_id: str, name: str, tag: str) -> None:
        """Cast: see `extend.external_instance_event`."""
        extend.external_instance_event(self._host, ctx, server_id, name, tag)

    def build_server(self, ctx: RequestContext, server_id: str) -> None:
        """Cast: see `servers.build_server`, and so on below."""
        servers.build_server(self._host, ctx, server_id)

    def start_server(self, ctx: RequestContext, server_id: str) -> None:
        """Cast."""
        servers.start_server(self._host, ctx, server_id)

    def stop_server(self, ctx: RequestContext, server_id: str) -> None:
        """Cast."""
        servers.stop_server(self._host, ctx, server_id)

    def reboot_server(self, ctx: RequestContext, server_id: str, hard: bool = False) -> None:
        """Cast."""
        servers.reboot_server(self._host, ctx, server_id, hard)

    def pause_server(self, ctx: RequestContext, server_id: str) -> None:
        """Cast."""
        servers.pause_server(self._host, ctx, server_id)

    def unpause_server(self, ctx: RequestContext, server_id: str) -> None:
        """Cast."""
        servers.unpause_server(self._host, ctx, server_id)

    def terminate_server(self, ctx: RequestContext, server_id: str) -> None:
        """Cast."""
        servers.terminate_server(self._host, ctx, server_id)

    def inspect_attachments(
        self, ctx: RequestContext, server_id: str | None = None, volume_id: str | None = None
    ) -> dict[str, Any]:
        """Call: see `inspect.inspect_attachments`."""
        return inspect.inspect_attachments(self._host, server_id, volume_id)

    def heal_attachment(self, ctx: RequestContext, volume_id: str, server_id: str | None = None) -> dict[str, Any]:
        """Call: see `heal.heal_attachment`."""
        return heal.heal_attachment(self._host, ctx, server_id, volume_id)

    def get_console_output(self, ctx: RequestContext, server_id: str, length: int | None = None) -> str:
        """Call."""
        return servers.console_output(self._host, server_id, length)
