"""Volumes of servers, nova-api's half: `attach_volume` and `detach_volume` up to the hand-over to nova-compute.

Attach: check_server, check_volume, reserve_block_device_name (RPC), create_attachment (or reserve_volume),
hand_over. Detach: check_server, check_volume, begin_detaching, hand_over. A step that fails undoes those before it.
Source of the checks and their order: Nova API reference, "Servers with volume attachments".
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from lite_common import context, db, errors, trace
from nova_lite import errors as nova_errors
from nova_lite.compute import action_records, guard
from nova_lite.compute.rpcapi import ComputeRpc
from nova_lite.db import actions, attachments, servers
from nova_lite.db.attachments import BlockDevice
from nova_lite.db.servers import Server
from nova_lite.volume.client import CinderClient, Volume

LOG = logging.getLogger(__name__)

RELEASE_WAIT = 1.0
DEVICE_PATH = re.compile(r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$")


class AttachmentApi:
    """What the REST controller of os-volume_attachments calls.

    `legacy` begins attachments by Cinder's volume actions instead of its attachments API.
    """

    def __init__(
        self,
        database: db.Database,
        rpc: ComputeRpc,
        cinder: CinderClient,
        *,
        service_down_time: float,
        legacy: bool = False,
    ) -> None:
        self._database = database
        self._rpc = rpc
        self._cinder = cinder
        self._down_time = service_down_time
        self._legacy = legacy

    @trace.operation("attach", "attached", about="volume", last=False, server="server_id", volume="volume_id")
    def attach_volume(
        self,
        ctx: context.RequestContext,
        server_id: str,
        volume_id: str,
        *,
        device: str | None = None,
        tag: str | None = None,
        delete_on_termination: bool = False,
        shelved_too: bool = True,
    ) -> BlockDevice:
        """Reserve volume and device name and let nova-compute plug the volume in; the block device as reserved.

        `shelved_too` False refuses servers that are shelved. After an error nothing is left. Raises ServerNotFound,
        ServerLocked, ServerInvalidState, HostDown, InvalidDevicePath, VolumeNotFound, InvalidVolume, TooManyDisks,
        DevicePathInUse, InvalidInput (Cinder's refusal), CinderUnavailable, errors.Timeout (nova-compute),
        errors.Unavailable (the bus).
        """
        ids = {"server": server_id, "volume": volume_id}
        with trace.step("check_server", **ids):
            server, host = self._check_server(ctx, server_id, "attach_volume", shelved_too)
            if device is not None and not DEVICE_PATH.match(device):
                raise nova_errors.InvalidDevicePath(path=device)
        with trace.step("check_volume", **ids):
            volume = self._check_volume(ctx, volume_id)
        wanted = {"device": device, "tag": tag, "delete_on_termination": delete_on_termination}
        with contextlib.ExitStack() as undo:
            with trace.step("reserve_block_device_name", **ids):
                block_device = self._reserve_name(ctx, host, server, volume, wanted)
            undo.callback(self._quietly, attachments.release, self._database, block_device.uuid)
            if self._legacy:
                discard = self._unheard(undo, self._cinder.unreserve_volume, ctx, volume_id)
                with trace.step("reserve_volume", **ids), discard:
                    self._cinder.reserve_volume(ctx, volume_id)
                attachment_id = None
                undo.callback(self._take_back, undo, self._cinder.unreserve_volume, ctx, volume_id)
            else:
                discard = self._unheard(undo, self._cinder.discard_attachments, ctx, volume_id, server_id)
                with trace.step("create_attachment", **ids), discard:
                    attachment_id = self._cinder.create_attachment(ctx, volume_id, server_id)
                undo.callback(self._take_back, undo, self._cinder.delete_attachment, ctx, attachment_id)
            with trace.step("hand_over", **ids):
                attachments.save_reservation(self._database, block_device, attachment_id, volume.size)
                with action_records.begun(self._database, ctx, server_id, "attach_volume"):
                    self._rpc.attach_volume(ctx, host, server_id, block_device.uuid)
            undo.pop_all()
        return block_device

    @trace.operation("detach", "detached", about="volume", last=False, server="server_id", volume="volume_id")
    def detach_volume(
        self, ctx: context.RequestContext, server_id: str, volume_id: str, *, shelved_too: bool = True
    ) -> None:
        """Let nova-compute unplug the volume.

        After an error volume and server are as before. Raises as `attach_volume`, and VolumeNotAttached, RootVolume.
        """
        ids = {"server": server_id, "volume": volume_id}
        with trace.step("check_server", **ids):
            server, service = servers.get_with_service(self._database, server_id)
            guard.visible(ctx, server)
            if not shelved_too:
                guard.check_not_shelved(server, "detach_volume")
        with trace.step("check_volume", **ids):
            block_device = attachments.find(self._database, server_id, volume_id)
            attachment_id = block_device.attachment_id if block_device else None
            if attachment_id is None:
                # Cinder knows whether there is such a volume, and under which id the older flow attached it.
                attachment_id = self._cinder.get_volume(ctx, volume_id).attachment_ids.get(server_id)
            if block_device is None:
                raise nova_errors.VolumeNotAttached(server=server_id, volume=volume_id)
            if block_device.boot_index == 0:
                raise nova_errors.RootVolume
            guard.check_unlocked(ctx, server)
            guard.check_volume_state(server, "detach_volume")
            host = guard.live_host(server, service, self._down_time)
        with trace.step("begin_detaching", **ids):
            action = self._begin_detaching(ctx, server_id, volume_id)
        with trace.step("hand_over", **ids):
            try:
                self._rpc.detach_volume(ctx, host, server_id, volume_id, attachment_id)
            except errors.LiteError:
                # Where it cannot be taken back the action stays open, and nova-compute finds that.
                if self._quietly(self._cinder.roll_detaching, ctx, volume_id):
                    self._quietly(actions.fail, self._database, action)
                raise

    def swap_volume(self, ctx: context.RequestContext, server_id: str, volume_id: str, new_volume_id: str) -> None:
        """Refuse to exchange one volume for the other under the guest.

        Only Cinder may ask for that, while it migrates the volume, and the Cinder here migrates none: a volume is
        never found migrating (VolumeNotMigrating), which is Nova's first check after the volume itself.
        """
        self.get_server(ctx, server_id)
        if self._cinder.get_volume(ctx, volume_id).migration_status in (None, ""):
            raise nova_errors.VolumeNotMigrating(volume=volume_id)
        raise errors.NotImplementedHere(
            f"Volume {volume_id} cannot be swapped for volume {new_volume_id}: guests here keep their disks. "
            "Detach the one and attach the other."
        )

    def get_server(self, ctx: context.RequestContext, server_id: str) -> Server:
        """The server whose volumes are asked for. Raises ServerNotFound."""
        return guard.visible(ctx, servers.get(self._database, server_id))

    def list_attachments(
        self,
        ctx: context.RequestContext,
        server_id: str,
        *,
        limit: int,
        offset: int = 0,
        by_attachment: bool = False,
    ) -> list[BlockDevice]:
        """A page of the server's volumes, oldest first, those included that are only reserved.

        `by_attachment` leaves those out that have no Cinder attachment.
        """
        self.get_server(ctx, server_id)
        return attachments.page_of_server(
            self._database, server_id, limit=limit, offset=offset, by_attachment=by_attachment
        )

    def get_attachment(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> BlockDevice:
        """The server's block device of the volume. Raises ServerNotFound, VolumeNotAttached."""
        self.get_server(ctx, server_id)
        found = attachments.find(self._database, server_id, volume_id)
        if found is None:
            raise nova_errors.VolumeNotAttached(server=server_id, volume=volume_id)
        return found

    def set_delete_on_termination(
        self, ctx: context.RequestContext, server_id: str, volume_id: str, value: bool
    ) -> None:
        """Let the volume be deleted with its server, or not. Raises as `get_attachment`."""
        block_device = self.get_attachment(ctx, server_id, volume_id)
        attachments.save_delete_on_termination(self._database, block_device, value)

    def _check_server(
        self, ctx: context.RequestContext, server_id: str, action: str, shelved_too: bool
    ) -> tuple[Server, str]:
        server, service = servers.get_with_service(self._database, server_id)
        guard.visible(ctx, server)
        if not shelved_too:
            guard.check_not_shelved(server, action)
        guard.check_unlocked(ctx, server)
        guard.check_volume_state(server, action)
        return server, guard.live_host(server, service, self._down_time)

    def _check_volume(self, ctx: context.RequestContext, volume_id: str) -> Volume:
        volume = self._cinder.get_volume(ctx, volume_id)
        if volume.multiattach:
            raise nova_errors.MultiattachUnsupported(volume=volume_id)
        holders = self._holders(volume)
        if holders:
            raise nova_errors.InvalidVolume(
                reason=f"volume {volume_id} is already attached to instances: {', '.join(holders)}"
            )
        return volume

    def _holders(self, volume: Volume) -> list[str]:
        """Servers that have the volume or are getting it.

        A detach ends in Cinder first and then releases its row; who sees the volume available may ask for it again
        before that second step, so a row of an available volume gets a moment to go.
        """
        end = time.monotonic() + RELEASE_WAIT
        while holders := attachments.servers_with(self._database, volume.id):
            if volume.status != "available" or time.monotonic() > end:
                break
            time.sleep(0.02)
        return holders

    def _reserve_name(
        self, ctx: context.RequestContext, host: str, server: Server, volume: Volume, wanted: dict[str, Any]
    ) -> BlockDevice:
        """Have nova-compute choose the name and make the row.

        When no answer came the row may have been made, and is taken back. One made even later is not possible: the
        deadline travels with the call, and nova-compute refuses what comes after it.
        """
        bdm_uuid = str(uuid.uuid4())
        try:
            answer = self._rpc.reserve_block_device_name(ctx, host, server.uuid, volume.id, bdm_uuid=bdm_uuid, **wanted)
        except errors.Unavailable as err:
            self._quietly(attachments.release, self._database, bdm_uuid)
            if not isinstance(err, errors.Timeout):
                raise
            raise errors.Timeout(
                f"nova-compute on host {host}, which holds instance {server.uuid}, did not answer in time. "
                f"Volume {volume.id} was not attached and nothing was changed. Check the service there and try again."
            ) from err
        return BlockDevice(**answer)

    def _begin_detaching(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> int:
        """Let Cinder mark the volume; the number of the action.

        The action is written first: it is by that that nova-compute finds a detach that was begun and never came to
        it. One that Cinder refused is no action; one that Cinder may have heard stays open, and goes on if it did.
        """
        action = actions.begin(self._database, ctx, server_id, "detach_volume")
        try:
            self._cinder.begin_detaching(ctx, volume_id)
        except (errors.Unavailable, errors.BackendError):
            raise
        except errors.LiteError:
            self._quietly(actions.withdraw, self._database, action)
            raise
        return action

    @contextlib.contextmanager
    def _unheard(self, undo: contextlib.ExitStack, discard: Callable[..., object], *args: Any) -> Iterator[None]:
        """A reservation that failed without an answer may have been made all the same, and is taken back.

        No other request can be making one for this pair, because its block device would be there.
        """
        try:
            yield
        except (nova_errors.CinderUnavailable, errors.BackendError):
            self._take_back(undo, discard, *args)
            raise

    def _take_back(self, undo: contextlib.ExitStack, discard: Callable[..., object], *args: Any) -> None:
        """Undo what was done in Cinder. When it cannot be told, the row stays: nova-compute finds it by that."""
        if not self._quietly(discard, *args):
            undo.pop_all()

    def _quietly(self, undo: Callable[..., object], *args: Any) -> bool:
        """Undo a step while another error is on its way up: a failure here is logged and must not hide that one."""
        try:
            undo(*args)
        except errors.LiteError as err:
            LOG.error("%s could not undo: %s", undo.__name__, err.message)
            return False
        return True
