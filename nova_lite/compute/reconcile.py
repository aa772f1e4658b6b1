"""Attachments that were left half made or half taken away: compare row, guest and Cinder, and settle them by rule.

The row says that somebody wanted the volume in the server, the volume's status what was being done, the guest how far
it got. What can go on safely goes on, an attach that had not reached the guest is undone. A disk that a guest has on
its bus keeps its row, whatever Cinder says, so that nobody else gets the volume. What no rule fits (a volume in error)
is left alone and logged. The rules are a table in docs/attach-path.md.
"""

from __future__ import annotations

import datetime
import enum
import logging
from dataclasses import dataclass

from lite_common import context, db, errors
from nova_lite import errors as nova_errors
from nova_lite.compute import attach, detach, storage
from nova_lite.compute.host import ComputeHost
from nova_lite.db import actions, attachments
from nova_lite.db.attachments import BlockDevice
from nova_lite.virt import errors as virt_errors
from nova_lite.volume.client import Volume

LOG = logging.getLogger(__name__)

# A reservation whose attach has not begun for this long (seconds) has lost its message.
RESERVATION_AGE = 20.0
# A detach that was asked for within so many seconds may still be in the hands of nova-api, which takes it back when it
# cannot hand it over.
DETACH_AGE = 20.0
_BEGUN = ("reserved", "attaching")
_ENDING = "detaching"
_IN_USE = "in-use"
_FREE = "available"


class Settled(enum.Enum):
    """What settling a block device did."""

    NOTHING = "nothing"
    WAITING = "waiting"
    FINISHED = "finished"
    ENDED = "ended"


@dataclass(frozen=True)
class _Disk:
    """`live`: a running guest has the disk. `whole`: it has it in full, for its next start too."""

    live: bool
    whole: bool


def settle(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> Settled:
    """Bring one connected block device to a state in which everybody agrees; what was done to it.

    While that cannot be found out (Cinder or the hypervisor is down, or busy) the device stays in
    `ComputeHost.unsettled`, and the error goes up. It stays there as well while its detach may be on its way.
    """
    host.unsettled[device.uuid] = device
    try:
        done = _settle(host, ctx, device)
    except storage.UNHEARD:
        raise
    except errors.LiteError:
        # An answer that no rule knows: a person has to look.
        host.unsettled.pop(device.uuid, None)
        raise
    if done is not Settled.WAITING:
        host.unsettled.pop(device.uuid, None)
    return done


def _settle(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> Settled:
    if _agrees(device, _volume(host, ctx, device)):
        return Settled.NOTHING
    with host.server_locks.hold(device.instance_uuid, f"settling of volume {device.volume_id}"):
        # Both may have changed before the lock was ours.
        now = attachments.find(host.database, device.instance_uuid, device.volume_id)
        if now is None or now.uuid != device.uuid or now.connection_info is None:
            return Settled.NOTHING
        volume = _volume(host, ctx, now)
        if _agrees(now, volume):
            return Settled.NOTHING
        if volume is not None and volume.status == _ENDING and _is_young(host, now):
            return Settled.WAITING
        disk = _disk(host, now)
        status = volume.status if volume else "gone"
        has = "a" if disk.live else "no"
        LOG.warning("volume %s is %s, and instance %s has %s disk of it", now.volume_id, status, now.instance_uuid, has)
        return _by_rule(host, ctx, now, volume, disk)


def _by_rule(
    host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, volume: Volume | None, disk: _Disk
) -> Settled:
    if volume is not None and volume.status in _BEGUN and disk.whole:
        storage.flow(host, ctx, device).finish(device.connection_info or {})
        return Settled.FINISHED
    if volume is not None and volume.status in (*_BEGUN, _ENDING):
        return _end_attachment(host, ctx, device, volume)
    if disk.live:
        LOG.error(
            "Cinder does not know that instance %s has volume %s. The row is kept, so that no other server gets it. "
            "Detach it, or stop the server.",
            device.instance_uuid,
            device.volume_id,
        )
        return Settled.NOTHING
    _forget(host, device)
    return Settled.ENDED


def _end_attachment(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, volume: Volume) -> Settled:
    """Undo the attach, or go on with the detach: whose disk the guest keeps, that volume is in use as before."""
    try:
        attach.detach_from_guest(host, device, device.connection_info or {})
    except virt_errors.DeviceDetachFailed as err:
        if volume.status != _ENDING:
            raise
        LOG.error("%s", err.message)
        host.cinder.roll_detaching(ctx, device.volume_id)
        return Settled.NOTHING
    detach.release(host, ctx, device, volume.attachment_ids.get(device.instance_uuid))
    return Settled.ENDED


def _forget(host: ComputeHost, device: BlockDevice) -> None:
    """Cinder has ended the attachment, and no guest has the disk: what is left on this host goes, then the row."""
    info = device.connection_info or {}
    attach.detach_from_guest(host, device, info)
    attach.disconnect_volume(host, device, info, force=True)
    attach.delete_block_device(host, device)


def finish(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    """Tell Cinder of the end of a block device in `ComputeHost.unfinished`, and release its row.

    Raises what keeps that from being possible now; the device stays in the list then.
    """
    volume = _volume(host, ctx, device)
    with host.server_locks.hold(device.instance_uuid, f"release of volume {device.volume_id}"):
        now = attachments.find(host.database, device.instance_uuid, device.volume_id)
        if now is not None and now.uuid == device.uuid:
            _end(host, ctx, now, volume)
    host.unfinished.pop(device.uuid, None)


def _end(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, volume: Volume | None) -> None:
    if device.connection_info is None:
        _unreserve(host, ctx, device)
    elif volume is None or (device.attachment_id is None and volume.status == _FREE):
        # Cinder was told after all. The volume actions do not say whose connection they end: do not repeat them.
        _forget(host, device)
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
    with host.server_locks.hold(device.instance_uuid, f"giving up of volume {device.volume_id}"):
        now = attachments.find(host.database, device.instance_uuid, device.volume_id)
        if now is None or now.uuid != device.uuid or now.connection_info is not None:
            return
        LOG.warning("volume %s was reserved for instance %s and never attached", now.volume_id, now.instance_uuid)
        _unreserve(host, ctx, now)


def _unreserve(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    try:
        storage.end_reservation(host.database, host.cinder, ctx, device)
    except nova_errors.VolumeNotFound:
        LOG.info("volume %s is gone", device.volume_id)
    attach.delete_block_device(host, device)


def _agrees(device: BlockDevice, volume: Volume | None) -> bool:
    """Whether there is nothing to settle: the attachment is complete, or in a state that is for a person to judge."""
    if volume is None or volume.status in (*_BEGUN, _ENDING, _FREE):
        return False
    if volume.status != _IN_USE:
        return True
    found = volume.attachment_ids.get(device.instance_uuid)
    return found is not None and device.attachment_id in (None, found)


def _is_young(host: ComputeHost, device: BlockDevice) -> bool:
    """Whether a detach from this server was begun a moment ago whose end nobody has told."""
    since = db.utcnow() - datetime.timedelta(seconds=DETACH_AGE)
    return actions.is_one_open(host.database, device.instance_uuid, "detach_volume", since)


def _volume(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> Volume | None:
    try:
        return host.cinder.get_volume(ctx, device.volume_id)
    except nova_errors.VolumeNotFound:
        return None


def _disk(host: ComputeHost, device: BlockDevice) -> _Disk:
    try:
        found = host.virt.attached_volumes(device.instance_uuid)
        runs = host.virt.power_state(device.instance_uuid).active
    except virt_errors.ServerNotOnHost:
        return _Disk(live=False, whole=False)
    live = runs and device.volume_id in found.live
    return _Disk(live, whole=device.volume_id in found.stored and (live or not runs))
