"""The life of a server on its host: build, start, stop, reboot, pause, delete.

Every operation first looks, under the server's lock, whether it is still wanted (the task state says so), and ends
with one move of the states. So a message that comes twice, or late, or after a restart, does no harm.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from lite_common import context, db, errors, trace
from nova_lite import states
from nova_lite.compute import attach, reconcile, storage
from nova_lite.compute.action_events import recorded
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments, servers
from nova_lite.db.attachments import BlockDevice
from nova_lite.db.servers import Server
from nova_lite.images import Image
from nova_lite.virt import driver
from nova_lite.virt import errors as virt_errors
from nova_lite.volume import client, connection_info

LOG = logging.getLogger(__name__)

# Seconds that a nova-api which has begun an attach gets to hand it over, once its server is to be deleted.
HAND_OVER_LIMIT = reconcile.RESERVATION_AGE
HAND_OVER_PAUSE = 0.1


@recorded("compute__do_build_and_run_instance")
@trace.operation("create", "active", about="server", server="server_id")
def build_server(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    """Build and start a new server; after an error it is in state error, with a fault that says why."""
    with host.working_on(server_id, "build"):
        if not servers.move(host.database, server_id, "build_begun"):
            LOG.info("instance %s is not waiting to be built (any more)", server_id)
            return
        with _failing(host, server_id, "build_failed"):
            server = servers.get(host.database, server_id)
            host.virt.spawn(_spec(host, server))
        _end(host, server_id, "built", launched_at=db.utcnow())


@recorded("compute_start_instance")
def start_server(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    """Start a stopped server with its volumes, whose connections are asked for anew: they may have moved."""
    with _wanted(host, server_id, "start", states.POWERING_ON) as server:
        if server is None:
            return
        with _failing(host, server_id, "start_failed"), _connected(host, ctx, server) as disks:
            host.virt.power_on(_spec(host, server, disks))
        _end(host, server_id, "started")


@recorded("compute_stop_instance")
def stop_server(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    """Shut the guest down, or switch it off when it does not in time; its volumes leave this host until it starts."""
    with _wanted(host, server_id, "stop", states.POWERING_OFF) as server:
        if server is None:
            return
        with _failing(host, server_id, "stop_failed"), contextlib.suppress(virt_errors.ServerNotOnHost):
            host.virt.power_off(server_id, host.shutdown_timeout)
        disconnect_all(host, server_id)
        _end(host, server_id, "stopped")


def disconnect_all(host: ComputeHost, server_id: str) -> None:
    """Take the volumes of a server that does not run off this host; one that cannot be is logged and left."""
    for device in attachments.of_server(host.database, server_id):
        if device.connection_info is not None:
            host.quietly(attach.disconnect_volume, host, device, device.connection_info)


@recorded("compute_reboot_instance")
def reboot_server(host: ComputeHost, ctx: context.RequestContext, server_id: str, hard: bool) -> None:
    """Start the server anew, with connections asked for anew."""
    with _wanted(host, server_id, "reboot", states.REBOOTING, states.REBOOTING_HARD) as server:
        if server is None:
            return
        try:
            with _connected(host, ctx, server) as disks:
                host.virt.reboot(_spec(host, server, disks), hard)
        except BaseException:
            runs = host.virt.power_state(server_id).active
            _end(host, server_id, "reboot_refused" if runs else "reboot_failed")
            raise
        _end(host, server_id, "rebooted")


@recorded("compute_pause_instance")
def pause_server(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    """Freeze the guest."""
    _switch(host, server_id, "pause", states.PAUSING, host.virt.pause)


@recorded("compute_unpause_instance")
def unpause_server(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    """Let the guest run on."""
    _switch(host, server_id, "unpause", states.UNPAUSING, host.virt.unpause)


@recorded("compute_terminate_instance")
@trace.operation("delete", "deleted", about="server", server="server_id")
def terminate_server(host: ComputeHost, ctx: context.RequestContext, server_id: str) -> None:
    """Remove the guest, then each volume from the host, from Cinder and (where asked) altogether, then the rows.

    The block devices are read under the locks, so one that an attach has just made is released too, and none is made
    after them. When Cinder is down, or cannot let a volume go yet, the server stays in task deleting with what is left
    of its rows, and the next look of `recovery` goes on. Raises what the first of these was.
    """
    with host.working_on(server_id, "delete"):
        server = servers.get(host.database, server_id, deleted=True)
        if server.deleted:
            return
        host.virt.destroy(server_id)
        failed: errors.LiteError | None = None
        for device in _last_devices(host, server_id):
            if device.connection_info is not None:
                host.quietly(attach.disconnect_volume, host, device, device.connection_info, True)
            try:
                storage.give_up(host.database, host.cinder, ctx, device)
                attach.delete_block_device(host, device)
            except errors.LiteError as err:
                # The others go all the same.
                failed = failed or err
        if failed is not None:
            raise failed
        servers.bury(host.database, server_id)


def _last_devices(host: ComputeHost, server_id: str) -> list[BlockDevice]:
    """The block devices of a server that is being deleted, which gets no more of them.

    nova-api may be reserving the volume of one at this moment, and write down in the row what Cinder told it. A row
    that went before would leave that reservation to nobody, so nova-api gets as long as for any attach.
    """
    end = time.monotonic() + HAND_OVER_LIMIT
    while True:
        with host.name_locks.hold(server_id, "delete"):
            found = attachments.of_server(host.database, server_id)
        if all(one.is_handed_over for one in found) or time.monotonic() > end:
            return found
        time.sleep(HAND_OVER_PAUSE)


def console_output(host: ComputeHost, server_id: str, length: int | None) -> str:
    """The last `length` lines of the serial console. Raises ServerNotOnHost."""
    return host.virt.console_output(server_id, length)


def _switch(host: ComputeHost, server_id: str, name: str, task: str, operation: Callable[[str], None]) -> None:
    with _wanted(host, server_id, name, task) as server:
        if server is None:
            return
        with _failing(host, server_id, f"{name}_failed"):
            operation(server_id)
        _end(host, server_id, f"{name}d")


@contextlib.contextmanager
def _wanted(host: ComputeHost, server_id: str, purpose: str, *tasks: str) -> Iterator[Server | None]:
    """The server, locked, if one of the tasks is still to be done; else None."""
    with host.working_on(server_id, purpose):
        server = servers.get(host.database, server_id, deleted=True)
        wanted = not server.deleted and server.host == host.name and server.task_state in tasks
        if not wanted:
            LOG.info("%s of instance %s is not wanted any more: its task is %s", purpose, server_id, server.task_state)
        yield server if wanted else None


@contextlib.contextmanager
def _failing(host: ComputeHost, server_id: str, move: str) -> Iterator[None]:
    """Make the named move when the block fails; the error goes on up."""
    try:
        yield
    except BaseException:
        _end(host, server_id, move)
        raise


def _end(host: ComputeHost, server_id: str, move: str, **values: object) -> None:
    power_state = int(host.virt.power_state(server_id))
    if not servers.move(host.database, server_id, move, power_state=power_state, **values):
        LOG.info("instance %s was given another task meanwhile; %s is not noted", server_id, move)


@contextlib.contextmanager
def _connected(
    host: ComputeHost, ctx: context.RequestContext, server: Server
) -> Iterator[tuple[driver.VolumeDisk, ...]]:
    """The server's volumes, connected to this host with fresh connection information.

    When the block fails and the guest does not run, they are disconnected again. When it succeeds, connections that
    are no longer the ones to use (the storage has moved, or this host was changed to another kind) are ended. A row
    that is merely reserved is left to its attach, which waits for the lock.
    """
    disks: list[driver.VolumeDisk] = []
    outdated: list[tuple[BlockDevice, dict[str, Any]]] = []
    with contextlib.ExitStack() as undo:
        for device in attachments.of_server(host.database, server.uuid):
            known = device.connection_info
            if known is None:
                continue
            info = _fresh(host, ctx, device)
            undo.callback(_disconnect_stopped, host, device, info)
            info = attach.connect_volume(host, device, info)
            attachments.save_connection(host.database, device, client.without_secrets(info))
            disks.append(attach.disk_of(device, info))
            if not connection_info.same_connection(known, info):
                outdated.append((device, known))
        yield tuple(disks)
        undo.pop_all()
    for device, known in outdated:
        host.quietly(attach.disconnect_volume, host, device, known, True)


def _disconnect_stopped(host: ComputeHost, device: BlockDevice, info: dict[str, Any]) -> None:
    """After a start that failed; a guest that runs on (its reboot was refused) keeps its volumes."""
    try:
        runs = host.virt.power_state(device.instance_uuid).active
    except errors.LiteError as err:
        LOG.error("volume %s stays connected, as it is not known whether its guest runs: %s", device.volume_id, err)
        return
    if not runs:
        host.quietly(attach.disconnect_volume, host, device, info)


def _fresh(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> dict[str, Any]:
    connector = attach.get_connector(host, device)
    return storage.flow(host, ctx, device).refresh(connector)


def _spec(host: ComputeHost, server: Server, volumes: tuple[driver.VolumeDisk, ...] = ()) -> driver.ServerSpec:
    return driver.ServerSpec(
        uuid=server.uuid,
        instance_name=server.instance_name,
        display_name=server.display_name,
        memory_mb=server.memory_mb,
        vcpus=server.vcpus,
        image=_files(host.images.get(server.image_ref or "")),
        volumes=volumes,
    )


def _files(image: Image) -> driver.ImageFiles:
    return driver.ImageFiles(
        kernel=image.kernel,
        ramdisk=image.ramdisk,
        cmdline=image.cmdline,
        disk=image.disk,
        disk_format=image.disk_format,
    )
