"""Unplug a volume from a guest: nova-compute's half of a detach.

Steps: detach_from_guest, disconnect_volume, delete_attachment (or terminate_connection and detach_in_cinder),
delete_block_device. While the guest keeps the disk the volume goes back to in-use. Once the guest has let go there is
no way back, only forward: the row stays until Cinder has been told, and `recovery.tick` takes the same steps again.
"""

from __future__ import annotations

import logging

from lite_common import context, errors, trace
from nova_lite import errors as nova_errors
from nova_lite.compute import attach, storage
from nova_lite.compute.action_events import recorded
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments
from nova_lite.db.attachments import BlockDevice
from nova_lite.db.servers import Server

LOG = logging.getLogger(__name__)


@recorded("compute_detach_volume")
@trace.operation("detach", "detached", about="volume", server="server_id", volume="volume_id")
def detach_volume(
    host: ComputeHost, ctx: context.RequestContext, server_id: str, volume_id: str, attachment_id: str | None
) -> None:
    """Unplug the volume. `attachment_id` is what Cinder showed; it is used where the row has none of its own.

    Raises DeviceDetachFailed (the guest keeps the disk; the volume is in use as before), CinderUnavailable.
    """
    with host.working_on(server_id, f"detach of volume {volume_id}"):
        server, device = attachments.with_server(host.database, server_id, volume_id=volume_id)
        if device is None:
            if server.deleted:
                LOG.info("instance %s was deleted before volume %s could be detached from it", server_id, volume_id)
                return
            if attachments.was_attached(host.database, server_id, volume_id):
                LOG.info("volume %s has left instance %s already; the message came again", volume_id, server_id)
                return
            raise nova_errors.VolumeNotAttached(server=server_id, volume=volume_id)
        _take_disk(host, ctx, server, device)
        try:
            release(host, ctx, device, attachment_id)
        except errors.LiteError:
            host.unfinished[device.uuid] = device
            raise


def release(
    host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, attachment_id: str | None = None
) -> None:
    """The steps that remain once no guest has the disk: off the host, out of Cinder, and the row released."""
    info = device.connection_info or {}
    attach.disconnect_volume(host, device, info)
    connector = info.get("connector") or attach.get_connector(host, device)
    storage.flow(host, ctx, device).end(connector, attachment_id)
    attach.delete_block_device(host, device)


def _take_disk(host: ComputeHost, ctx: context.RequestContext, server: Server, device: BlockDevice) -> None:
    """Take the disk from the guest, or tell Cinder that it is in use still. A server elsewhere has no disk here."""
    if server.host != host.name:
        LOG.error("instance %s is on host %s, not here; only its storage is released", server.uuid, server.host)
        return
    try:
        attach.detach_from_guest(host, device, device.connection_info or {})
    except errors.LiteError:
        if not host.quietly(host.cinder.roll_detaching, ctx, device.volume_id):
            # The volume stays `detaching`, and so the guest is asked again later.
            host.unsettled[device.uuid] = device
        raise
