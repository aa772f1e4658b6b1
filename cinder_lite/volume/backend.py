"""One backend of this daemon: its driver, its target, and whether both can work now.

Every operation on a volume goes through `work_on`, which is where the rules common to all stand: the backend is
ready, the volume's lock is held, and somebody still waits for the outcome.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from cinder_lite import errors
from cinder_lite.drivers import base as drivers
from cinder_lite.targets import base as targets
from cinder_lite.volume import messages
from lite_common import context, db, locks
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)

# Shorter than the time a caller waits for an answer, so that the caller learns what the volume is busy with.
LOCK_WAIT = 45.0


class Scheduler(Protocol):
    """The part of the scheduler's RPC client that is used here."""

    def create_volume(
        self,
        ctx: context.RequestContext,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        """Hand the volume to the scheduler."""


class Compute(Protocol):
    """The part of the compute API's client that is used here."""

    def volume_extended(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> None:
        """Tell the server that a volume of its has grown."""

    def attachment_sides(self, ctx: context.RequestContext, volume_id: str) -> dict[str, Any]:
        """What the compute service has of the volume: rows, guests, sessions, and what it could not see."""


@dataclass
class Backend:
    """The backend `name` (host@section) with its parts. All operation modules take it as their first argument.

    `ready` is set while driver and target can work, `trouble` says why they cannot. `generation` is the start of the
    target daemon whose exports were last made complete, `suspects` the exports that nobody needed at the last look,
    `busy_since` when a deletion first found the device of a volume open. `compute` is told of volumes that grew,
    `ungrown` are those (by id) whose target cannot show it while somebody is logged in. `message_lifetime` is the
    option message_ttl.
    """

    name: str
    driver: drivers.VolumeDriver
    target: targets.TargetDriver
    database: db.Database
    availability_zone: str = "nova"
    compute: Compute | None = None
    locks: locks.NamedLocks = field(default_factory=lambda: locks.NamedLocks("volume", timeout=LOCK_WAIT))
    ready: threading.Event = field(default_factory=threading.Event)
    trouble: str = "it has not been set up yet"
    generation: str = ""
    suspects: frozenset[str] = frozenset()
    busy_since: dict[str, float] = field(default_factory=dict)
    ungrown: set[str] = field(default_factory=set)
    message_lifetime: float = messages.LIFETIME

    @property
    def messages(self) -> messages.Messages:
        """How users are told of what failed."""
        return messages.Messages(self.database, self.message_lifetime)

    @property
    def host(self) -> str:
        """What the volumes' host column holds: the name with the pool."""
        return f"{self.name}#{self.driver.pool.name}"

    def require_ready(self) -> None:
        """Return when driver and target are set up. Raises errors.DriverNotInitialized that tells the reason."""
        if not self.ready.is_set():
            raise errors.DriverNotInitialized(backend=self.name, reason=self.trouble)

    @contextlib.contextmanager
    def work_on(self, ctx: context.RequestContext, volume_id: str, purpose: str) -> Iterator[None]:
        """Hold the volume's lock while the block runs: one export operation at a time on each volume.

        Raises errors.DriverNotInitialized, errors.Conflict when the volume stays busy, errors.Timeout when the
        caller gave up while the lock was awaited (nothing was done then).
        """
        self.require_ready()
        with self.locks.hold(volume_id, purpose):
            if ctx.deadline is not None and time.time() > ctx.deadline:
                raise common_errors.Timeout(
                    f"Volume {volume_id} was busy until the caller of {purpose} gave up; nothing was done."
                )
            yield


def volume_name(volume_id: str) -> str:
    """The name under which driver and target know the volume."""
    return f"volume-{volume_id}"


def snapshot_name(snapshot_id: str) -> str:
    """The name under which the driver knows the snapshot."""
    return f"snapshot-{snapshot_id}"
