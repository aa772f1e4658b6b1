"""What owners and administrators set on a volume by hand: bootable, read-only, its states; and the forced detach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder_lite import errors, states
from cinder_lite.db import admin_metadata, attachments, resets, volumes
from cinder_lite.volume import api, legacy, protection
from cinder_lite.volume.attachments import require_host
from lite_common import context, db, trace

_ATTACH_STATES = (states.ATTACHED, states.DETACHED)


class VolumeAdminApi:
    """The actions on volumes that the caller may see."""

    def __init__(self, database: db.Database, daemon: legacy.VolumeDaemon, compute: protection.Compute) -> None:
        self._db = database
        self._daemon = daemon
        self._compute = compute

    def set_bootable(self, ctx: context.RequestContext, volume_id: str, bootable: bool) -> None:
        """Say whether servers may boot from the volume. Raises errors.InvalidVolume under maintenance."""
        project = api.visible_project(ctx)

        def work(conn: Any) -> None:
            if volumes.get(conn, volume_id, project).status == states.MAINTENANCE:
                raise errors.InvalidVolume(reason=f"Volume {volume_id} is under maintenance and cannot be changed now.")
            volumes.update(conn, volume_id, project, bootable=bootable)

        self._db.run(work)

    def set_readonly(self, ctx: context.RequestContext, volume_id: str, readonly: bool) -> None:
        """Say whether the volume may be read only from now on. Raises errors.InvalidVolume unless it is available."""
        project = api.visible_project(ctx)
        if admin_metadata.set_readonly(self._db, volume_id, project, readonly):
            return
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, project)
        raise errors.InvalidVolume(
            reason=f"Volume {volume_id} status must be available to update readonly flag, "
            f"but current status is: {volume.status}."
        )

    def reset_status(self, volume_id: str, asked: Mapping[str, str | None]) -> None:
        """Write the states that are given; see db.resets.

        Raises errors.InvalidInput for a state that nobody may set, errors.VolumeNotFound, errors.InvalidVolume.
        """
        values = {name: value.lower() for name, value in asked.items() if value is not None}
        if not values:
            raise errors.InvalidInput(reason="Must specify 'status', 'attach_status' or 'migration_status' for update.")
        for name, valid in (
            ("status", states.RESETTABLE),
            ("attach_status", _ATTACH_STATES),
            ("migration_status", states.RESETTABLE_MIGRATION),
        ):
            if name in values and values[name] not in valid:
                raise errors.InvalidInput(
                    reason=f"Cannot reset-state to {name} '{asked[name]!s:.100}'. Valid are {', '.join(sorted(valid))}."
                )
        idle = {"migration_status": None} if values.get("migration_status") == "none" else {}
        resets.reset(self._db, volume_id, {**values, **idle})

    def force_detach(
        self, ctx: context.RequestContext, volume_id: str, attachment_id: str | None, connector: dict[str, Any] | None
    ) -> None:
        """Take the attachment (the only one, unless named) away, whatever the volume's status.

        Without a connector, that of the attachment is used, so that its host's access goes with it. Raises
        errors.NovaUsesAttachment, errors.SeveralAttachments, errors.InvalidInput, and errors.VolumeIsBusy while an
        initiator is still logged in.
        """
        with self._db.connection() as conn:
            volume = volumes.get(conn, volume_id, api.visible_project(ctx))
            found = attachments.of_volume(conn, volume_id)
        protection.check_detach_any(ctx, self._compute, volume_id, found, attachment_id)
        if attachment_id is None and len(found) > 1:
            raise errors.SeveralAttachments(volume_id=volume_id)
        host = require_host(volume_id, volume.host, volume.status)
        chosen = next((one for one in found if attachment_id in (None, one.id)), None)
        if connector is None and chosen is not None:
            connector = chosen.connector
        with trace.step("os_detach", volume=volume_id, attachment=attachment_id):
            self._daemon.terminate_connection(ctx, host, volume_id, connector)
            self._daemon.detach_volume(ctx, host, volume_id, chosen.id if chosen else None)
