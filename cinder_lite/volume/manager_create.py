"""The last of the three flows that make a volume: `volume_create_manager`, run by the chosen backend.

ExtractVolumeRef -> OnFailureReschedule -> ExtractVolumeSpec -> CreateVolumeFromSpec -> CreateVolumeOnFinish. When a
step fails those before it are undone in reverse: what the driver made goes away, and the volume goes back to the
scheduler for another backend or, when attempts are used up, to `error`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskflow import task
from taskflow.patterns import linear_flow

from cinder_lite import errors, flows, states
from cinder_lite.db import placement, volumes
from cinder_lite.volume import messages
from cinder_lite.volume.backend import Backend, Scheduler, snapshot_name, volume_name
from lite_common import context, db, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What the undoing did: `rescheduled` keeps the volume from going to `error`."""

    rescheduled: bool = False


class ExtractVolumeRefTask(task.Task):
    """Reads the volume; at the end of an undoing that found no other backend, moves it to `error`."""

    default_provides = "volume"

    def __init__(self, backend: Backend, ctx: context.RequestContext, outcome: Outcome) -> None:
        super().__init__()
        self._backend = backend
        self._ctx = ctx
        self._outcome = outcome

    def execute(self, volume_id: str) -> volumes.Volume:
        """The row. Raises errors.VolumeNotFound."""
        with self._backend.database.connection() as conn:
            return volumes.get(conn, volume_id)

    def revert(self, result: Any, flow_failures: Mapping[str, Any], **kwargs: Any) -> None:
        """Move the volume to `error`, and say why to its user, unless it was given back."""
        if not isinstance(result, volumes.Volume) or self._outcome.rescheduled:
            return
        with self._backend.database.connection() as conn:
            failed = volumes.move(conn, "create_failed", result.id)
        if failed:
            cause = next((failure.exception for failure in flow_failures.values()), None)
            detail = messages.detail_of(cause, messages.DRIVER_FAILED_CREATE)
            self._backend.messages.tell(self._ctx, result.id, messages.CREATE_VOLUME_FROM_BACKEND, detail)


class OnFailureRescheduleTask(task.Task):
    """Does nothing on the way in; on the way back gives the volume to the scheduler once more."""

    def __init__(self, backend: Backend, scheduler: Scheduler, ctx: context.RequestContext, outcome: Outcome) -> None:
        super().__init__()
        self._backend = backend
        self._scheduler = scheduler
        self._ctx = ctx
        self._outcome = outcome

    def execute(self, volume: volumes.Volume) -> None:
        """Nothing to do yet."""

    def revert(
        self,
        volume: volumes.Volume,
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
        flow_failures: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        """Give the volume back, with the cause, if the scheduler allows further tries; it counts them."""
        retry = filter_properties.get("retry")
        if not retry or not request_spec:
            return
        causes = [failure.exception_str for failure in flow_failures.values()]
        again = filter_properties | {"retry": retry | {"exc": [*retry.get("exc", []), *causes]}}
        if not placement.give_back(self._backend.database, volume.id, str(volume.host)):
            return
        self._outcome.rescheduled = True
        try:
            self._scheduler.create_volume(self._ctx, volume.id, request_spec, again)
        except common_errors.Unavailable as err:
            # The scheduler looks for volumes without a backend by itself, so the message is not needed for long.
            LOG.warning("volume %s waits for the scheduler to find it: %s", volume.id, err.message)
        LOG.warning("volume %s could not be made on %s; another backend is tried", volume.id, self._backend.name)


class ExtractVolumeSpecTask(task.Task):
    """Decides how the volume is made."""

    default_provides = "volume_spec"

    def execute(self, volume: volumes.Volume) -> dict[str, Any]:
        """Kind, name and size; `raw` is an empty volume, `snap` and `source_vol` have a source's id and name."""
        spec: dict[str, Any] = {"type": "raw", "name": volume_name(volume.id), "size": volume.size}
        if volume.snapshot_id is not None:
            spec |= {"type": "snap", "source_id": volume.snapshot_id, "source": snapshot_name(volume.snapshot_id)}
        elif volume.source_volid is not None:
            spec |= {"type": "source_vol", "source_id": volume.source_volid, "source": volume_name(volume.source_volid)}
        return spec


class CreateVolumeFromSpecTask(task.Task):
    """Has the driver make it."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend

    def execute(self, volume: volumes.Volume, volume_spec: dict[str, Any]) -> None:
        """Ensure the volume. Raises what the driver raises, and errors.DriverNotInitialized."""
        self._backend.require_ready()
        with trace.step("create_volume_from_spec", volume=volume.id):
            self._make(volume_spec)

    def _make(self, spec: dict[str, Any]) -> None:
        driver, name, size = self._backend.driver, spec["name"], spec["size"]
        if spec["type"] == "raw":
            driver.create_volume(name, size)
            return
        copy = driver.create_volume_from_snapshot if spec["type"] == "snap" else driver.create_cloned_volume
        copy(name, size, spec["source"])

    def revert(self, volume: volumes.Volume, volume_spec: dict[str, Any], **kwargs: Any) -> None:
        """Take away what there is of it."""
        if not self._backend.ready.is_set():
            return
        try:
            self._backend.driver.delete_volume(volume_spec["name"])
        except common_errors.LiteError as err:
            LOG.warning("what was made of volume %s is left on %s: %s", volume.id, self._backend.name, err.message)


class CreateVolumeOnFinishTask(task.Task):
    """Makes the volume available."""

    def __init__(self, database: db.Database) -> None:
        super().__init__()
        self._db = database

    def execute(self, volume: volumes.Volume) -> None:
        """creating -> available. Raises errors.InvalidVolume when it is not creating any more."""
        with self._db.connection() as conn:
            done = volumes.move(conn, "created", volume.id, launched_at=db.utcnow(), shared_targets=False)
        if not done:
            raise errors.InvalidVolume(reason=f"volume {volume.id} left the state creating while it was made")


@trace.operation("create", "available", about="volume", volume="volume_id")
def create_volume(
    backend: Backend,
    scheduler: Scheduler,
    ctx: context.RequestContext,
    volume_id: str,
    request_spec: dict[str, Any],
    filter_properties: dict[str, Any],
) -> None:
    """Make a volume in state creating and move it to `available`; any other is left alone.

    Raises what the driver raised, after the undoing, unless another backend is tried.
    """
    outcome = Outcome()
    flow = linear_flow.Flow("volume_create_manager").add(
        ExtractVolumeRefTask(backend, ctx, outcome),
        OnFailureRescheduleTask(backend, scheduler, ctx, outcome),
        ExtractVolumeSpecTask(),
        CreateVolumeFromSpecTask(backend),
        CreateVolumeOnFinishTask(backend.database),
    )
    store = {"volume_id": volume_id, "request_spec": request_spec, "filter_properties": filter_properties}
    with backend.locks.hold(volume_id, "create_volume"):
        volume = _wanted(backend, volume_id)
        if volume is None:
            LOG.info("volume %s is no longer to be made on %s", volume_id, backend.name)
            return
        with _source_held(backend, volume), trace.step("volume_create_manager", volume=volume_id):
            try:
                flows.run(flow, store)
            except common_errors.LiteError:
                if not outcome.rescheduled:
                    raise


@contextlib.contextmanager
def _source_held(backend: Backend, volume: volumes.Volume) -> Iterator[None]:
    """Keep what the volume is made from as it is. A source that stays busy (with another copy) is an errors.Conflict:
    the volume stays `creating`, and `recovery` takes it up again.

    The new volume's lock is held already; a source's is always taken after it, and nobody waits the other way.
    """
    source = volume.snapshot_id or volume.source_volid
    with backend.locks.hold(source, f"copying to {volume.id}") if source else contextlib.nullcontext():
        yield


def _wanted(backend: Backend, volume_id: str) -> volumes.Volume | None:
    """The volume, if it is still to be made here: a message may come twice, or late, and the row knows."""
    try:
        with backend.database.connection() as conn:
            volume = volumes.get(conn, volume_id)
    except errors.VolumeNotFound:
        return None
    here = volume.host is not None and volume.host.startswith(f"{backend.name}#")
    return volume if here and volume.status == states.CREATING else None
