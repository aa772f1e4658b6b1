"""The first of the three flows that make a volume: `volume_create_api`, run inside the request.

ExtractVolumeRequest -> QuotaReserve -> EntryCreate -> QuotaCommit -> VolumeCast. When a step fails those before it
are undone in reverse, so that a refused request leaves no row and no usage. The scheduler's flow comes next.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import taskflow.engines
from taskflow import exceptions as taskflow_errors
from taskflow import task
from taskflow.patterns import linear_flow

from cinder_lite import errors, quota
from cinder_lite.db import services, types, volumes
from cinder_lite.volume import api, default_types, sources
from cinder_lite.volume.requests import CreateRequest, Defaults, check_size
from lite_common import context, db, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Spec:
    """The request made definite. The id is chosen before the row is made, so that undoing always knows it."""

    volume_id: str
    size: int
    volume_type: types.VolumeType
    availability_zone: str
    source: sources.Source | None = None


class ExtractVolumeRequestTask(task.Task):
    """Checks the request and fills in what it left open."""

    default_provides = "spec"

    def __init__(self, database: db.Database, defaults: Defaults) -> None:
        super().__init__()
        self._db = database
        self._defaults = defaults

    def execute(self, ctx: context.RequestContext, request: CreateRequest) -> Spec:
        """The definite request. Raises errors of the Invalid and NotFound families."""
        with self._db.connection() as conn:
            source = sources.find(conn, request, api.visible_project(ctx))
            size = check_size(source.size if source and request.size is None else request.size)
            found = self._type(conn, ctx, request.volume_type, source)
            asked = request.availability_zone
            if source is not None:
                sources.check_size(source, size)
                sources.check_type(conn, source, found)
                asked = sources.check_zone(source, asked)
            zone = self._zone(conn, asked, found.zones)
        _check_type_limits(found, size)
        return Spec(str(uuid.uuid4()), size, found, zone, source)

    def _type(
        self, conn: Any, ctx: context.RequestContext, asked: str | None, source: sources.Source | None
    ) -> types.VolumeType:
        """The type asked for, else the source's, else the default."""
        of_source = types.find(conn, source.volume_type_id) if source and asked is None else None
        return of_source or default_types.resolve(conn, ctx, asked, self._defaults.volume_type)

    def _zone(self, conn: Any, asked: str | None, of_type: Sequence[str]) -> str:
        default = self._defaults.availability_zone
        if asked is None and of_type and default not in of_type:
            asked = of_type[0]
        if asked is not None and of_type and asked not in of_type:
            raise errors.InvalidInput(
                reason=f"Volume type allows the availability zones {', '.join(of_type)}, not {asked}."
            )
        if asked is None or asked == default:
            return default
        known = services.zones(services.listed(conn, binary="cinder-volume"))
        if asked in known:
            return asked
        if self._defaults.zone_fallback:
            LOG.warning("zone %s does not exist; the volume goes to %s", asked, self._defaults.availability_zone)
            return self._defaults.availability_zone
        raise errors.InvalidAvailabilityZone(az=asked, known=", ".join(sorted(known)) or "none")


class QuotaReserveTask(task.Task):
    """Sets the volume aside from the project's quota."""

    default_provides = "reservations"

    def __init__(self, quotas: quota.QuotaEngine) -> None:
        super().__init__()
        self._quotas = quotas

    def execute(self, ctx: context.RequestContext, spec: Spec) -> list[str]:
        """The reservations. Raises errors of the TooLarge family."""
        with trace.step("reserve_quota", volume=spec.volume_id):
            return self._quotas.reserve(str(ctx.project_id), spec.size, spec.volume_type.name)

    def revert(self, ctx: context.RequestContext, result: Any, **kwargs: Any) -> None:
        """Give back what was set aside."""
        if isinstance(result, list):
            self._quotas.settle(str(ctx.project_id), result)


class EntryCreateTask(task.Task):
    """Adds the volume's row, in state creating."""

    default_provides = "entry"

    def __init__(self, database: db.Database) -> None:
        super().__init__()
        self._db = database

    def execute(self, ctx: context.RequestContext, request: CreateRequest, spec: Spec) -> dict[str, Any]:
        """The columns of the row."""
        entry: dict[str, Any] = {
            "id": spec.volume_id,
            "user_id": ctx.user_id,
            "project_id": ctx.project_id,
            "size": spec.size,
            "display_name": request.name,
            "display_description": request.description,
            "availability_zone": spec.availability_zone,
            "volume_type_id": spec.volume_type.id,
            "multiattach": spec.volume_type.multiattach,
            "snapshot_id": request.snapshot_id,
            "source_volid": request.source_volid,
            "bootable": bool(spec.source and spec.source.bootable),
        }
        with trace.step("create_entry", volume=spec.volume_id):
            created_at = self._db.run(lambda conn: volumes.insert(conn, entry, request.metadata))
        return entry | {"created_at": created_at}

    def revert(self, spec: Spec, **kwargs: Any) -> None:
        """Take the row away again, if it came to be, and its volume out of the project's usage."""
        volumes.destroy(self._db, spec.volume_id)


class QuotaCommitTask(task.Task):
    """Ends the reservations: from here on the row itself counts, until it is destroyed."""

    def __init__(self, quotas: quota.QuotaEngine) -> None:
        super().__init__()
        self._quotas = quotas

    def execute(self, ctx: context.RequestContext, reservations: list[str], entry: dict[str, Any]) -> None:
        """Settle; needs the entry, so that there is no moment at which neither counts."""
        with trace.step("settle_quota", volume=entry["id"]):
            self._quotas.settle(str(ctx.project_id), reservations)


class VolumeCastTask(task.Task):
    """Hands the volume to the scheduler.

    When the bus does not take the message nobody has heard of the volume, so its row goes, too, and the caller is
    told to try again; Cinder leaves it in `error` for the user to delete.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def execute(self, ctx: context.RequestContext, request: CreateRequest, spec: Spec, entry: dict[str, Any]) -> None:
        """Cast. Raises errors.Unavailable when the bus is down."""
        names = ("size", "user_id", "project_id", "display_name", "availability_zone", "volume_type_id", "multiattach")
        request_spec = {
            "volume_id": entry["id"],
            "volume_properties": {name: entry[name] for name in names} | {"metadata": dict(request.metadata)},
            "volume_type": {
                "id": spec.volume_type.id,
                "name": spec.volume_type.name,
                "extra_specs": dict(spec.volume_type.extra_specs),
            },
            "availability_zones": [spec.availability_zone],
            "snapshot_id": request.snapshot_id,
            "source_volid": request.source_volid,
            "resource_backend": spec.source.host if spec.source else None,
        }
        hints = {"scheduler_hints": dict(request.scheduler_hints)}
        with trace.step("cast_create_volume", volume=entry["id"]):
            self._scheduler.create_volume(ctx, entry["id"], request_spec, hints)


def run(
    ctx: context.RequestContext,
    request: CreateRequest,
    *,
    database: db.Database,
    quotas: quota.QuotaEngine,
    scheduler: Scheduler,
    defaults: Defaults,
) -> tuple[dict[str, Any], Spec]:
    """The new row's columns and the definite request. Raises what the failing task raised, after the undoing."""
    flow = linear_flow.Flow("volume_create_api").add(
        ExtractVolumeRequestTask(database, defaults),
        QuotaReserveTask(quotas),
        EntryCreateTask(database),
        QuotaCommitTask(quotas),
        VolumeCastTask(scheduler),
    )
    engine = taskflow.engines.load(flow, engine="serial", store={"ctx": ctx, "request": request})
    try:
        engine.run()
    except taskflow_errors.WrappedFailure as failures:
        # The undoing failed as well (the database went away): tell the first cause.
        raise next(
            (one.exception for one in failures if isinstance(one.exception, common_errors.LiteError)), failures
        ) from failures
    return engine.storage.fetch("entry"), engine.storage.fetch("spec")


def _check_type_limits(volume_type: types.VolumeType, size: int) -> None:
    smallest, largest = (volume_type.extra_specs.get(f"provisioning:{end}_vol_size") for end in ("min", "max"))
    if smallest and smallest.isdecimal() and size < int(smallest):
        raise errors.InvalidInput(
            reason=f"Specified volume size of '{size}' GB is less than the minimum required '{smallest}' GB "
            f"for volume type {volume_type.name}"
        )
    if largest and largest.isdecimal() and size > int(largest):
        raise errors.InvalidInput(
            reason=f"Specified volume size of '{size}' GB is greater than the maximum allowed '{largest}' GB "
            f"for volume type {volume_type.name}"
        )
