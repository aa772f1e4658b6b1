"""os-extend and os-retype, cinder-api's half: check, take the volume, hand over to the scheduler.

The volume's row holds what is wanted before anybody is told, and quotas count it from then on.
"""

from __future__ import annotations

from typing import Any, Protocol

from cinder_lite import errors, quota, states
from cinder_lite.db import changes, quotas, types, volumes
from cinder_lite.volume import api, requests
from cinder_lite.volume.attachments import require_host
from lite_common import context, db, trace
from lite_common import errors as common_errors


class Scheduler(Protocol):
    """The part of the scheduler's RPC client that is used here."""

    def extend_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        """Have the volume extended, if its backend has room."""

    def retype(self, ctx: context.RequestContext, volume_id: str, migration_policy: str) -> None:
        """Have the volume retyped, if its backend offers what the new type demands."""


class ChangeApi:
    """Changes of size and type of volumes that the caller may see."""

    def __init__(self, database: db.Database, quotas_: quota.QuotaEngine, scheduler: Scheduler) -> None:
        self._db = database
        self._quotas = quotas_
        self._scheduler = scheduler

    @trace.operation("extend", "extended", about="volume", last=False, volume="volume_id")
    def extend(self, ctx: context.RequestContext, volume_id: str, new_size: int | str, *, attached: bool) -> None:
        """Begin to extend the volume to `new_size` GiB, with `attached` an attached one too.

        Raises errors.InvalidInput for a size that is not larger, errors.InvalidVolume in another state, errors of the
        TooLarge family, errors.Unavailable when the bus is down (the volume is as it was then).
        """
        size = requests.check_size(new_size)
        project = api.visible_project(ctx)

        def work(conn: Any) -> None:
            volume = volumes.get(conn, volume_id, project)
            require_host(volume_id, volume.host, volume.status)
            _check_growth(volume, size)
            growth = size - volume.size
            deltas = {quota.GIGABYTES: growth, f"{quota.GIGABYTES}_{volume.volume_type}": growth}
            owner = str(volume.project_id)
            self._quotas.admit(conn, owner, deltas if volume.use_quota else {}, volume_size=size)
            if not changes.begin_extending(conn, volume_id, size, attached=attached):
                now = volumes.get(conn, volume_id)
                _check_growth(now, size)
                wanted = "available or in-use" if attached else "available"
                raise errors.InvalidVolume(
                    reason=f"Volume {volume_id} status must be {wanted} to extend, currently {now.status}."
                )
            quotas.recount(conn, owner)

        with trace.step("os_extend", volume=volume_id):
            self._db.run(work)
            try:
                self._scheduler.extend_volume(ctx, volume_id)
            except common_errors.Unavailable:
                changes.finish(self._db, "extend_refused", volume_id)
                raise

    def complete_extension(self, ctx: context.RequestContext, volume_id: str) -> None:
        """End an extension that Nova has carried out; no backend here leaves that to Nova, so none is waited for.

        Raises errors.InvalidVolume, always.
        """
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, api.visible_project(ctx))
        if volume.status != states.EXTENDING:
            raise errors.InvalidVolume(
                reason=f"Volume {volume_id} status must be extending to complete an extension, "
                f"but current status is: {volume.status}."
            )
        raise errors.InvalidVolume(
            reason=f"Volume {volume_id} is extended by its backend, which has not asked for a completion."
        )

    @trace.operation("retype", "retyped", about="volume", last=False, volume="volume_id")
    def retype(self, ctx: context.RequestContext, volume_id: str, new_type: str, migration_policy: str) -> None:
        """Begin to give the volume another type, by id or name.

        Raises errors.InvalidInput for a type that is unknown or the same, or of another kind than the volume's state
        allows; errors.InvalidVolume in another state; errors of the TooLarge family; errors.Unavailable.
        """
        project = api.visible_project(ctx)

        def work(conn: Any) -> None:
            volume = volumes.get(conn, volume_id, project)
            require_host(volume_id, volume.host, volume.status)
            new = types.find(conn, new_type)
            if new is None:
                raise errors.InvalidInput(reason=f"Invalid volume_type passed: {new_type}.")
            if new.id == volume.volume_type_id:
                raise errors.InvalidInput(reason=f"New volume_type same as original: {new_type}.")
            if new.multiattach != volume.multiattach and volume.status != states.AVAILABLE:
                raise errors.InvalidInput(
                    reason="Changing the multiattach capability of a volume requires that it is available, but volume "
                    f"{volume_id} is {volume.status}."
                )
            owner = str(volume.project_id)
            deltas = {f"{quota.VOLUMES}_{new.name}": 1, f"{quota.GIGABYTES}_{new.name}": volume.size}
            self._quotas.admit(conn, owner, deltas if volume.use_quota else {})
            if not changes.begin_retyping(conn, volume, new.id):
                raise errors.InvalidVolume(
                    reason=f"Volume {volume_id} status must be available or in-use and it must not be migrating to be "
                    f"retyped, currently {volumes.get(conn, volume_id).status}."
                )
            quotas.recount(conn, owner)

        with trace.step("os_retype", volume=volume_id):
            self._db.run(work)
            try:
                self._scheduler.retype(ctx, volume_id, migration_policy)
            except common_errors.Unavailable:
                changes.finish(self._db, "retype_refused", volume_id)
                raise


def _check_growth(volume: volumes.Volume, size: int) -> None:
    if size <= volume.size:
        raise errors.InvalidInput(
            reason=f"New size for extend must be greater than current size. (current: {volume.size}, extended: {size})."
        )
