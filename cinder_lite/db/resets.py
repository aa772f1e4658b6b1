"""An administrator's word on a volume's states: the one writer of them that is not a move of `states.VOLUME`.

The bytes and the target are not touched here. An export that nobody needs any more after a reset is found and removed
by the backend's daemon on its timer.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import admin_metadata, models, quotas, volumes
from lite_common import db

ATTACHMENTS = models.volume_attachment


def reset(database: db.Database, volume_id: str, values: Mapping[str, str | None]) -> None:
    """Write `status`, `attach_status`, `migration_status`, as far as given, in one transaction.

    attach_status `detached` removes every attachment. Raises errors.VolumeNotFound, errors.InvalidVolume for `in-use`
    of a volume that has no attachment.
    """

    # A size or a type that the volume was on its way to counts for the project's usage until it is given up here.
    pending = volumes.PENDING_NOTHING if "status" in values else {}

    def work(conn: sa.Connection) -> None:
        project = str(volumes.get(conn, volume_id).project_id)
        quotas.lock(conn, project)
        key = {"id": volume_id, "deleted": False}
        if not db.compare_and_swap(conn, volumes.TABLE, key, {}, {**pending, **values}):
            raise errors.VolumeNotFound(volume_id=volume_id)
        quotas.recount(conn, project)
        live = sa.and_(ATTACHMENTS.c.volume_id == volume_id, ATTACHMENTS.c.deleted.is_(False))
        if values.get("attach_status") == states.DETACHED:
            now = db.utcnow()
            gone = {"deleted": True, "deleted_at": now, "detach_time": now, "attach_status": states.DETACHED}
            conn.execute(ATTACHMENTS.update().where(live).values(gone))
            admin_metadata.drop(conn, volume_id, [admin_metadata.ATTACHED_MODE])
        if values.get("status") == states.IN_USE:
            attached = conn.execute(sa.select(ATTACHMENTS.c.id).where(live).limit(1)).first()
            if attached is None:
                raise errors.InvalidVolume(
                    reason=f"Volume {volume_id} has no attachment, so its status cannot be reset to in-use."
                )

    database.run(work)
