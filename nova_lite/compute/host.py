"""What the operations of one nova-compute share: its name, the parts it works with, its locks and limits."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lite_common import db, errors, locks
from nova_lite.db import faults
from nova_lite.db.actions import Action
from nova_lite.db.attachments import BlockDevice
from nova_lite.images import ImageStore
from nova_lite.virt.driver import VirtDriver
from nova_lite.volume.client import CinderClient
from nova_lite.volume.connector import Connector

LOG = logging.getLogger(__name__)


@dataclass
class OpenActions:
    """Instance actions that nobody has told the end of, by number; up to `seen` all were read."""

    seen: int | None = None
    by_number: dict[int, Action] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputeHost:
    """One nova-compute.

    `server_locks`: one operation at a time on a server (attach, detach, power, delete); it is held while Cinder is
    asked, and each of those requests has a time limit. `name_locks`: choosing device names, which must not wait for
    a detach that a guest drags out; the unique key of the rows is the guard against everything else.
    `unfinished`: block devices, by uuid, that no guest has any more and of whose end Cinder could not be told; their
    rows stay until `recovery.tick` has told it. `unsettled`: block devices, by uuid, of which it is not known whether
    row, guest and Cinder agree; `recovery.tick` compares them. A restart finds both by their rows and the states of
    their volumes. `open_actions` is what `left_actions` knows.
    `shutdown_timeout` and `patience` (how long a cinder-api that cannot be reached is asked again before an attach is
    undone) are in seconds; `max_disks` -1 means no limit.
    """

    name: str
    database: db.Database
    cinder: CinderClient
    virt: VirtDriver
    connector: Connector
    images: ImageStore
    max_disks: int = -1
    shutdown_timeout: float = 60.0
    patience: float = 0.0
    server_locks: locks.NamedLocks = field(default_factory=lambda: locks.NamedLocks("instance"))
    name_locks: locks.NamedLocks = field(default_factory=lambda: locks.NamedLocks("device names of instance"))
    unfinished: dict[str, BlockDevice] = field(default_factory=dict)
    unsettled: dict[str, BlockDevice] = field(default_factory=dict)
    open_actions: OpenActions = field(default_factory=OpenActions)

    @contextlib.contextmanager
    def working_on(self, server_id: str, purpose: str) -> Iterator[None]:
        """Hold the server's lock; what fails meanwhile becomes a fault of the server and goes on up."""
        with self.recording_faults(server_id), self.server_locks.hold(server_id, purpose):
            yield

    @contextlib.contextmanager
    def recording_faults(self, server_id: str) -> Iterator[None]:
        """Keep what fails in the block as a fault of the server; the error goes on up."""
        try:
            yield
        except Exception as err:  # outermost frame of an operation
            self._record(server_id, err)
            raise

    def quietly(self, undo: Callable[..., object], *args: object) -> bool:
        """Undo or release something where a failure must not stop the rest; True when it worked. It is logged."""
        try:
            undo(*args)
        except errors.LiteError as err:
            LOG.error("%s failed and is left: %s", getattr(undo, "__name__", undo), err.message)
            return False
        return True

    def _record(self, server_id: str, err: Exception) -> None:
        refusal = isinstance(err, errors.LiteError)
        message = err.message if isinstance(err, errors.LiteError) else f"{type(err).__name__}: {err}"
        code = err.code if isinstance(err, errors.LiteError) else 500
        details = message if refusal else "".join(traceback.format_exception(err))
        try:
            faults.add(self.database, server_id, code=code, message=message, details=details, host=self.name)
        except errors.LiteError as also:
            LOG.error("the fault of instance %s could not be stored: %s", server_id, also.message)
