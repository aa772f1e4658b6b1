"""The scheduler's parts in one record, and the queue of requests that came before any backend had reported.

A request that waits holds no thread: the reports it waits for arrive through the same pool of threads.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cinder_lite.db import messages as rows
from cinder_lite.db import placement, quotas, services
from cinder_lite.scheduler import filters
from cinder_lite.scheduler.host_state import HostStates, Member
from cinder_lite.volume import messages
from lite_common import context, db, errors

LOG = logging.getLogger(__name__)

VOLUME_BINARY = "cinder-volume"
# A message that was taken is acted on at once; a volume without a backend for so many seconds was forgotten.
LOST_AFTER = 20.0
# While requests wait for a first report, all backends are asked for one so often (seconds): a fanout that nobody was
# there to hear is lost, and so is its answer.
ASK_INTERVAL = 5.0


class VolumeDaemon(Protocol):
    """The part of the volume daemon's RPC client that is used here."""

    def create_volume(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_id: str,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
    ) -> None:
        """Have the volume made there."""

    def create_snapshot(self, ctx: context.RequestContext, host: str, snapshot_id: str) -> None:
        """Have the snapshot made there."""

    def extend_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        """Have the volume extended there."""

    def retype(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        """Have the volume get its new type there."""

    def publish_service_capabilities(self, ctx: context.RequestContext) -> None:
        """Ask all backends for a report."""


@dataclass(frozen=True)
class Options:
    """The options of the same names; `filters` in the order in which they are asked."""

    filters: Sequence[filters.Filter]
    max_attempts: int = 3
    capacity_weight_multiplier: float = 1.0
    service_down_time: float = 60.0
    init_wait_time: float = 60.0
    message_ttl: float = messages.LIFETIME


@dataclass
class Scheduler:
    """What every operation of the scheduler takes as its first argument."""

    database: db.Database
    volume: VolumeDaemon
    states: HostStates
    options: Options

    @property
    def messages(self) -> messages.Messages:
        """How users are told of what failed."""
        return messages.Messages(self.database, self.options.message_ttl)

    def known_pools(self) -> list[dict[str, Any]]:
        """The pools of those backends as they were last reported, as {"name", "capabilities"}."""
        hosts = {member.host for member in self.members()}
        return [pool for pool in self.states.snapshot() if pool["name"].partition("#")[0] in hosts]

    def members(self) -> list[Member]:
        """The backends that are enabled and alive."""
        with self.database.connection() as conn:
            found = services.listed(conn, binary=VOLUME_BINARY)
        return [
            Member(one.host, one.availability_zone)
            for one in found
            if not one.disabled and one.is_up(self.options.service_down_time)
        ]


Work = Callable[[], None]


@dataclass
class Waiting:
    """Requests held until a backend has reported, or until `wait` seconds after the start; one for each thing."""

    states: HostStates
    wait: float
    _since: float = field(default_factory=time.monotonic)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _held: dict[str, Work] = field(default_factory=dict)
    _asked: float = field(default_factory=time.monotonic)

    def submit(self, thing: str, work: Work) -> None:
        """Run `work` on the thing of that id now, or keep it when it is too early to judge."""
        with self._guard:
            if not self._is_open():
                self._held.setdefault(thing, work)
                LOG.info("no backend has reported yet; %d requests wait", len(self._held))
                return
        work()

    def should_ask(self) -> bool:
        """Whether it is time to ask the backends for their reports once more; the time begins anew then."""
        with self._guard:
            due = bool(self._held) and time.monotonic() - self._asked >= ASK_INTERVAL
            if not due or self.states.has_reports():
                return False
            self._asked = time.monotonic()
            return True

    def release(self) -> None:
        """Run what was kept, if the time has come. An error of one request stops no other."""
        with self._guard:
            if not self._is_open():
                return
            held, self._held = self._held, {}
        for work in held.values():
            try:
                work()
            except errors.LiteError as err:
                LOG.error("a request that had waited failed: %s", err.message)

    def _is_open(self) -> bool:
        return self.states.has_reports() or time.monotonic() - self._since >= self.wait


def lost(scheduler: Scheduler, untouched_for: float = LOST_AFTER) -> list[str]:
    """The ids of volumes whose request was lost before a backend was found."""
    with scheduler.database.connection() as conn:
        return [volume.id for volume in placement.waiting(conn, untouched_for)]


def settle_reservations(database: db.Database) -> None:
    """End the quota reservations of requests that died between reserving and making what they reserved for."""
    with database.connection() as conn:
        found = quotas.overdue(conn)
    for project, uuids in found.items():
        LOG.warning("%d quota reservations of project %s were never settled", len(uuids), project)
        database.run(functools.partial(quotas.settle, project_id=project, uuids=uuids))


def prune_messages(database: db.Database) -> None:
    """Remove the user messages whose time is up."""
    with database.connection() as conn:
        number = rows.prune(conn)
    if number:
        LOG.info("removed %d user messages whose time was up", number)


def chosen_filters(names: Sequence[str]) -> list[filters.Filter]:
    """The filters of those names, after the two that always hold.

    Raises errors.Invalid, naming the option, for a name that is unknown.
    """
    unknown = [name for name in names if name not in filters.FILTERS]
    if unknown:
        raise errors.Invalid(
            f"scheduler_default_filters names {', '.join(unknown)}; known are {', '.join(filters.FILTERS)}."
        )
    return [filters.not_tried, filters.has_source, *(filters.FILTERS[name] for name in names)]
