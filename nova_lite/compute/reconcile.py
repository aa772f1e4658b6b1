"""Attachments that a nova-compute left half made or half taken away: compare row, guest and Cinder, and settle them.

The row says that somebody wanted the volume in the server, the volume's status what was being done, the guest how far
it got. What can go on safely goes on, an attach that had not reached the guest is undone. Whatever does not fit is
left alone and logged: a person has to look.
"""

from __future__ import annotations

import datetime
import logging

from lite_common import context, db
from lite_common import errors as common_errors
from nova_lite import errors
from nova_lite.compute import attach, detach, storage
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments
from nova_lite.db.attachments import BlockDevice
from nova_lite.virt import errors as virt_errors
from nova_lite.volume.client import Volume

LOG = logging.getLogger(__name__)

# A reservation whose attach has not begun for this long (seconds) has lost its message.
RESERVATION_AGE = 60.0
_BEGUN = ("reserved", "attaching")
_ENDING = "detaching"


def settle(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    """Bring one connected block device to a state in which everybody agrees.

    Raises what its steps raise; the next start tries again.
    """
    volume = host.cinder.get_volume(ctx, device.volume_id)
    if volume.status not in (*_BEGUN, _ENDING):
        return
    with host.working_on(device.instance_uuid, f"settling of volume {device.volume_id}"):
        # Both may have changed before the lock was ours.
        now = attachments.find(host.database, device.instance_uuid, device.volume_id)
        status = host.cinder.get_volume(ctx, device.volume_id).status
        if now is None or now.uuid != device.uuid or now.connection_info is None:
            return
        plugged = _plugged(host, now)
        LOG.warning(
            "volume %s was left %s, and instance %s has %s disk of it",
            now.volume_id,
            status,
            now.instance_uuid,
            "a" if plugged else "no",
        )
        if status in _BEGUN and plugged:
            storage.flow(host, ctx, now).finish(now.connection_info)
        elif status in (*_BEGUN, _ENDING):
            attach.detach_from_guest(host, now, now.connection_info)
            detach.release(host, ctx, now, volume.attachment_ids.get(now.instance_uuid))


def finish(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    """Tell Cinder of the end of a block device in `ComputeHost.unfinished`, and release its row.

    Raises CinderUnavailable and errors.BackendError while that is not possible; after any other error a person has to
    look.
    """
    try:
        volume = host.cinder.get_volume(ctx, device.volume_id)
        with host.working_on(device.instance_uuid, f"release of volume {device.volume_id}"):
            now = attachments.find(host.database, device.instance_uuid, device.volume_id)
            if now is not None and now.uuid == device.uuid:
                _end(host, ctx, now, volume)
    except storage.UNHEARD:
        raise
    except common_errors.LiteError:
        host.unfinished.pop(device.uuid, None)
        raise
    host.unfinished.pop(device.uuid, None)


def _end(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, volume: Volume) -> None:
    if device.connection_info is None:
        _unreserve(host, ctx, device)
    elif device.attachment_id is None and volume.status == "available":
        # Cinder was told after all. The volume actions do not say whose connection they end: do not repeat them.
        attach.delete_block_device(host, device)
    else:
        # A reboot may have plugged it in again.
        attach.detach_from_guest(host, device, device.connection_info)
        detach.release(host, ctx, device, volume.attachment_ids.get(device.instance_uuid))


def abandoned(host: ComputeHost) -> list[BlockDevice]:
    """Reservations that no attach has taken up."""
    limit = db.utcnow() - datetime.timedelta(seconds=RESERVATION_AGE)
    return attachments.on_host(host.database, host.name, unconnected_before=limit)


def abandon(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    """Give up one such reservation; nova-api or a late message that comes for it finds it gone and cleans up too."""
    with host.working_on(device.instance_uuid, f"giving up of volume {device.volume_id}"):
        now = attachments.find(host.database, device.instance_uuid, device.volume_id)
        if now is None or now.uuid != device.uuid or now.connection_info is not None:
            return
        LOG.warning("volume %s was reserved for instance %s and never attached", now.volume_id, now.instance_uuid)
        _unreserve(host, ctx, now)


def _unreserve(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    try:
        if device.attachment_id is None:
            # Also a reservation of the attachments API, if nova-api died before it could write down its id.
            host.cinder.discard_attachments(ctx, device.volume_id, device.instance_uuid)
            host.cinder.unreserve_volume(ctx, device.volume_id)
        else:
            host.cinder.delete_attachment(ctx, device.attachment_id)
    except errors.VolumeNotFound:
        LOG.info("volume %s is gone", device.volume_id)
    attach.delete_block_device(host, device)


def _plugged(host: ComputeHost, device: BlockDevice) -> bool:
    """Whether the server has the disk in full: in the guest, if there is one, and for its next start."""
    try:
        found = host.virt.attached_volumes(device.instance_uuid)
        runs = host.virt.power_state(device.instance_uuid).active
    except virt_errors.ServerNotOnHost:
        return False
    return device.volume_id in found.stored and (not runs or device.volume_id in found.live)
