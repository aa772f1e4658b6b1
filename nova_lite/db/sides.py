"""What the compute service's database says of attachments: its side of what `nlite doctor` compares.

Block devices with the server they belong to, in one statement a page.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from lite_common import db
from nova_lite.db.attachments import BlockDevice
from nova_lite.db.models import block_device_mapping as table
from nova_lite.db.models import instances


@dataclass(frozen=True, slots=True)
class RowSide:
    """A living block device of a volume, and of its server what tells whether the disk should be plugged in now."""

    device: BlockDevice
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None
    project_id: str
    host: str | None
    server_name: str | None
    vm_state: str
    task_state: str | None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose server it is or was; `deleted` for one that is gone."""

    project_id: str
    host: str | None
    deleted: bool


_DEVICE = tuple(table.c[name] for name in BlockDevice.__dataclass_fields__)
_SERVER = (
    instances.c.project_id,
    instances.c.host,
    instances.c.display_name,
    instances.c.vm_state,
    instances.c.task_state,
)
_ALL = (
    sa.select(*_DEVICE, table.c.created_at, table.c.updated_at, *_SERVER)
    .select_from(table.join(instances, instances.c.uuid == table.c.instance_uuid))
    .where(table.c.deleted == 0, instances.c.deleted == 0, table.c.volume_id.is_not(None))
    .order_by(table.c.id)
)


def page(
    database: db.Database,
    *,
    project_id: str | None = None,
    host: str | None = None,
    server_id: str | None = None,
    volume_id: str | None = None,
    marker: str | None = None,
    limit: int | None = None,
) -> list[RowSide]:
    """Block devices, oldest first, as far as the conditions go; those after the row `marker`, at most `limit`."""
    wanted = _ALL
    for column, value in (
        (instances.c.project_id, project_id),
        (instances.c.host, host),
        (table.c.instance_uuid, server_id),
        (table.c.volume_id, volume_id),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if marker is not None:
        after = sa.select(table.c.id).where(table.c.uuid == marker).scalar_subquery()
        wanted = wanted.where(table.c.id > after)
    if limit is not None:
        wanted = wanted.limit(limit)
    with database.connection() as conn:
        return [_record(row) for row in conn.execute(wanted)]


def owners(database: db.Database, server_ids: Collection[str]) -> dict[str, Owner]:
    """Of these servers, living or gone, those that ever were."""
    if not server_ids:
        return {}
    wanted = sa.select(instances.c.uuid, instances.c.project_id, instances.c.host, instances.c.deleted)
    with database.connection() as conn:
        rows = conn.execute(wanted.where(instances.c.uuid.in_(list(server_ids))))
        return {row[0]: Owner(row[1], row[2], bool(row[3])) for row in rows}


def last_released(database: db.Database, volume_id: str, server_id: str | None = None) -> BlockDevice | None:
    """The last block device of the volume (in that server) that was connected and is released by now."""
    wanted = sa.select(*_DEVICE).where(
        table.c.volume_id == volume_id, table.c.deleted != 0, table.c.connection_info.is_not(None)
    )
    if server_id is not None:
        wanted = wanted.where(table.c.instance_uuid == server_id)
    with database.connection() as conn:
        row = conn.execute(wanted.order_by(table.c.id.desc()).limit(1)).first()
    return _device(row) if row else None


def _record(row: Sequence[Any]) -> RowSide:
    width = len(_DEVICE)
    return RowSide(_device(row[:width]), *row[width:])


def _device(row: Sequence[Any]) -> BlockDevice:
    *plain, info = row
    return BlockDevice(*(*plain, orjson.loads(info) if info else None))
