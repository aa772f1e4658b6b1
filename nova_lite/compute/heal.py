"""Make the sides of one attachment agree, when an administrator asks: nova-compute's part of `nlite doctor --fix`.

The rules are those of `reconcile`, and so are its functions; what is added is that somebody waits for the answer. The
row says what is wanted, the guest what is. Row and Cinder agree: what guest or host lack is given back. A row that
Cinder does not know, or a disk without a row: it is taken out, and only when the guest has let go is anything else
released, so that nobody else gets a volume that a guest still has.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.compute import attach, detach, reconcile, storage
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments, sides
from nova_lite.db.attachments import BlockDevice
from nova_lite.virt import driver
from nova_lite.virt import errors as virt_errors
from nova_lite.volume.client import Volume

LOG = logging.getLogger(__name__)

_PASSING = ("reserved", "attaching", "detaching")
_IN_USE = "in-use"


@dataclass
class Outcome:
    """What was done, and what was left as it is and why; sentences for a person."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def heal_attachment(
    host: ComputeHost, ctx: context.RequestContext, server_id: str | None, volume_id: str
) -> dict[str, Any]:
    """Finish or undo what was left of the volume in the server; {"done": [...], "left": [...]}.

    Without a server: sessions of this host with the volume's target that no row knows.
    """
    outcome = Outcome()
    try:
        if server_id is None:
            _end_sessions(host, volume_id, outcome)
        else:
            _heal(host, ctx, server_id, volume_id, outcome)
    except errors.LiteError as err:
        outcome.left.append(err.message)
    for text in outcome.done:
        LOG.warning("healing of volume %s in instance %s: %s", volume_id, server_id, text)
    return {"done": outcome.done, "left": outcome.left}


def _heal(host: ComputeHost, ctx: context.RequestContext, server_id: str, volume_id: str, outcome: Outcome) -> None:
    device = attachments.find(host.database, server_id, volume_id)
    if device is None:
        _without_row(host, ctx, server_id, volume_id, outcome)
    elif device.connection_info is None:
        _give_up_reservation(host, ctx, device, outcome)
    else:
        volume = _volume(host, ctx, volume_id)
        if volume is not None and volume.status in _PASSING:
            reconcile.settle(host, ctx, device)
            _tell_settled(host, ctx, device, volume.status, outcome)
        elif volume is not None and volume.status == _IN_USE and _is_its(volume, device):
            _plug_again(host, ctx, device, outcome)
        elif volume is not None and volume.status.startswith("error"):
            outcome.left.append(f"The volume's status is {volume.status}; a person has to look why.")
        else:
            _take_out(host, ctx, device, outcome)


def _volume(host: ComputeHost, ctx: context.RequestContext, volume_id: str) -> Volume | None:
    try:
        return host.cinder.get_volume(ctx, volume_id)
    except nova_errors.VolumeNotFound:
        return None


def _is_its(volume: Volume, device: BlockDevice) -> bool:
    """Whether Cinder says that the server has the volume by the attachment that the row names."""
    held = volume.attachment_ids.get(device.instance_uuid)
    return held is not None and device.attachment_id in (None, held)


def _give_up_reservation(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, outcome: Outcome) -> None:
    if device.uuid not in {one.uuid for one in reconcile.abandoned(host)}:
        outcome.left.append(
            f"The reservation is younger than {reconcile.RESERVATION_AGE:.0f} s, so its attach may still come."
        )
        return
    reconcile.abandon(host, ctx, device)
    outcome.done.append("The reservation, which no attach had taken up, was given up.")


def _tell_settled(
    host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, before: str, outcome: Outcome
) -> None:
    volume = _volume(host, ctx, device.volume_id)
    now = volume.status if volume is not None else "gone"
    row = attachments.find(host.database, device.instance_uuid, device.volume_id)
    if now == before:
        outcome.left.append(f"The volume is {before} as before; the log of nova-compute on {host.name} says why.")
        return
    what = "the attach was finished" if row is not None else "nothing of the attachment is left"
    outcome.done.append(f"The volume was {before} and is {now} now: {what}.")


def _plug_again(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, outcome: Outcome) -> None:
    """Row and Cinder agree that the server has it: guest and host get what they lack."""
    with host.working_on(device.instance_uuid, f"healing of volume {device.volume_id}"):
        server, now = attachments.with_server(host.database, device.instance_uuid, volume_id=device.volume_id)
        if now is None or now.uuid != device.uuid or now.connection_info is None:
            return
        if server.host != host.name:
            outcome.left.append(f"The server is on host {server.host}, not on {host.name}.")
            return
        try:
            disks = host.virt.attached_volumes(server.uuid)
            active = host.virt.power_state(server.uuid).active
        except virt_errors.ServerNotOnHost:
            outcome.left.append(
                f"The hypervisor of {host.name} does not know the server. `nlite reboot --hard {server.uuid}` builds "
                "it anew, with its volumes."
            )
            return
        if not active:
            outcome.left.append("The server is stopped; its next start builds it anew, with its volumes.")
            return
        lacks = [
            name
            for name, part in (("running guest", disks.live), ("stored configuration", disks.stored))
            if now.volume_id not in part
        ]
        unconnected = _is_unconnected(host, now)
        if not (lacks or unconnected):
            return
        connector = attach.get_connector(host, now)
        info = storage.flow(host, ctx, now).refresh(connector)
        info = attach.connect_volume(host, now, info)
        attach.attach_to_guest(host, now, info)
        if unconnected:
            outcome.done.append("The host was connected to the volume again.")
            if now.volume_id in disks.live:
                outcome.left.append(
                    f"The running guest may hold a device that is gone: `nlite reboot --hard {server.uuid}` if its "
                    "reads fail."
                )
        if lacks:
            outcome.done.append(f"The disk was given back to the {' and the '.join(lacks)}.")


def _is_unconnected(host: ComputeHost, device: BlockDevice) -> bool:
    view = host.connector.look(device.connection_info or {})
    return view.device is not None and (view.leads_to is None or not view.sessions)


def _take_out(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice, outcome: Outcome) -> None:
    """Cinder does not know that the server has the volume: out of the guest, off the host, and the row released.

    Only what is this row's own is ended in Cinder: by its id; the volume actions name no attachment, and would end
    that of whoever has the volume now.
    """
    with host.working_on(device.instance_uuid, f"healing of volume {device.volume_id}"):
        now = attachments.find(host.database, device.instance_uuid, device.volume_id)
        if now is None or now.uuid != device.uuid:
            return
        info = now.connection_info or {}
        attach.detach_from_guest(host, now, info)
        if now.attachment_id is not None:
            detach.release(host, ctx, now)
        else:
            attach.disconnect_volume(host, now, info)
            attach.delete_block_device(host, now)
        outcome.done.append("The disk, of which Cinder knows nothing, was taken out and its row released.")


def _without_row(
    host: ComputeHost, ctx: context.RequestContext, server_id: str, volume_id: str, outcome: Outcome
) -> None:
    """No row: nobody wants the volume in the server. The guest goes first, then host and Cinder."""
    with host.server_locks.hold(server_id, f"healing of volume {volume_id}"):
        if attachments.find(host.database, server_id, volume_id) is not None:
            outcome.left.append("A row of it was made just now; look again.")
            return
        last = sides.last_released(host.database, volume_id, server_id)
        info = (last.connection_info if last is not None else None) or {}
        try:
            host.virt.detach_volume(server_id, driver.VolumeDisk(volume_id, "", info))
            outcome.done.append("The disk, which no row asks for, was taken out of the guest.")
        except virt_errors.DeviceNotFound:
            LOG.info("volume %s is in no configuration of instance %s", volume_id, server_id)
        _disconnect(host, volume_id, last, outcome)
        try:
            ended = host.cinder.discard_attachments(ctx, volume_id, server_id)
        except nova_errors.VolumeNotFound:
            ended = 0
        if ended:
            outcome.done.append("Its attachment in Cinder was ended.")


def _disconnect(host: ComputeHost, volume_id: str, last: BlockDevice | None, outcome: Outcome) -> None:
    """End this host's connection of a volume that no row of this host has, if it is known how it was made."""
    if last is None or last.connection_info is None:
        return
    if any(one.device.volume_id == volume_id for one in sides.page(host.database, host=host.name, volume_id=volume_id)):
        return
    before = host.connector.look(last.connection_info)
    host.connector.disconnect_volume(last.connection_info)
    if before.sessions:
        outcome.done.append("The host was disconnected from the volume.")


def _end_sessions(host: ComputeHost, volume_id: str, outcome: Outcome) -> None:
    """A session that no row knows, of a volume that no guest here has: logged out as its last row says it was made."""
    for server_id in sorted(host.virt.list_servers()):
        disks = host.virt.attached_volumes(server_id)
        if volume_id in disks.live | disks.stored:
            outcome.left.append(f"Server {server_id} has a disk of the volume; that is taken out first.")
            return
    last = sides.last_released(host.database, volume_id)
    if last is None:
        outcome.left.append("No row says how the session was made, so it may be somebody else's; it is left.")
        return
    with host.server_locks.hold(last.instance_uuid, f"healing of volume {volume_id}"):
        _disconnect(host, volume_id, last, outcome)
