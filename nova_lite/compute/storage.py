"""The two ways in which Cinder is told of an attachment, behind one face; the block device's row says which it is.

A row with an attachment id belongs to the attachments API, one without to the volume actions. Each step has the name
under which it is traced.
"""

from __future__ import annotations

import abc
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from lite_common import context, db, errors, trace
from nova_lite import errors as nova_errors
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments
from nova_lite.db.attachments import BlockDevice
from nova_lite.volume.client import CinderClient

LOG = logging.getLogger(__name__)

# Errors after which the same may be tried again: somebody is down, or busy. All others are an answer.
UNHEARD = (errors.Unavailable, errors.BackendError, errors.Conflict, errors.Unauthorized)
PATIENCE_PAUSE = 0.5


class Flow(abc.ABC):
    """One attachment's half of the conversation with Cinder, for nova-compute.

    `prepare` and `finish` put what undoes them on the caller's stack; undoing never raises LiteErrors. From the first
    thing on that Cinder cannot be told, the undoing waits in `ComputeHost.unfinished`: a later one must not let the
    volume go before an earlier one is done.
    """

    def __init__(self, host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
        self._host = host
        self._cinder = host.cinder
        self._ctx = ctx
        self._device = device
        self._ids = {"server": device.instance_uuid, "volume": device.volume_id}

    def _undo(self, step: Callable[..., object], *args: object) -> None:
        if self._device.uuid in self._host.unfinished:
            return
        try:
            step(*args)
        except UNHEARD as err:
            self._host.unfinished[self._device.uuid] = self._device
            LOG.error("%s failed and will be tried again: %s", step.__name__, err.message)
        except errors.LiteError as err:
            LOG.error("%s failed and is left: %s", step.__name__, err.message)

    def _patiently(self, request: Callable[..., Any], *args: object) -> Any:
        """The answer to a request that may be sent twice, also from a cinder-api that is just being started anew.

        One that is silent is not asked again: it has had its time already.
        """
        end = time.monotonic() + self._host.patience
        while True:
            try:
                return request(self._ctx, *args)
            except nova_errors.CinderUnavailable as err:
                silent = isinstance(err.__cause__, errors.Timeout)
                if silent or time.monotonic() + PATIENCE_PAUSE > end:
                    raise
                LOG.warning("%s is tried again: %s", request.__name__, err.message)
            time.sleep(PATIENCE_PAUSE)

    @abc.abstractmethod
    def reserved(self, undo: contextlib.ExitStack) -> None:
        """Put on the stack what gives up the reservation that nova-api made."""

    @abc.abstractmethod
    def prepare(self, connector: Mapping[str, Any], undo: contextlib.ExitStack) -> dict[str, Any]:
        """Have the volume exported to this host; its connection information."""

    @abc.abstractmethod
    def finish(self, connection_info: Mapping[str, Any]) -> None:
        """Tell that the guest has the disk."""

    @abc.abstractmethod
    def refresh(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        """Connection information as it is now, for a volume that is attached already."""

    @abc.abstractmethod
    def end(self, connector: Mapping[str, Any], attachment_id: str | None) -> None:
        """Take the export back and end the attachment, after the disk has left guest and host."""


class AttachmentsFlow(Flow):
    """The attachments API: the connection is updated, completed and deleted under the attachment's id."""

    def reserved(self, undo: contextlib.ExitStack) -> None:
        """See Flow."""
        undo.callback(self._undo, self.end, {}, None)

    def prepare(self, connector: Mapping[str, Any], undo: contextlib.ExitStack) -> dict[str, Any]:
        """See Flow."""
        with trace.step("update_attachment", **self._ids):
            info: dict[str, Any] = self._patiently(self._cinder.update_attachment, self._attachment_id, connector)
            return info

    def finish(self, connection_info: Mapping[str, Any]) -> None:
        """See Flow."""
        with trace.step("complete_attachment", **self._ids):
            self._patiently(self._cinder.complete_attachment, self._attachment_id)

    def refresh(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        """See Flow."""
        return self._cinder.get_connection(self._ctx, self._attachment_id)

    def end(self, connector: Mapping[str, Any], attachment_id: str | None) -> None:
        """See Flow."""
        with trace.step("delete_attachment", **self._ids):
            self._cinder.delete_attachment(self._ctx, self._attachment_id)

    @property
    def _attachment_id(self) -> str:
        return self._device.attachment_id or ""


class ActionsFlow(Flow):
    """The volume actions: the connection is made and ended under the volume's id and this host's connector."""

    def __init__(self, host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> None:
        super().__init__(host, ctx, device)
        self._told = False

    def reserved(self, undo: contextlib.ExitStack) -> None:
        """See Flow."""
        undo.callback(self._undo, self._cinder.unreserve_volume, self._ctx, self._device.volume_id)

    def prepare(self, connector: Mapping[str, Any], undo: contextlib.ExitStack) -> dict[str, Any]:
        """See Flow. A connection that failed half-way is terminated too."""
        undo.callback(self._untell)
        undo.callback(self._undo, self._terminate, connector)
        with trace.step("initialize_connection", **self._ids):
            volume_id = self._device.volume_id
            info: dict[str, Any] = self._patiently(self._cinder.initialize_connection, volume_id, connector)
            return info

    def finish(self, connection_info: Mapping[str, Any]) -> None:
        """See Flow."""
        # Also an os-attach that failed may have been done.
        self._told = True
        mode = connection_info.get("data", {}).get("access_mode") or "rw"
        with trace.step("attach_in_cinder", **self._ids):
            name = self._device.device_name or ""
            self._patiently(
                self._cinder.attach_in_cinder, self._device.volume_id, self._device.instance_uuid, name, mode
            )

    def refresh(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        """See Flow."""
        return self._cinder.initialize_connection(self._ctx, self._device.volume_id, connector)

    def end(self, connector: Mapping[str, Any], attachment_id: str | None) -> None:
        """See Flow."""
        self._terminate(connector)
        with trace.step("detach_in_cinder", **self._ids):
            self._cinder.detach_in_cinder(self._ctx, self._device.volume_id, attachment_id)

    def _terminate(self, connector: Mapping[str, Any]) -> None:
        with trace.step("terminate_connection", **self._ids):
            self._cinder.terminate_connection(self._ctx, self._device.volume_id, connector)

    def _untell(self) -> None:
        if self._told:
            self._undo(self._cinder.detach_in_cinder, self._ctx, self._device.volume_id, None)


def flow(host: ComputeHost, ctx: context.RequestContext, device: BlockDevice) -> Flow:
    """The way in which this block device was begun."""
    return (AttachmentsFlow if device.attachment_id else ActionsFlow)(host, ctx, device)


def end_reservation(
    database: db.Database, cinder: CinderClient, ctx: context.RequestContext, device: BlockDevice
) -> None:
    """Give back what Cinder may have reserved for a block device that was never connected. Raises as the client."""
    if device.attachment_id is not None:
        cinder.delete_attachment(ctx, device.attachment_id)
        return
    # Also a reservation of the attachments API, if nova-api died before it could write down its id.
    cinder.discard_attachments(ctx, device.volume_id, device.instance_uuid)
    # The volume actions do not say whose reservation they end: it may be that of another server's attach.
    if attachments.servers_with(database, device.volume_id) == [device.instance_uuid]:
        cinder.unreserve_volume(ctx, device.volume_id)


def give_up(database: db.Database, cinder: CinderClient, ctx: context.RequestContext, device: BlockDevice) -> None:
    """End a block device's attachment while its server is deleted: what Cinder refuses for good is logged and left.

    Cinder being down, failing or busy (the volume's target is still in use) is an error, so that the caller can come
    back for the rest: a row must not go before its attachment has. The volume is deleted too where it was asked to go
    with its server.
    """
    if device.attachment_id:
        _insistent(cinder.delete_attachment, ctx, device.attachment_id)
    elif device.connection_info is None:
        _insistent(end_reservation, database, cinder, ctx, device)
    else:
        _insistent(cinder.terminate_connection, ctx, device.volume_id, device.connection_info.get("connector"))
        _insistent(cinder.detach_in_cinder, ctx, device.volume_id, None)
    if device.delete_on_termination:
        _insistent(cinder.delete_volume, ctx, device.volume_id)


def _insistent(request: Any, *args: Any) -> None:
    try:
        request(*args)
    except UNHEARD:
        raise
    except errors.LiteError as err:
        LOG.warning("%s was refused and is left: %s", request.__name__, err.message)
