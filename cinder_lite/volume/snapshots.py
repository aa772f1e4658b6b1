"""What cinder-api does with snapshots: create, read, change, delete. Called by the REST controllers only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cinder_lite import errors, quota, states
from cinder_lite.db import paging, quotas, snapshot_lists, snapshots, volumes
from cinder_lite.volume import api
from lite_common import context, db, trace
from lite_common import errors as common_errors


class Scheduler(Protocol):
    """The part of the scheduler's RPC client that is used here."""

    def create_snapshot(self, ctx: context.RequestContext, snapshot_id: str) -> None:
        """Have the snapshot made, if its volume's backend has room."""


class VolumeDaemon(Protocol):
    """The part of the volume daemon's RPC client that is used here."""

    def delete_snapshot(self, ctx: context.RequestContext, host: str, snapshot_id: str) -> None:
        """Hand the deletion to the backend's daemon."""


@dataclass(frozen=True)
class CreateRequest:
    """What the user asked for; `attached` allows a volume that is in use."""

    volume_id: str
    attached: bool
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class SnapshotApi:
    """Operations on snapshots of any project that the caller may see."""

    def __init__(
        self, database: db.Database, quotas_: quota.QuotaEngine, scheduler: Scheduler, daemon: VolumeDaemon
    ) -> None:
        self._db = database
        self._quotas = quotas_
        self._scheduler = scheduler
        self._daemon = daemon

    @trace.operation("create", "available", about="snapshot", last=False)
    def create(self, ctx: context.RequestContext, request: CreateRequest) -> snapshot_lists.Shown:
        """Begin to make a snapshot; it is `creating` and becomes `available` or `error`.

        Raises errors.VolumeNotFound, errors.InvalidVolume, errors of the TooLarge family, errors.Unavailable when the
        bus is down; nothing is left then.
        """
        project = api.visible_project(ctx)
        owner = str(ctx.project_id)
        snapshot_id = str(uuid.uuid4())

        def work(conn: Any) -> snapshot_lists.Shown:
            volume = volumes.get(conn, request.volume_id, project)
            names = (quota.SNAPSHOTS, quota.GIGABYTES)
            amounts = {quota.SNAPSHOTS: 1, quota.GIGABYTES: volume.size}
            self._quotas.admit(conn, owner, amounts | {f"{name}_{volume.volume_type}": amounts[name] for name in names})
            volume = snapshots.lock_volume(conn, request.volume_id, project)
            _check_source(volume, request.attached)
            row = {
                "id": snapshot_id,
                "volume_id": volume.id,
                "user_id": ctx.user_id,
                "project_id": ctx.project_id,
                "volume_size": volume.size,
                "volume_type_id": volume.volume_type_id,
                "display_name": request.name,
                "display_description": request.description,
            }
            snapshots.insert(conn, row, request.metadata)
            quotas.recount(conn, owner)
            return snapshot_lists.one(conn, snapshot_id, None)

        with trace.step("snapshot_create_api", volume=request.volume_id, snapshot=snapshot_id):
            shown = self._db.run(work)
            try:
                self._scheduler.create_snapshot(ctx, snapshot_id)
            except common_errors.Unavailable:
                snapshots.destroy(self._db, snapshot_id)
                raise
        return shown

    def show(self, ctx: context.RequestContext, snapshot_id: str) -> snapshot_lists.Shown:
        """One snapshot. Raises errors.SnapshotNotFound."""
        with self._db.connection() as conn:
            return snapshot_lists.one(conn, snapshot_id, api.visible_project(ctx))

    def page(self, filters: snapshot_lists.Filters, wanted: paging.Page) -> snapshot_lists.Shown:
        """A page of snapshots."""
        with self._db.connection() as conn:
            return snapshot_lists.page(conn, filters, wanted)

    def count(self, filters: snapshot_lists.Filters) -> int:
        """How many snapshots the filters let through."""
        with self._db.connection() as conn:
            return snapshot_lists.count(conn, filters)

    def update(self, ctx: context.RequestContext, snapshot_id: str, columns: Mapping[str, Any]) -> snapshot_lists.Shown:
        """Change name and description; the snapshot afterwards."""
        with self._db.connection() as conn:
            snapshots.get(conn, snapshot_id, api.visible_project(ctx))
            snapshots.update(conn, snapshot_id, **columns)
            return snapshot_lists.one(conn, snapshot_id, None)

    @trace.operation("delete", "deleted", about="snapshot", last=False, snapshot="snapshot_id")
    def delete(self, ctx: context.RequestContext, snapshot_id: str, *, force: bool = False) -> None:
        """Begin to delete a snapshot, with `force` in whatever state it is.

        Raises errors.SnapshotNotFound, errors.InvalidSnapshot in a state that forbids it, errors.Unavailable when the
        backend's daemon cannot be told (the snapshot is as it was then).
        """
        with trace.step("snapshot_delete_api", snapshot=snapshot_id):
            with self._db.connection() as conn:
                found = snapshots.get(conn, snapshot_id, api.visible_project(ctx))
                if not snapshots.move(conn, "force_deleting" if force else "begin_deleting", snapshot_id):
                    found = snapshots.get(conn, snapshot_id)
                    raise errors.InvalidSnapshot(
                        reason=f"Snapshot status must be {' or '.join(sorted(states.DELETABLE_SNAPSHOT))} to be "
                        f"deleted, but snapshot {snapshot_id} is {found.status}."
                    )
            try:
                self._daemon.delete_snapshot(ctx, str(found.host), snapshot_id)
            except common_errors.Unavailable:
                with self._db.connection() as conn:
                    snapshots.move(conn, "delete_refused", snapshot_id, status=found.status)
                raise

    def reset(self, ctx: context.RequestContext, snapshot_id: str, status: str) -> None:
        """Set the status, for administrators. Raises errors.SnapshotNotFound."""
        with self._db.connection() as conn:
            snapshots.get(conn, snapshot_id, api.visible_project(ctx))
            snapshots.move(conn, "reset", snapshot_id, status=status)

    def tell(self, ctx: context.RequestContext, snapshot_id: str, status: str, progress: str | None) -> None:
        """Record what whoever makes or deletes the snapshot tells of it. Raises errors.SnapshotNotFound,
        errors.InvalidSnapshot in a state from which that status cannot come."""
        with self._db.connection() as conn:
            snapshots.get(conn, snapshot_id, api.visible_project(ctx))
            values = {"status": status} | ({"progress": progress} if progress else {})
            moves = [name for name, statuses in states.TOLD.items() if status in statuses]
            if not any(snapshots.move(conn, name, snapshot_id, **values) for name in moves):
                now = snapshots.get(conn, snapshot_id).status
                raise errors.InvalidSnapshot(
                    reason=f"Provided snapshot status {status} not allowed for snapshot {snapshot_id} with "
                    f"status {now}."
                )

    def write_metadata(
        self, ctx: context.RequestContext, snapshot_id: str, pairs: Mapping[str, str], *, replace: bool
    ) -> dict[str, str]:
        """Merge `pairs` into the metadata, or replace it; the whole set afterwards."""

        def work(conn: Any) -> dict[str, str]:
            snapshots.get(conn, snapshot_id, api.visible_project(ctx))
            snapshots.update(conn, snapshot_id)
            return snapshots.METADATA.write(conn, snapshot_id, pairs, replace=replace)

        return self._db.run(work)

    def drop_metadata(self, ctx: context.RequestContext, snapshot_id: str, key: str) -> None:
        """Remove one key. Raises errors.SnapshotMetadataKeyNotFound."""
        with self._db.connection() as conn:
            snapshots.get(conn, snapshot_id, api.visible_project(ctx))
            if not snapshots.METADATA.drop(conn, snapshot_id, [key]):
                raise errors.SnapshotMetadataKeyNotFound(snapshot_id=snapshot_id, key=key)


def _check_source(volume: volumes.Volume, attached: bool) -> None:
    """Raises errors.InvalidVolume for a volume of which no snapshot can be made now."""
    if volume.host is None:
        raise errors.InvalidVolume(reason=f"The snapshot cannot be created: volume {volume.id} has no backend.")
    if volume.migration_status not in states.IDLE_MIGRATION:
        raise errors.InvalidVolume(reason=f"Snapshot cannot be created while volume {volume.id} is migrating.")
    allowed = (states.AVAILABLE, states.IN_USE) if attached else (states.AVAILABLE,)
    if volume.status not in allowed:
        hint = " Use force for a volume that is in use." if volume.status == states.IN_USE else ""
        raise errors.InvalidVolume(
            reason=f"Volume {volume.id} status must be {' or '.join(allowed)}, but current status is: "
            f"{volume.status}.{hint}"
        )
