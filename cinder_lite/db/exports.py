"""What the daemon that owns a backend must know of a volume before it exports it or takes the export away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cinder_lite import errors, states
from cinder_lite.db import admin_metadata, volumes
from cinder_lite.db import attachments as attachment_rows

# Whoever has one of these holds, or is about to hold, the disk; a mere reservation needs no export.
USING = frozenset({states.ATTACHED, states.ATTACHING, states.DETACHING})


@dataclass(frozen=True)
class Exported:
    """A volume with its live attachments, oldest first; `read_only` when nobody may write to it."""

    volume: volumes.Volume
    attachments: tuple[attachment_rows.Attachment, ...]
    read_only: bool = False

    def attachment(self, attachment_id: str) -> attachment_rows.Attachment | None:
        """The attachment of that id, if it is still there."""
        return next((one for one in self.attachments if one.id == attachment_id), None)

    def users(self, *, without: str | None = None) -> list[attachment_rows.Attachment]:
        """The attachments that need the export, not counting `without`.

        One that has a connector needs it (it is connected), and so does one of the older flow, which never has a
        connector; a reservation does not.
        """
        return [
            one
            for one in self.attachments
            if one.id != without and (one.connector is not None or one.attach_status in USING)
        ]


def find(conn: sa.Connection, volume_id: str) -> Exported:
    """The volume and its attachments in one statement. Raises errors.VolumeNotFound."""
    for found in _read(conn.execute(_ONE, {"volume": volume_id})):
        return found
    raise errors.VolumeNotFound(volume_id=volume_id)


def on_backend(conn: sa.Connection, backend: str) -> list[Exported]:
    """All volumes of the backend `host@name` with their attachments, in one statement."""
    return list(_read(conn.execute(_ALL.where(volumes.belongs(backend)))))


def of_volumes(conn: sa.Connection, volume_ids: Collection[str]) -> list[Exported]:
    """Those of the volumes that exist, with their attachments; one statement for each five hundred."""
    ids = sorted(volume_ids)
    found: list[Exported] = []
    for begin in range(0, len(ids), 500):
        found += _read(conn.execute(_ALL.where(volumes.TABLE.c.id.in_(ids[begin : begin + 500]))))
    return found


def _read(result: Iterable[Sequence[Any]]) -> Iterable[Exported]:
    found: dict[str, tuple[volumes.Volume, list[attachment_rows.Attachment], bool]] = {}
    for row in result:
        _, mine, _ = found.setdefault(row[0], (volumes.Volume(*row[:WIDTH]), [], bool(row[-1])))
        if row[WIDTH] is not None:
            mine.append(attachment_rows.record(row[WIDTH:]))
    return [Exported(volume, tuple(mine), read_only) for volume, mine, read_only in found.values()]


# On the path of every attach: made once, because making a statement of 42 columns costs as much as running it.
WIDTH = len(volumes.COLUMNS)
_LIVE = sa.and_(attachment_rows.TABLE.c.volume_id == volumes.TABLE.c.id, attachment_rows.TABLE.c.deleted.is_(False))
_ALL = (
    sa.select(
        *volumes.COLUMNS, *attachment_rows.COLUMNS, admin_metadata.noted(admin_metadata.READONLY, admin_metadata.TRUE)
    )
    .select_from(volumes.WITH_TYPE.outerjoin(attachment_rows.TABLE, _LIVE))
    .where(volumes.TABLE.c.deleted.is_(False))
    .order_by(volumes.TABLE.c.id, attachment_rows.TABLE.c.created_at, attachment_rows.TABLE.c.id)
)
_ONE = _ALL.where(volumes.TABLE.c.id == sa.bindparam("volume"))
