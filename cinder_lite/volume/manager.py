"""cinder-volume's side of RPC: each message goes to the operation of its name, and nothing else happens here."""

from __future__ import annotations

from typing import Any

from cinder_lite.volume import (
    change_work,
    connections,
    delete,
    heal,
    inspect,
    legacy_connections,
    reports,
    snapshot_work,
)
from cinder_lite.volume.backend import Backend, Scheduler
from lite_common.context import RequestContext


class VolumeManager:
    """The RPC endpoint of one backend. Ids and plain data come in, plain data goes out."""

    def __init__(self, backend: Backend, scheduler: Scheduler, listener: reports.Listener) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._listener = listener

    def create_volume(
        self,
        ctx: RequestContext,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        """Cast: see `manager_create.create_volume`."""
        # taskflow brings networkx along; a daemon that makes no volumes does not pay for it.
        from cinder_lite.volume import manager_create

        manager_create.create_volume(self._backend, self._scheduler, ctx, volume_id, request_spec, filter_properties)

    def delete_volume(self, ctx: RequestContext, volume_id: str) -> None:
        """Cast: see `delete.delete_volume`."""
        delete.delete_volume(self._backend, ctx, volume_id)

    def create_snapshot(self, ctx: RequestContext, snapshot_id: str) -> None:
        """Cast: see `snapshot_work.create_snapshot`."""
        snapshot_work.create_snapshot(self._backend, ctx, snapshot_id)

    def delete_snapshot(self, ctx: RequestContext, snapshot_id: str) -> None:
        """Cast: see `snapshot_work.delete_snapshot`."""
        snapshot_work.delete_snapshot(self._backend, ctx, snapshot_id)

    def extend_volume(self, ctx: RequestContext, volume_id: str) -> None:
        """Cast: see `change_work.extend_volume`."""
        change_work.extend_volume(self._backend, ctx, volume_id)

    def retype(self, ctx: RequestContext, volume_id: str) -> None:
        """Cast: see `change_work.retype`."""
        change_work.retype(self._backend, ctx, volume_id)

    def attachment_update(
        self, ctx: RequestContext, volume_id: str, attachment_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """Call: see `connections.attachment_update`."""
        return connections.attachment_update(self._backend, ctx, volume_id, attachment_id, connector)

    def attachment_delete(self, ctx: RequestContext, volume_id: str, attachment_id: str) -> None:
        """Call: see `connections.attachment_delete`."""
        connections.attachment_delete(self._backend, ctx, volume_id, attachment_id)

    def initialize_connection(self, ctx: RequestContext, volume_id: str, connector: dict[str, Any]) -> dict[str, Any]:
        """Call: see `legacy_connections.initialize_connection`."""
        return legacy_connections.initialize_connection(self._backend, ctx, volume_id, connector)

    def terminate_connection(self, ctx: RequestContext, volume_id: str, connector: dict[str, Any] | None) -> None:
        """Call: see `legacy_connections.terminate_connection`."""
        legacy_connections.terminate_connection(self._backend, ctx, volume_id, connector)

    def attach_volume(
        self,
        ctx: RequestContext,
        volume_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> str:
        """Call: see `legacy_connections.attach_volume`."""
        return legacy_connections.attach_volume(
            self._backend, ctx, volume_id, instance_uuid, host_name, mountpoint, mode
        )

    def detach_volume(self, ctx: RequestContext, volume_id: str, attachment_id: str | None = None) -> None:
        """Call: see `legacy_connections.detach_volume`."""
        legacy_connections.detach_volume(self._backend, ctx, volume_id, attachment_id)

    def inspect_exports(
        self, ctx: RequestContext, volume_ids: list[str] | None = None, strays: bool = False
    ) -> dict[str, Any]:
        """Call: see `inspect.inspect_exports`."""
        return inspect.inspect_exports(self._backend, volume_ids, strays=strays)

    def heal_volume(self, ctx: RequestContext, volume_id: str) -> dict[str, Any]:
        """Call: see `heal.heal_volume`."""
        return heal.heal_volume(self._backend, ctx, volume_id)

    def publish_service_capabilities(self, ctx: RequestContext) -> None:
        """Fanout: see `reports.publish`."""
        reports.publish(self._backend, self._listener)
