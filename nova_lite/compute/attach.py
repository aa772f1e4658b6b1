"""Plug a volume into a guest: nova-compute's half of an attach.

`reserve_block_device_name` chooses the device name and makes the block device's row. `attach_volume` then takes the
steps get_connector, update_attachment (or initialize_connection), connect_volume, attach_to_guest,
complete_attachment (or attach_in_cinder). A step that fails has those before it undone in reverse: out of the guest,
off the host, out of Cinder, and the row released. The row learns its connection before the host and the guest are
touched, so there is never a login or a disk in a guest that no row knows of.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from lite_common import context, db, errors, trace
from nova_lite import errors as nova_errors
from nova_lite import states
from nova_lite.compute import device_names, storage
from nova_lite.compute.action_events import recorded
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments
from nova_lite.db.attachments import BlockDevice
from nova_lite.db.servers import Server
from nova_lite.virt import driver
from nova_lite.virt import errors as virt_errors
from nova_lite.volume import client

LOG = logging.getLogger(__name__)

NAME_ATTEMPTS = 10
# A reservation must not be made so late that its caller, at its own limit, has looked for it already.
DEADLINE_MARGIN = 1.0


def reserve_block_device_name(
    host: ComputeHost,
    ctx: context.RequestContext,
    server_id: str,
    volume_id: str,
    *,
    bdm_uuid: str,
    device: str | None = None,
    tag: str | None = None,
    delete_on_termination: bool = False,
    disk_bus: str | None = None,
) -> BlockDevice:
    """The new row `bdm_uuid` for the volume, with a device name that no other disk of the server has.

    A requested name counts only where guests really see it. Raises ServerNotFound, ServerInvalidState (it is being
    deleted), WrongHost, InvalidVolume (the server has the volume), DevicePathInUse, TooManyDisks, errors.Timeout (the
    caller has given up).
    """
    with host.recording_faults(server_id), host.name_locks.hold(server_id, f"naming volume {volume_id}"):
        if ctx.deadline is not None and time.time() > ctx.deadline - DEADLINE_MARGIN:
            raise errors.Timeout(f"Naming volume {volume_id} began too late; the caller has given up.")
        for _ in range(NAME_ATTEMPTS):
            name, requested = _choose_name(host, server_id, device)
            try:
                return attachments.reserve(
                    host.database,
                    uuid=bdm_uuid,
                    server_id=server_id,
                    volume_id=volume_id,
                    device_name=name,
                    tag=tag,
                    delete_on_termination=delete_on_termination,
                    disk_bus=disk_bus,
                )
            except db.Duplicate as err:
                found = attachments.find(host.database, server_id, volume_id)
                if found is not None and found.uuid == bdm_uuid:
                    LOG.info("the row %s was made already; the message came twice", bdm_uuid)
                    return found
                if attachments.already_has(err) == "volume_id":
                    raise nova_errors.InvalidVolume(reason=f"volume {volume_id} already attached") from err
                if requested:
                    raise nova_errors.DevicePathInUse(path=device) from err
                LOG.info("device name %s of instance %s was taken meanwhile", name, server_id)
    raise errors.Conflict(f"No device name of instance {server_id} stayed free in {NAME_ATTEMPTS} attempts. Try again.")


def _choose_name(host: ComputeHost, server_id: str, requested: str | None) -> tuple[str, bool]:
    """A free name, and whether it is the requested one."""
    taken = attachments.taken_names(host.database, server_id)
    if taken.host != host.name:
        raise nova_errors.WrongHost(server=server_id, found=taken.host, host=host.name)
    if taken.task_state == states.DELETING:
        # Whoever deletes it reads its rows once and gives up those.
        raise nova_errors.ServerInvalidState(
            action="attach_volume", server=server_id, attribute="task_state", state=states.DELETING
        )
    honour = requested is not None and host.virt.honours_device_name
    if honour:
        name = device_names.honoured(taken.root, requested or "")
        if name == taken.root:
            raise nova_errors.DevicePathInUse(path=requested)
    else:
        name = device_names.next_free(
            taken.root, taken.count, taken.last, lambda: attachments.all_names(host.database, server_id)
        )
    device_names.check_limit(name, host.max_disks)
    return name, honour


@recorded("compute_attach_volume")
@trace.operation("attach", "attached", about="volume", server="server_id")
def attach_volume(host: ComputeHost, ctx: context.RequestContext, server_id: str, bdm_uuid: str) -> None:
    """Plug the reserved block device in; after an error nothing of it is left but a fault of the server.

    One thing is left as it is: a disk that was plugged in and that the guest does not give back (a paused guest
    cannot). Its row and its attachment stay, so that the storage is not taken away under the guest.
    """
    with host.working_on(server_id, f"attach of block device {bdm_uuid}"):
        server, device = attachments.with_server(host.database, server_id, uuid=bdm_uuid)
        if device is None:
            raise errors.NotFound(f"Block device {bdm_uuid} of instance {server_id} does not exist.")
        if device.deleted:
            _give_up_late(host, ctx, device)
            return
        if device.connection_info is not None:
            LOG.info("block device %s of instance %s is attached already, or nearly so", bdm_uuid, server_id)
            host.unsettled[device.uuid] = device
            return
        with contextlib.ExitStack() as undo:
            undo.callback(_release_row, host, device)
            flow = storage.flow(host, ctx, device)
            flow.reserved(undo)
            _check_still_wanted(host, server, device)
            connector = get_connector(host, device)
            info = flow.prepare(connector, undo)
            info = connect_volume(host, device, info)
            undo.callback(_disconnect, host, device, info)
            attach_to_guest(host, device, info)
            undo.callback(_take_from_guest, host, device, info, undo)
            flow.finish(info)
            undo.pop_all()


def get_connector(host: ComputeHost, device: BlockDevice) -> dict[str, Any]:
    """What Cinder has to know of this host, and the device name."""
    with trace.step("get_connector", server=device.instance_uuid, volume=device.volume_id):
        return host.connector.properties(mountpoint=device.device_name)


def connect_volume(host: ComputeHost, device: BlockDevice, info: Mapping[str, Any]) -> dict[str, Any]:
    """Make the volume usable on this host; the connection information that the guest's disk is made of.

    Where this host itself logs in, the row is told before, so that the login is found after this process was killed.
    """
    with trace.step("connect_volume", server=device.instance_uuid, volume=device.volume_id):
        if host.connector.has_devices:
            attachments.save_connection(host.database, device, client.without_secrets(info))
        return host.connector.connect_volume(info)


def disconnect_volume(host: ComputeHost, device: BlockDevice, info: Mapping[str, Any], force: bool = False) -> None:
    """Undo `connect_volume`; what is not connected is left alone.

    Raises DisconnectFailed, unless `force` says that what the host may still hold for the volume does not matter.
    """
    with trace.step("disconnect_volume", server=device.instance_uuid, volume=device.volume_id):
        host.connector.disconnect_volume(info, force)


def attach_to_guest(host: ComputeHost, device: BlockDevice, info: Mapping[str, Any]) -> None:
    """Write the connection into the row, without its secrets, and then give the guest the disk."""
    with trace.step("attach_to_guest", server=device.instance_uuid, volume=device.volume_id):
        attachments.save_connection(host.database, device, client.without_secrets(info))
        host.virt.attach_volume(device.instance_uuid, disk_of(device, info))


def detach_from_guest(host: ComputeHost, device: BlockDevice, info: Mapping[str, Any]) -> None:
    """Take the disk out of the guest and its stored configuration; one that is not there is fine."""
    with trace.step("detach_from_guest", server=device.instance_uuid, volume=device.volume_id):
        try:
            host.virt.detach_volume(device.instance_uuid, disk_of(device, info))
        except virt_errors.DeviceNotFound:
            LOG.info("volume %s is in no configuration of instance %s", device.volume_id, device.instance_uuid)


def delete_block_device(host: ComputeHost, device: BlockDevice) -> None:
    """Release the row, and with it the device name."""
    with trace.step("delete_block_device", server=device.instance_uuid, volume=device.volume_id):
        attachments.release(host.database, device.uuid)


def disk_of(device: BlockDevice, info: Mapping[str, Any]) -> driver.VolumeDisk:
    """The block device as the hypervisor driver takes it."""
    return driver.VolumeDisk(device.volume_id, device.device_name or "", info)


def _check_still_wanted(host: ComputeHost, server: Server, device: BlockDevice) -> None:
    """Raises BlockDeviceGone for a server that is gone or going, WrongHost for one that is elsewhere."""
    if server.deleted or server.task_state == states.DELETING:
        raise nova_errors.BlockDeviceGone(server=server.uuid, volume=device.volume_id)
    if server.host != host.name:
        raise nova_errors.WrongHost(server=server.uuid, found=server.host, host=host.name)


def _give_up_late(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
    """The row was released before its attach began, by a delete of the server; only its attachment may be left.

    A volume reserved by the volume actions is not touched: whoever released the row has unreserved it, and by now it
    may be reserved for somebody else.
    """
    LOG.warning("block device %s of instance %s was released before its attach", device.uuid, device.instance_uuid)
    if device.attachment_id:
        host.cinder.delete_attachment(ctx, device.attachment_id)


def _release_row(host: ComputeHost, device: BlockDevice) -> None:
    """Release the row, unless Cinder still has to be told: then `recovery.tick` needs it."""
    if device.uuid not in host.unfinished and not host.quietly(delete_block_device, host, device):
        host.unfinished[device.uuid] = device


def _disconnect(host: ComputeHost, device: BlockDevice, info: Mapping[str, Any]) -> None:
    """Undo `connect_volume`; while this host holds the volume it is not given back to Cinder."""
    if not host.quietly(disconnect_volume, host, device, info):
        host.unfinished[device.uuid] = device


def _take_from_guest(
    host: ComputeHost, device: BlockDevice, info: Mapping[str, Any], undo: contextlib.ExitStack
) -> None:
    if not host.quietly(detach_from_guest, host, device, info):
        # The guest still uses the disk: stop undoing here. `recovery.tick` looks again, and finds an attachment.
        undo.pop_all()
        host.unsettled[device.uuid] = device
