"""The attachments API, cinder-api's half: reserve, connect, complete, remove.

cinder-api owns the rows of reserve, complete and remove; the volume's daemon writes the row when it has connected.
A removal is written here, in one transaction, after the backend is done (Cinder bug 1937084): no late write of the
daemon can then bring back a volume that somebody has begun to delete.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from cinder_lite import errors, states
from cinder_lite.db import attachment_lists, attachments, paging, volumes
from cinder_lite.volume import api, protection
from lite_common import context, db, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


class VolumeDaemon(Protocol):
    """The part of the volume daemon's RPC client that is used here."""

    def attachment_update(
        self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """Export the volume for the connector; the flat connection info."""

    def attachment_delete(self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str) -> None:
        """Take the connector's access, and the export with the last one."""


class AttachmentApi:
    """Operations on attachments of volumes that the caller may see."""

    def __init__(self, database: db.Database, daemon: VolumeDaemon, compute: protection.Compute) -> None:
        self._db = database
        self._daemon = daemon
        self._compute = compute

    @trace.operation("attach", "attached", about="volume", last=False, volume="volume_id", server="instance_uuid")
    def create(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        instance_uuid: str | None,
        connector: dict[str, Any] | None,
        mode: str | None,
    ) -> attachments.Attachment:
        """Reserve the volume for the server and, where a connector is given, connect it.

        Of two requests at once one wins. Raises errors.VolumeNotFound, errors.InvalidVolume when the volume's state
        does not allow it, and what connecting raises; nothing is reserved then.
        """
        if connector:
            _check_connector(connector)
        project = api.visible_project(ctx)
        with trace.step("attachment_create", volume=volume_id, server=instance_uuid):
            attachment_id = attachments.reserve(self._db, volume_id, project, instance_uuid, mode)
        if attachment_id is None:
            raise self._why_not_reserved(volume_id, project)
        made = attachments.Attachment(
            id=attachment_id,
            volume_id=volume_id,
            instance_uuid=instance_uuid,
            attached_host=None,
            mountpoint=None,
            attach_time=None,
            detach_time=None,
            attach_status=states.RESERVED,
            attach_mode=mode,
            connection_info=None,
            connector=None,
        )
        if not connector:
            return made
        try:
            return self.update(ctx, attachment_id, connector)
        except common_errors.LiteError:
            # The caller never learns the id, so a reservation left behind could not be taken back.
            LOG.warning("volume %s could not be connected; its reservation %s is removed", volume_id, attachment_id)
            attachments.remove(self._db, volume_id, attachment_id)
            raise

    @trace.operation("attach", "attached", about="volume", last=False, attachment="attachment_id")
    def update(
        self, ctx: context.RequestContext, attachment_id: str, connector: dict[str, Any]
    ) -> attachments.Attachment:
        """Connect the attachment's host; the attachment with its connection info. May be repeated.

        Raises errors.VolumeAttachmentNotFound, errors.AttachmentBusy, errors.InvalidInput for a connector the backend
        cannot serve, and what the daemon raises; the attachment stays reserved then.
        """
        _check_connector(connector)
        with self._db.connection() as conn:
            found = attachments.find(conn, attachment_id, api.visible_project(ctx))
        attachment = found.attachment
        if found.volume_status.startswith(states.ERROR):
            raise errors.AttachmentBusy(
                attachment_id=attachment_id,
                volume_id=attachment.volume_id,
                reason=f"the volume's status is {found.volume_status}.",
            )
        if found.other_connected and not found.multiattach:
            raise errors.AttachmentBusy(
                attachment_id=attachment_id,
                volume_id=attachment.volume_id,
                reason="another attachment is connected and the volume's type does not allow several.",
            )
        host = require_host(attachment.volume_id, found.host, found.volume_status)
        with trace.step("attachment_update", volume=attachment.volume_id, attachment=attachment_id):
            info = self._daemon.attachment_update(ctx, host, attachment.volume_id, attachment_id, connector)
        attached = attachment.attach_status == states.ATTACHED
        return dataclasses.replace(
            attachment,
            attach_status=states.ATTACHED if attached else states.ATTACHING,
            # A volume that may only be read is attached so, whatever was asked for.
            attach_mode="ro" if info.get("access_mode") == "ro" else attachment.attach_mode or info.get("access_mode"),
            connection_info=info,
        )

    @trace.operation("attach", "attached", about="volume", attachment="attachment_id")
    def complete(self, ctx: context.RequestContext, attachment_id: str) -> None:
        """Say that the disk is in the server: attachment `attached`, volume `in-use`. May be repeated.

        Raises errors.VolumeAttachmentNotFound, errors.InvalidVolume when one of them is in no state for it.
        """
        project = api.visible_project(ctx)
        with trace.step("attachment_complete", attachment=attachment_id):
            if attachments.complete(self._db, attachment_id, project):
                return
        with self._db.connection() as conn:
            found = attachments.find(conn, attachment_id, project)
        if found.attachment.attach_status != states.ATTACHED:
            raise errors.InvalidVolume(
                reason=f"Attachment {attachment_id} cannot be completed: it is {found.attachment.attach_status} and "
                f"volume {found.attachment.volume_id} is {found.volume_status}."
            )

    @trace.operation("detach", "detached", about="volume", attachment="attachment_id")
    def delete(self, ctx: context.RequestContext, attachment_id: str) -> list[attachments.Attachment]:
        """Take the access away and remove the attachment; those the volume has left.

        Raises errors.VolumeAttachmentNotFound, errors.NovaUsesAttachment when a user would take it from a server,
        and what the daemon raises; the attachment stays then and the request may be repeated.
        """
        with self._db.connection() as conn:
            found = attachments.find(conn, attachment_id, api.visible_project(ctx))
        attachment = found.attachment
        protection.check_detach(ctx, self._compute, attachment)
        with trace.step("attachment_delete", volume=attachment.volume_id, attachment=attachment_id):
            if found.host and attachment.attach_status != states.RESERVED:
                self._daemon.attachment_delete(ctx, found.host, attachment.volume_id, attachment_id)
            return attachments.remove(self._db, attachment.volume_id, attachment_id)

    def show(self, ctx: context.RequestContext, attachment_id: str) -> attachments.Attachment:
        """The attachment. Raises errors.VolumeAttachmentNotFound."""
        with self._db.connection() as conn:
            return attachments.find(conn, attachment_id, api.visible_project(ctx)).attachment

    def page(
        self, project_id: str | None, matches: paging.Matches, wanted: paging.Page
    ) -> list[attachments.Attachment]:
        """A page of the attachments of a project (None: any)."""
        with self._db.connection() as conn:
            return attachment_lists.page(conn, project_id, matches, wanted)

    def _why_not_reserved(self, volume_id: str, project: str | None) -> common_errors.LiteError:
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, project)
        wanted = "available or in-use" if volume.multiattach else "available"
        return errors.InvalidVolume(
            reason=f"Volume {volume_id} status must be {wanted} to reserve, but the status is {volume.status}"
        )


def require_host(volume_id: str, host: str | None, status: str) -> str:
    """The backend that has the volume. Raises errors.InvalidVolume when none has it (yet)."""
    if host is None:
        raise errors.InvalidVolume(reason=f"Volume {volume_id} is on no backend; its status is {status}.")
    return host


def _check_connector(connector: Mapping[str, Any]) -> None:
    if not isinstance(connector.get("host"), str) or not connector["host"]:
        raise errors.InvalidInput(reason="The connector names no host.")
    if connector.get("mode") not in (None, "rw", "ro"):
        raise errors.InvalidInput(reason=f"The connector's mode {connector['mode']} is neither rw nor ro.")
