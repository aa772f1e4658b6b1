"""The older attach flow in cinder-volume: initialize_connection, attach_volume, terminate_connection, detach_volume.

Here the daemon writes the attachment's row at both ends. An attachment of this flow has no connector, so the export
is needed as long as a row is there, and after a restart of the target only the target's own memory tells which host
had access (`targets.Export.recall`).
"""

from __future__ import annotations

from typing import Any

from cinder_lite import errors
from cinder_lite.db import attachments, volumes
from cinder_lite.db import exports as rows
from cinder_lite.volume import exports, messages
from cinder_lite.volume.backend import Backend
from lite_common import context, trace


def initialize_connection(
    backend: Backend, ctx: context.RequestContext, volume_id: str, connector: dict[str, Any]
) -> dict[str, Any]:
    """Ensure that the connector's host reaches the volume; {"driver_volume_type", "data"}. May be repeated.

    Raises errors.InvalidInput for a connector without initiator. After an error what nobody else uses of export and
    access is gone.
    """
    backend.target.validate_connector(connector)
    with (
        backend.messages.about(ctx, volume_id, messages.ATTACH_VOLUME),
        backend.work_on(ctx, volume_id, "initialize_connection"),
    ):
        with trace.step("initialize_connection", volume=volume_id):
            with backend.database.connection() as conn:
                found = rows.find(conn, volume_id)
            export = exports.ensure(backend, found.volume)
            done = False
            try:
                exports.grant(backend, found.volume, export, connector)
                mode = "ro" if found.read_only else connector.get("mode") or "rw"
                info = exports.connection(backend, found.volume, export, connector, mode)
                if export.changed:
                    with backend.database.connection() as conn:
                        volumes.update(conn, volume_id, **export.changed)
                done = True
                return info
            finally:
                if not done:
                    exports.undo(backend, found, connector)


def terminate_connection(
    backend: Backend, ctx: context.RequestContext, volume_id: str, connector: dict[str, Any] | None
) -> None:
    """Take the connector's access away, unless it is one of several attachments that may be on that host. Without
    any attachment (an attach that failed) the export goes, too.

    Raises errors.VolumeIsBusy while an initiator is still logged in to what is to go.
    """
    with backend.work_on(ctx, volume_id, "terminate_connection"):
        with trace.step("terminate_connection", volume=volume_id):
            with backend.database.connection() as conn:
                found = rows.find(conn, volume_id)
            users = found.users()
            if not users:
                exports.drop(backend, found.volume)
            elif connector is not None and sum(exports.may_be_on(one, connector) for one in users) <= 1:
                exports.withdraw(backend, volume_id, connector)


@trace.operation("attach", "attached", about="volume", volume="volume_id", server="instance_uuid")
def attach_volume(
    backend: Backend,
    ctx: context.RequestContext,
    volume_id: str,
    instance_uuid: str | None,
    host_name: str | None,
    mountpoint: str,
    mode: str,
) -> str:
    """Record that the disk is in the server, and return the attachment's id. May be repeated.

    Raises errors.InvalidVolume when somebody else has the volume, errors.InvalidVolumeAttachMode when it may only be
    read and `mode` is another.
    """
    with (
        backend.messages.about(ctx, volume_id, messages.ATTACH_VOLUME),
        backend.work_on(ctx, volume_id, "attach_volume"),
    ):
        with trace.step("attach_volume", volume=volume_id, server=instance_uuid):
            values = {
                "instance_uuid": instance_uuid,
                "attached_host": host_name,
                "mountpoint": mountpoint,
                "attach_mode": mode or "rw",
            }
            attachment_id = attachments.attach(backend.database, volume_id, values)
            if attachment_id is not None:
                return attachment_id
            with backend.database.connection() as conn:
                volume = volumes.get(conn, volume_id)
            raise errors.InvalidVolume(
                reason=f"volume {volume_id} cannot be attached: its status is {volume.status} and its attach_status "
                f"{volume.attach_status}."
            )


@trace.operation("detach", "detached", about="volume", volume="volume_id", attachment="attachment_id")
def detach_volume(backend: Backend, ctx: context.RequestContext, volume_id: str, attachment_id: str | None) -> None:
    """Remove the attachment (the only one, unless named), and the export with its last user.

    Raises errors.InvalidVolume when there are several and none was named, or the named one is not of this volume;
    errors.VolumeIsBusy while an initiator is still logged in. Nothing is changed then.
    """
    with backend.work_on(ctx, volume_id, "detach_volume"):
        with trace.step("detach_volume", volume=volume_id, attachment=attachment_id):
            with backend.database.connection() as conn:
                found = rows.find(conn, volume_id)
            chosen = _chosen(found, attachment_id)
            if not found.users(without=chosen):
                exports.drop(backend, found.volume)
            if chosen is None:
                attachments.release(backend.database, volume_id)
            else:
                attachments.remove(backend.database, volume_id, chosen)


def _chosen(found: rows.Exported, attachment_id: str | None) -> str | None:
    ids = [one.id for one in found.attachments]
    if attachment_id is None and len(ids) > 1:
        raise errors.InvalidVolume(
            reason=f"volume {found.volume.id} has {len(ids)} attachments ({', '.join(ids)}). Name one of them."
        )
    if attachment_id is not None and ids and attachment_id not in ids:
        raise errors.InvalidVolume(reason=f"attachment {attachment_id} is not one of volume {found.volume.id}.")
    if not ids:
        return None
    return attachment_id or ids[0]
