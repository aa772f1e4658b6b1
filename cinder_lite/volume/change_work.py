"""Give a volume the size or the type that its row says it is on its way to.

A volume that a guest has grows under the guest; the compute service is told afterwards, so that host and guest look
again. A guest that cannot be told sees the size at its next start.
"""

from __future__ import annotations

import logging

from cinder_lite import errors, states
from cinder_lite.db import changes, types
from cinder_lite.db import exports as rows
from cinder_lite.volume import messages
from cinder_lite.volume.backend import Backend, volume_name
from lite_common import context, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


@trace.operation("extend", "extended", about="volume", volume="volume_id")
def extend_volume(backend: Backend, ctx: context.RequestContext, volume_id: str) -> None:
    """Extend a volume in state `extending`; one that is gone, or in another state, is left alone.

    A part that it needs is down: it stays `extending` and is tried again by `recovery`. Any other failure:
    `error_extending`, with the size it had.
    """
    with backend.work_on(ctx, volume_id, "extend_volume"), trace.step("extend_volume", volume=volume_id):
        found, wanted = _pending(backend, volume_id)
        if found is None or found.volume.status != states.EXTENDING or wanted.new_size is None:
            LOG.warning("volume %s is not to be extended (any more); it is left alone", volume_id)
            return
        try:
            backend.driver.extend_volume(volume_name(volume_id), wanted.new_size)
        except common_errors.Unavailable:
            raise
        except common_errors.LiteError:
            changes.finish(backend.database, "extend_failed", volume_id)
            backend.messages.tell(ctx, volume_id, messages.EXTEND_VOLUME, messages.DRIVER_FAILED_EXTEND)
            raise
        _show_to_hosts(backend, volume_id)
        changes.finish(backend.database, "extended", volume_id, size=wanted.new_size)
        with backend.database.connection() as conn:
            found = rows.find(conn, volume_id)
    _tell_servers(backend, ctx, found)


@trace.operation("retype", "retyped", about="volume", volume="volume_id")
def retype(backend: Backend, ctx: context.RequestContext, volume_id: str) -> None:
    """Give a volume in state `retyping` its new type; one that is gone, or in another state, is left alone.

    Nothing is moved: the scheduler found that the volume's backend offers what the type demands.
    """
    with backend.work_on(ctx, volume_id, "retype"), trace.step("retype", volume=volume_id):
        found, wanted = _pending(backend, volume_id)
        if found is None or found.volume.status != states.RETYPING or wanted.new_type_id is None:
            LOG.warning("volume %s is not to be retyped (any more); it is left alone", volume_id)
            return
        try:
            with backend.database.connection() as conn:
                new = types.get(conn, wanted.new_type_id)
        except errors.VolumeTypeNotFound:
            changes.finish(backend.database, "retype_refused", volume_id)
            raise
        changes.finish(backend.database, "retyped", volume_id, volume_type_id=new.id, multiattach=new.multiattach)


def _pending(backend: Backend, volume_id: str) -> tuple[rows.Exported | None, changes.Pending]:
    with backend.database.connection() as conn:
        wanted = changes.pending(conn, volume_id)
        try:
            return rows.find(conn, volume_id), wanted
        except errors.VolumeNotFound:
            return None, wanted


def show_again(backend: Backend) -> None:
    """Timer: show the size of volumes whose targets could not do that before because somebody was logged in."""
    for volume_id in list(backend.ungrown):
        if not backend.locks.held(volume_id):
            with backend.locks.hold(volume_id, "extend_target"):
                backend.ungrown.discard(volume_id)
                _show_to_hosts(backend, volume_id, is_first=False)


def _show_to_hosts(backend: Backend, volume_id: str, *, is_first: bool = True) -> None:
    """Best effort: the bytes are there, and whoever connects anew sees them."""
    name = volume_name(volume_id)
    try:
        if name in backend.target.exported():
            backend.target.extend_target(name, backend.driver.local_path(name))
    except errors.VolumeIsBusy as err:
        backend.ungrown.add(volume_id)
        if is_first:
            LOG.warning("the new size of volume %s is shown once it is not in use: %s", volume_id, err.message)
    except common_errors.LiteError as err:
        LOG.warning("hosts do not see the new size of volume %s until they connect anew: %s", volume_id, err.message)


def _tell_servers(backend: Backend, ctx: context.RequestContext, found: rows.Exported) -> None:
    if backend.compute is None:
        return
    # The event is this service's own, whoever asked for the size; the story keeps its id.
    own = context.admin_context(overwrite=False, global_request_id=ctx.global_request_id or ctx.request_id)
    servers = {one.instance_uuid for one in found.attachments if one.attach_status == states.ATTACHED}
    for server_id in sorted(server for server in servers if server):
        try:
            with trace.step("tell_volume_extended", volume=found.volume.id, server=server_id):
                backend.compute.volume_extended(own, server_id, found.volume.id)
        except common_errors.LiteError as err:
            LOG.warning("server %s was not told that volume %s grew: %s", server_id, found.volume.id, err.message)
