"""The second of the three flows that make a volume: `volume_create_scheduler`.

ExtractSchedulerSpec -> ScheduleCreateVolume: filter, weigh, write the volume's host, hand over to that backend. No
backend: the volume goes to `error`. A backend that fails sends the volume back here, and another one is tried.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow import task
from taskflow.patterns import linear_flow

from cinder_lite import errors, flows, states
from cinder_lite.db import placement, sources, types, volumes
from cinder_lite.scheduler import filters, weights
from cinder_lite.scheduler.core import Scheduler
from cinder_lite.scheduler.host_state import Pool
from cinder_lite.volume import messages
from lite_common import context, trace
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)


class ExtractSchedulerSpecTask(task.Task):
    """Makes the request definite; one that was lost with its message is rebuilt from the volume's row."""

    default_provides = "spec"

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def execute(self, volume_id: str, request_spec: dict[str, Any]) -> dict[str, Any]:
        """The request spec. Raises errors.VolumeNotFound."""
        if request_spec:
            return request_spec
        with self._scheduler.database.connection() as conn:
            volume = volumes.get(conn, volume_id)
            volume_type = types.get(conn, volume.volume_type_id)
            backend = sources.backend(conn, volume.snapshot_id, volume.source_volid)
        return {
            "volume_id": volume_id,
            "volume_properties": {"size": volume.size, "availability_zone": volume.availability_zone},
            "volume_type": {
                "id": volume_type.id,
                "name": volume_type.name,
                "extra_specs": dict(volume_type.extra_specs),
            },
            "availability_zones": [volume.availability_zone] if volume.availability_zone else [],
            "resource_backend": backend,
        }


class ScheduleCreateVolumeTask(task.Task):
    """Chooses a backend and hands the volume over; without one, moves the volume to `error`."""

    def __init__(self, scheduler: Scheduler, ctx: context.RequestContext) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._ctx = ctx

    def execute(self, volume_id: str, spec: dict[str, Any], filter_properties: dict[str, Any]) -> None:
        """Hand over. Raises errors.NoValidBackend."""
        scheduler = self._scheduler
        retry = _next_retry(filter_properties.get("retry"), scheduler.options.max_attempts)
        request = _request(spec, retry)
        if retry["backends"]:
            scheduler.states.give_back(retry["backends"][-1], volume_id)
        with trace.step("schedule_create_volume", volume=volume_id):
            chosen = _choose(scheduler, request)
            if not placement.place(scheduler.database, volume_id, chosen.name, chosen.availability_zone):
                LOG.info("volume %s no longer waits for a backend", volume_id)
                return
            scheduler.states.consume(chosen.name, volume_id, request.size)
            retry["backends"].append(chosen.host)
            retry["hosts"].append(chosen.name)
            onward = dict(filter_properties)
            if scheduler.options.max_attempts > 1:
                onward["retry"] = retry
            self._hand_over(chosen, volume_id, spec, onward)

    def _hand_over(self, chosen: Pool, volume_id: str, spec: dict[str, Any], filter_properties: dict[str, Any]) -> None:
        try:
            self._scheduler.volume.create_volume(self._ctx, chosen.name, volume_id, spec, filter_properties)
        except common_errors.Unavailable as err:
            # Nobody was told, so the volume goes on waiting; `find_lost` tries again.
            LOG.warning("volume %s waits for the bus: %s", volume_id, err.message)
            placement.give_back(self._scheduler.database, volume_id, chosen.name)
            self._scheduler.states.give_back(chosen.host, volume_id)

    def revert(self, volume_id: str, flow_failures: Mapping[str, Any], **kwargs: Any) -> None:
        """Move the volume to `error`; one that is gone, or that a backend has by now, is not touched."""
        causes = "; ".join(failure.exception_str for failure in flow_failures.values())
        with self._scheduler.database.connection() as conn:
            failed = volumes.move(conn, "create_failed", volume_id, volumes.TABLE.c.host.is_(None))
        if failed:
            LOG.error("volume %s goes to %s: %s", volume_id, states.ERROR, causes)
            detail = messages.detail_of(next((failure.exception for failure in flow_failures.values()), None))
            self._scheduler.messages.tell(self._ctx, volume_id, messages.SCHEDULE_ALLOCATE_VOLUME, detail)


@trace.operation("create", "available", about="volume", last=False, volume="volume_id")
def create_volume(
    scheduler: Scheduler,
    ctx: context.RequestContext,
    volume_id: str,
    request_spec: dict[str, Any],
    filter_properties: dict[str, Any],
) -> None:
    """Give the volume to a backend, or move it to `error` and raise why none took it."""
    flow = linear_flow.Flow("volume_create_scheduler").add(
        ExtractSchedulerSpecTask(scheduler), ScheduleCreateVolumeTask(scheduler, ctx)
    )
    store = {"volume_id": volume_id, "request_spec": request_spec, "filter_properties": filter_properties}
    with trace.step("volume_create_scheduler", volume=volume_id):
        flows.run(flow, store)


def _next_retry(retry: Mapping[str, Any] | None, max_attempts: int) -> dict[str, Any]:
    """The retry data of this attempt. Raises errors.NoValidBackend when attempts are used up."""
    before = retry or {}
    attempts = int(before.get("num_attempts", 0)) + 1
    causes = list(before.get("exc", []))
    if attempts > max_attempts:
        last = causes[-1] if causes else "unknown"
        raise errors.NoValidBackend(
            reason=f"Exceeded max scheduling attempts {max_attempts} for the volume; the last failure: {last}"
        )
    return {
        "num_attempts": attempts,
        "backends": list(before.get("backends", [])),
        "hosts": list(before.get("hosts", [])),
        "exc": causes,
    }


def _request(spec: Mapping[str, Any], retry: Mapping[str, Any]) -> filters.Request:
    return filters.Request(
        size=int(spec["volume_properties"]["size"]),
        extra_specs=(spec.get("volume_type") or {}).get("extra_specs") or {},
        availability_zones=tuple(spec.get("availability_zones") or ()),
        tried=tuple(retry["backends"]),
        pool=spec.get("resource_backend"),
    )


def _choose(scheduler: Scheduler, request: filters.Request) -> Pool:
    """The best pool. Raises errors.NoValidBackend that says of each pool why not."""
    pools = scheduler.states.pools(scheduler.members())
    reasons = []
    able = []
    for pool in pools:
        reason = next((found for one in scheduler.options.filters if (found := one(pool, request))), None)
        if reason is None:
            able.append(pool)
        else:
            reasons.append(f"{pool.name} {reason}")
    if not able:
        why = "; ".join(reasons) or "no enabled backend is alive and has reported (`openstack volume service list`)"
        raise errors.NoValidBackend(reason=f"{why}.")
    return weights.by_capacity(able, request, scheduler.options.capacity_weight_multiplier)[0]
