"""What a volume is made from: where the bytes of a snapshot, or of another volume, are."""

from __future__ import annotations

import sqlalchemy as sa

from cinder_lite.db import snapshots, volumes


def backend(conn: sa.Connection, snapshot_id: str | None, source_volid: str | None) -> str | None:
    """The host column (host@backend#pool) of what a volume is made from; None for an empty volume.

    Raises errors.SnapshotNotFound, errors.VolumeNotFound when it is gone.
    """
    if snapshot_id is not None:
        return snapshots.get(conn, snapshot_id).host
    if source_volid is not None:
        return volumes.get(conn, source_volid).host
    return None
