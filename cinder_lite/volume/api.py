"""What cinder-api does with volumes: create, read, change, delete. Called by the REST controllers only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cinder_lite import errors, quota, states
from cinder_lite.db import metadata, paging, services, snapshots, volume_lists, volumes
from cinder_lite.volume import requests
from lite_common import context, db, trace
from lite_common import errors as common_errors

if TYPE_CHECKING:
    from cinder_lite.volume import create


class VolumeDaemon(Protocol):
    """The part of the volume daemon's RPC client that is used here."""

    def delete_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        """Hand the deletion to the backend's daemon."""


def visible_project(ctx: context.RequestContext) -> str | None:
    """The project whose things the caller sees; None (all) for an admin.

    A service acts for its user here: its token proves who asks, it does not widen what the user may see.
    """
    return None if ctx.is_admin else str(ctx.project_id)


class VolumeApi:
    """Operations on volumes of any project that the caller may see."""

    def __init__(
        self,
        database: db.Database,
        quotas: quota.QuotaEngine,
        scheduler: create.Scheduler,
        daemon: VolumeDaemon,
        defaults: requests.Defaults,
    ) -> None:
        self._db = database
        self._quotas = quotas
        self._scheduler = scheduler
        self._daemon = daemon
        self._defaults = defaults

    def create(self, ctx: context.RequestContext, request: requests.CreateRequest) -> volume_lists.Shown:
        """Begin to make a volume; it is `creating` and becomes `available` or `error`.

        Raises errors of the Invalid, NotFound, TooLarge and Unavailable families; nothing is left then.
        """
        # taskflow brings networkx along; a daemon that makes no volumes does not pay for it.
        from cinder_lite.volume import create

        with trace.step("volume_create_api"):
            entry, spec = create.run(
                ctx,
                request,
                database=self._db,
                quotas=self._quotas,
                scheduler=self._scheduler,
                defaults=self._defaults,
            )
        row = dict.fromkeys(volume_lists.SHOWN) | {
            "status": states.CREATING,
            "bootable": False,
            "use_quota": True,
            "shared_targets": False,
            "volume_type": spec.volume_type.name,
            **entry,
        }
        return volume_lists.Shown([row], {}, {entry["id"]: dict(request.metadata)})

    def show(self, ctx: context.RequestContext, volume_id: str) -> volume_lists.Shown:
        """One volume. Raises errors.VolumeNotFound."""
        with self._db.connection() as conn:
            return volume_lists.one(conn, volume_id, visible_project(ctx))

    def page(self, filters: volume_lists.Filters, wanted: paging.Page, *, detail: bool) -> volume_lists.Shown:
        """A page of volumes, with all that a detailed answer shows or with ids and names alone."""
        with self._db.connection() as conn:
            if detail:
                return volume_lists.page(conn, filters, wanted)
            return volume_lists.Shown(volume_lists.names(conn, filters, wanted), {}, {})

    def count(self, filters: volume_lists.Filters) -> tuple[int, int]:
        """How many volumes the filters let through, and their GiB together."""
        with self._db.connection() as conn:
            return volume_lists.count(conn, filters)

    def distinct_metadata(self, filters: volume_lists.Filters) -> dict[str, list[str]]:
        """All values of each key of the metadata of the volumes that the filters let through."""
        with self._db.connection() as conn:
            return volume_lists.distinct_metadata(conn, filters)

    def update(
        self, ctx: context.RequestContext, volume_id: str, columns: Mapping[str, Any], pairs: Mapping[str, str] | None
    ) -> volume_lists.Shown:
        """Change name and description and, where given, replace the metadata; the volume afterwards."""
        project = visible_project(ctx)

        def work(conn: Any) -> None:
            _refuse_maintenance(volumes.get(conn, volume_id, project))
            volumes.update(conn, volume_id, **columns)
            if pairs is not None:
                metadata.write(conn, volume_id, pairs, replace=True)

        self._db.run(work)
        return self.show(ctx, volume_id)

    @trace.operation("delete", "deleted", about="volume", last=False, volume="volume_id")
    def delete(
        self, ctx: context.RequestContext, volume_id: str, *, cascade: bool = False, force: bool = False
    ) -> None:
        """Begin to delete a volume, with `cascade` its snapshots too, with `force` in any status; one that no backend
        ever had is gone at once.

        Raises errors.VolumeNotFound, errors.InvalidVolume when it is attached, reserved or busy or has snapshots (that
        may not be deleted), errors.Unavailable when the backend's daemon cannot be told (all is as it was then).
        """
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, visible_project(ctx))
        host = volume.host
        if host is None:
            volumes.destroy(self._db, volume_id)
            trace.ends_here()
            return
        with trace.step("volume_delete_api", volume=volume_id):
            begun = snapshots.begin_deleting_volume(self._db, volume_id, cascade=cascade, force=force)
        if not begun:
            with self._db.connection() as conn:
                raise _undeletable(volumes.get(conn, volume_id), snapshots.of_volume(conn, volume_id))
        try:
            with trace.step("cast_delete_volume", volume=volume_id):
                self._daemon.delete_volume(ctx, host, volume_id)
        except common_errors.Unavailable:
            snapshots.undo_deleting_volume(self._db, volume_id, volume.status)
            raise

    def metadata(self, ctx: context.RequestContext, volume_id: str) -> dict[str, str]:
        """The volume's metadata. Raises errors.VolumeNotFound."""
        with self._db.connection() as conn:
            volumes.get(conn, volume_id, visible_project(ctx))
            return metadata.get(conn, volume_id)

    def write_metadata(
        self, ctx: context.RequestContext, volume_id: str, pairs: Mapping[str, str], *, replace: bool
    ) -> dict[str, str]:
        """Merge `pairs` into the metadata, or replace it; the whole set afterwards."""

        def work(conn: Any) -> dict[str, str]:
            _refuse_maintenance(volumes.get(conn, volume_id, visible_project(ctx)))
            volumes.update(conn, volume_id)
            return metadata.write(conn, volume_id, pairs, replace=replace)

        return self._db.run(work)

    def drop_metadata(self, ctx: context.RequestContext, volume_id: str, key: str) -> None:
        """Remove one key. Raises errors.MetadataKeyNotFound."""
        with self._db.connection() as conn:
            _refuse_maintenance(volumes.get(conn, volume_id, visible_project(ctx)))
            if not metadata.drop(conn, volume_id, [key]):
                raise errors.MetadataKeyNotFound(key=key, volume_id=volume_id)

    def zones(self) -> dict[str, bool]:
        """Availability zones, and whether a backend takes volumes there."""
        with self._db.connection() as conn:
            return services.zones(services.listed(conn, binary="cinder-volume"))


def _undeletable(volume: volumes.Volume, found: list[snapshots.Snapshot]) -> errors.InvalidVolume:
    """The refusal that tells what of all that rules a deletion out there is."""
    has = f" and snapshots: {', '.join(f'{one.id} ({one.status})' for one in found[:5])}" if found else ""
    advice = "Delete its snapshots first, or wait." if found else "Detach it first, or wait."
    return errors.InvalidVolume(
        reason="Volume status must be available or error and the volume must not be migrating, attached or have "
        f"snapshots to be deleted, but volume {volume.id} has status {volume.status} and attach_status "
        f"{volume.attach_status}{has}. {advice}"
    )


def _refuse_maintenance(volume: volumes.Volume) -> None:
    if volume.status == states.MAINTENANCE:
        raise errors.InvalidVolume(reason=f"Volume {volume.id} is under maintenance and cannot be changed now.")
