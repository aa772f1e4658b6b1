"""The eight actions of the older attach flow, cinder-api's half.

os-reserve -> os-initialize_connection -> os-attach, and os-begin_detaching -> os-terminate_connection -> os-detach;
os-unreserve and os-roll_detaching take the first steps back.
"""

from __future__ import annotations

from typing import Any, Protocol

from cinder_lite import errors, states
from cinder_lite.db import attachments, volumes
from cinder_lite.volume import api, protection
from cinder_lite.volume.attachments import require_host
from lite_common import context, db, trace


class VolumeDaemon(Protocol):
    """The part of the volume daemon's RPC client that is used here."""

    def initialize_connection(
        self, ctx: context.RequestContext, host: str, volume_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """Export the volume for the connector; driver_volume_type and data."""

    def terminate_connection(
        self, ctx: context.RequestContext, host: str, volume_id: str, connector: dict[str, Any] | None
    ) -> None:
        """Take the connector's access."""

    def attach_volume(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> Any:
        """Record that the disk is in the server."""

    def detach_volume(self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str | None) -> None:
        """Take the export away and remove the attachment."""


class LegacyApi:
    """The actions on volumes that the caller may see."""

    def __init__(self, database: db.Database, daemon: VolumeDaemon, compute: protection.Compute) -> None:
        self._db = database
        self._daemon = daemon
        self._compute = compute

    def reserve(self, ctx: context.RequestContext, volume_id: str) -> None:
        """available -> attaching; of two requests at once one wins. Raises errors.InvalidVolume for the other."""
        project = api.visible_project(ctx)
        with trace.step("os_reserve", volume=volume_id), self._db.connection() as conn:
            names = ("begin_attaching", "begin_attaching_shared")
            if volumes.move_any(conn, names, volume_id, project_id=project):
                return
            volume = volumes.get(conn, volume_id, project)
        wanted = "available or in-use" if volume.multiattach else "available"
        raise errors.InvalidVolume(
            reason=f"Volume {volume_id} status must be {wanted} to reserve, but the status is {volume.status}"
        )

    def unreserve(self, ctx: context.RequestContext, volume_id: str) -> None:
        """attaching -> available, or in-use where an attachment is left; otherwise nothing happens."""
        project = api.visible_project(ctx)
        with trace.step("os_unreserve", volume=volume_id), self._db.connection() as conn:
            if not volumes.unreserve(conn, volume_id, project):
                volumes.get(conn, volume_id, project)

    def begin_detaching(self, ctx: context.RequestContext, volume_id: str) -> None:
        """in-use -> detaching. Raises errors.InvalidVolume in another state."""
        project = api.visible_project(ctx)
        with trace.step("os_begin_detaching", volume=volume_id), self._db.connection() as conn:
            if volumes.move(conn, "begin_detaching", volume_id, project_id=project):
                return
            volume = volumes.get(conn, volume_id, project)
        if volume.migration_status not in states.IDLE_MIGRATION:
            # As in Cinder: a migration detaches its source by itself and must not be stopped here.
            return
        raise errors.InvalidVolume(
            reason="Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to "
            f"detach, but volume {volume_id} has status {volume.status} and attach_status {volume.attach_status}."
        )

    def roll_detaching(self, ctx: context.RequestContext, volume_id: str) -> None:
        """detaching -> in-use; otherwise nothing happens."""
        project = api.visible_project(ctx)
        with trace.step("os_roll_detaching", volume=volume_id), self._db.connection() as conn:
            if not volumes.move(conn, "roll_detaching", volume_id, project_id=project):
                volumes.get(conn, volume_id, project)

    def initialize_connection(
        self, ctx: context.RequestContext, volume_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """Export the volume for the connector; `driver_volume_type` and `data`.

        Raises errors.InvalidInput for a connector the backend cannot serve, and what the daemon raises.
        """
        volume, host = self._usable(ctx, volume_id)
        with trace.step("initialize_connection", volume=volume.id):
            return self._daemon.initialize_connection(ctx, host, volume_id, connector)

    def attach(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        *,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> None:
        """Record that the disk is in the server: the volume becomes in-use. A reservation is not needed.

        Raises errors.InvalidVolume when the volume is taken.
        """
        _, host = self._usable(ctx, volume_id)
        with trace.step("os_attach", volume=volume_id, server=instance_uuid):
            self._daemon.attach_volume(ctx, host, volume_id, instance_uuid, host_name, mountpoint, mode)

    def terminate_connection(
        self, ctx: context.RequestContext, volume_id: str, connector: dict[str, Any] | None
    ) -> None:
        """Take the connector's access; a volume still `attaching` becomes available or in-use again.

        Raises errors.NovaUsesAttachment when a user would take it from a server.
        """
        volume = self._detachable(ctx, volume_id, None)
        with trace.step("terminate_connection", volume=volume_id):
            if volume.host:
                self._daemon.terminate_connection(ctx, volume.host, volume_id, connector)
            with self._db.connection() as conn:
                volumes.unreserve(conn, volume_id)

    def detach(self, ctx: context.RequestContext, volume_id: str, attachment_id: str | None) -> None:
        """Remove the attachment (the only one, unless named): the volume becomes available when none is left.

        Raises errors.NovaUsesAttachment, errors.SeveralAttachments, errors.InvalidInput.
        """
        volume = self._detachable(ctx, volume_id, attachment_id)
        _refuse_maintenance(volume)
        host = require_host(volume_id, volume.host, volume.status)
        with trace.step("os_detach", volume=volume_id, attachment=attachment_id):
            self._daemon.detach_volume(ctx, host, volume_id, attachment_id)

    def _usable(self, ctx: context.RequestContext, volume_id: str) -> tuple[volumes.Volume, str]:
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, api.visible_project(ctx))
        _refuse_maintenance(volume)
        return volume, require_host(volume_id, volume.host, volume.status)

    def _detachable(self, ctx: context.RequestContext, volume_id: str, attachment_id: str | None) -> volumes.Volume:
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, api.visible_project(ctx))
            found = attachments.of_volume(conn, volume_id) if attachment_id or not ctx.is_service else []
        protection.check_detach_any(ctx, self._compute, volume_id, found, attachment_id)
        return volume


def _refuse_maintenance(volume: volumes.Volume) -> None:
    if volume.status == states.MAINTENANCE:
        raise errors.InvalidVolume(reason=f"Unable to use volume {volume.id} while it is under maintenance.")
