"""A volume that is to get another size or type: what it is on its way to stands in its row until it is there.

So no message holds anything that cannot be done again, and quotas count the new size and type from the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cinder_lite import states
from cinder_lite.db import models, quotas, volumes
from lite_common import db

TABLE = models.volumes


@dataclass(frozen=True)
class Pending:
    """What a volume is on its way to: a size in GiB, or a type's id."""

    new_size: int | None
    new_type_id: str | None


def pending(conn: sa.Connection, volume_id: str) -> Pending:
    """The change that is under way; nothing of it for a volume that is gone."""
    statement = sa.select(TABLE.c.extend_new_size, TABLE.c.retype_type_id).where(*volumes.visible(volume_id, None))
    row = conn.execute(statement).first()
    return Pending(*row) if row else Pending(None, None)


def begin_extending(conn: sa.Connection, volume_id: str, new_size: int, *, attached: bool) -> bool:
    """Move the volume to `extending`, with `attached` an attached one too; False when its state or size (already as
    large) rules it out."""
    smaller = TABLE.c.size < new_size
    moves = {"begin_extending": states.AVAILABLE} | ({"begin_extending_attached": states.IN_USE} if attached else {})
    return any(
        volumes.move(conn, name, volume_id, smaller, previous_status=before, extend_new_size=new_size)
        for name, before in moves.items()
    )


def begin_retyping(conn: sa.Connection, volume: volumes.Volume, new_type_id: str) -> bool:
    """Move the volume to `retyping`; False when its state or its type is no longer that of `volume`."""
    same = sa.and_(TABLE.c.status == volume.status, TABLE.c.volume_type_id == volume.volume_type_id)
    return volumes.move(
        conn, "begin_retyping", volume.id, same, previous_status=volume.status, retype_type_id=new_type_id
    )


def finish(database: db.Database, move: str, volume_id: str, **values: Any) -> bool:
    """Make the move that ends a change, write `values` (the new size or type) with it and count the usage anew, in
    one transaction; False when the change is not under way any more.

    Where the move leads to `available` the volume goes to what its attachments say.
    """

    def work(conn: sa.Connection) -> bool:
        volume = volumes.get(conn, volume_id)
        quotas.lock(conn, str(volume.project_id))
        status = states.VOLUME[move].values["status"]
        after = _by_attachments() if status == states.AVAILABLE else status
        if not volumes.move(conn, move, volume_id, **{**values, "status": after}):
            return False
        if "volume_type_id" in values:
            # A snapshot counts for its volume's type.
            mine = sa.and_(models.snapshots.c.volume_id == volume_id, models.snapshots.c.deleted.is_(False))
            conn.execute(models.snapshots.update().where(mine).values(volume_type_id=values["volume_type_id"]))
        quotas.recount(conn, str(volume.project_id))
        return True

    return database.run(work)


def _by_attachments() -> sa.ColumnElement[Any]:
    """The status of a volume at rest, by its attach_status."""
    resting = {states.ATTACHED: states.IN_USE, states.DETACHED: states.AVAILABLE}
    return sa.case(resting, value=TABLE.c.attach_status, else_=TABLE.c.attach_status)
