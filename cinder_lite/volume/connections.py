"""Connect and disconnect an attachment: cinder-volume's half of the attachments API.

cinder-api has reserved the volume; here it is exported and row and volume move to `attaching`, in one transaction,
after all work on the backend. On the way out only the backend is touched: the row's end is written by cinder-api,
after this, so that no late write of ours can meet a volume that is already being deleted (Cinder bug 1937084).
"""

from __future__ import annotations

import logging
from typing import Any

from cinder_lite import errors
from cinder_lite.db import attachments
from cinder_lite.db import exports as rows
from cinder_lite.volume import exports, messages
from cinder_lite.volume.backend import Backend
from lite_common import context, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


@trace.operation("attach", "attached", about="volume", last=False, volume="volume_id", attachment="attachment_id")
def attachment_update(
    backend: Backend, ctx: context.RequestContext, volume_id: str, attachment_id: str, connector: dict[str, Any]
) -> dict[str, Any]:
    """Ensure that the connector's host reaches the volume; the flat connection info. May be repeated.

    Raises errors.InvalidInput for a connector without initiator, errors.VolumeAttachmentNotFound, and what target
    and database raise. After an error the row is as it was, and what nobody else uses of export and access is gone.
    """
    backend.target.validate_connector(connector)
    with (
        backend.messages.about(ctx, volume_id, messages.UPDATE_ATTACHMENT),
        backend.work_on(ctx, volume_id, "attachment_update"),
    ):
        with trace.step("attachment_update", volume=volume_id, attachment=attachment_id):
            with backend.database.connection() as conn:
                found = rows.find(conn, volume_id)
            attachment = found.attachment(attachment_id)
            if attachment is None:
                raise errors.VolumeAttachmentNotFound(attachment_id=attachment_id)
            export = exports.ensure(backend, found.volume)
            connected = False
            try:
                exports.grant(backend, found.volume, export, connector)
                info = _connect(backend, found, attachment, export, connector)
                connected = True
            finally:
                if not connected:
                    exports.undo(backend, found, connector)
            _forget_former_host(backend, found, attachment, connector)
            return info


def _connect(
    backend: Backend,
    found: rows.Exported,
    attachment: attachments.Attachment,
    export: exports.Export,
    connector: dict[str, Any],
) -> dict[str, Any]:
    mode = "ro" if found.read_only else attachment.attach_mode or connector.get("mode") or "rw"
    nested = exports.connection(backend, found.volume, export, connector, mode)
    info = nested["data"] | {"driver_volume_type": nested["driver_volume_type"], "attachment_id": attachment.id}
    done = attachments.connect(
        backend.database,
        found.volume.id,
        attachment.id,
        connector=connector,
        connection_info=info,
        mode=mode,
        exported=export.changed,
    )
    if not done:
        raise errors.AttachmentBusy(
            attachment_id=attachment.id,
            volume_id=found.volume.id,
            reason="attachment or volume changed meanwhile; look at both, then repeat the request.",
        )
    return info


@trace.operation("detach", "detached", about="volume", last=False, volume="volume_id", attachment="attachment_id")
def attachment_delete(backend: Backend, ctx: context.RequestContext, volume_id: str, attachment_id: str) -> None:
    """Ensure that the attachment's host no longer reaches the volume. Nothing to do is success.

    The export goes with its last user. Raises errors.VolumeIsBusy while an initiator is still logged in.
    """
    with backend.work_on(ctx, volume_id, "attachment_delete"):
        with trace.step("terminate_connection", volume=volume_id, attachment=attachment_id):
            try:
                with backend.database.connection() as conn:
                    found = rows.find(conn, volume_id)
            except errors.VolumeNotFound:
                return
            others = found.users(without=attachment_id)
            if not others:
                exports.drop(backend, found.volume)
                return
            attachment = found.attachment(attachment_id)
            connector = attachment.connector if attachment is not None else None
            if connector is not None and not any(exports.may_be_on(one, connector) for one in others):
                exports.withdraw(backend, volume_id, connector)


def _forget_former_host(
    backend: Backend, found: rows.Exported, attachment: attachments.Attachment, connector: dict[str, Any]
) -> None:
    """The attachment was connected for another host before: that one's access goes, unless it is needed or in use."""
    former = attachment.connector
    if former is None or former.get("initiator") == connector["initiator"]:
        return
    if any(exports.may_be_on(one, former) for one in found.users(without=attachment.id)):
        return
    try:
        exports.withdraw(backend, found.volume.id, former)
    except common_errors.LiteError as err:
        LOG.warning("the former host of attachment %s keeps its access: %s", attachment.id, err)
