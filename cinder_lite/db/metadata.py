"""The user's key-value pairs of a volume."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from cinder_lite.db import models, pairs

PAIRS = pairs.Pairs(models.volume_metadata, "volume_id")
TABLE = PAIRS.table

get = PAIRS.get
of_many = PAIRS.of_many
write = PAIRS.write
drop = PAIRS.drop


def shown_of_many(conn: sa.Connection, volume_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """As of_many, with what the services noted of the volumes (`readonly`, `attached_mode`), as volumes are shown."""
    found: dict[str, dict[str, str]] = {}
    if not volume_ids:
        return found
    notes = models.volume_admin_metadata
    parts = [
        sa.select(sa.literal(origin).label("origin"), table.c.id, table.c.volume_id, table.c.key, table.c.value).where(
            table.c.volume_id.in_(volume_ids), table.c.deleted.is_(False)
        )
        for origin, table in enumerate((TABLE, notes))
    ]
    both = sa.union_all(*parts)
    for _, _, volume_id, key, value in conn.execute(both.order_by("origin", "id")):
        found.setdefault(volume_id, {})[key] = value
    return found
