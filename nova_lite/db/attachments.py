"""Statements on `block_device_mapping`: which volumes a server has, or is getting.

A row is made when the device name is reserved, learns its Cinder attachment from nova-api and its connection
information from nova-compute, and is marked deleted when the volume is gone from the server. Every write names the
living row it means, so work on a row that somebody else released is noticed.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

from lite_common import db
from nova_lite import errors
from nova_lite.db import servers
from nova_lite.db.models import block_device_mapping as table
from nova_lite.db.models import instances


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """One volume of one server. Plain data, so that it can travel over RPC.

    `attachment_id` is None while the row is only a reserved name, and for good where the volume was attached through
    Cinder's volume actions. `connection_info` is None until the host has connected; passwords are never kept in it.
    `deleted` is 0 for a living row.
    """

    id: int
    uuid: str
    instance_uuid: str
    volume_id: str
    attachment_id: str | None
    device_name: str | None
    boot_index: int | None
    tag: str | None
    delete_on_termination: bool
    disk_bus: str | None
    device_type: str | None
    volume_size: int | None
    deleted: int
    connection_info: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def is_handed_over(self) -> bool:
        """Whether nova-api has written down what Cinder's reservation told, which it does last."""
        return self.volume_size is not None or self.attachment_id is not None or self.connection_info is not None


@dataclass(frozen=True, slots=True)
class AttachedVolume:
    """What a server's view says of one of its volumes."""

    volume_id: str
    delete_on_termination: bool


@dataclass(frozen=True, slots=True)
class TakenNames:
    """The device names of a server in brief: the root disk's, how many volumes have one, the last of these in order;
    and where the server is, and what is being done to it."""

    host: str | None
    task_state: str | None
    root: str
    count: int
    last: str | None


_COLUMNS = tuple(table.c[name] for name in BlockDevice.__dataclass_fields__)
_ALIVE = table.c.deleted == 0
_VOLUME = table.c.volume_id.is_not(None)

# Statements of every attach are built once: building one costs more than running it.
_OF_SERVER = table.c.instance_uuid == sa.bindparam("server")
_OF_VOLUME = table.c.volume_id == sa.bindparam("volume")
_HOLDERS = sa.select(table.c.instance_uuid).where(_OF_VOLUME, _ALIVE)
_FIND = sa.select(*_COLUMNS).where(_OF_SERVER, _OF_VOLUME, _ALIVE)
_PAGE = (
    sa.select(*_COLUMNS[:-1])
    .where(_OF_SERVER, _ALIVE, _VOLUME)
    .order_by(table.c.id)
    .limit(sa.bindparam("page_limit", type_=sa.Integer))
    .offset(sa.bindparam("page_offset", type_=sa.Integer))
)
_PAGE_BY_ATTACHMENT = _PAGE.where(table.c.attachment_id.is_not(None))
_RELEASE = (
    table.update()
    .where(table.c.uuid == sa.bindparam("row"), _ALIVE)
    .values(deleted=table.c.id, deleted_at=sa.bindparam("now", type_=db.DateTime))
)


def _taken() -> sa.Select[Any]:
    named = sa.and_(_OF_SERVER, _ALIVE, table.c.device_name.is_not(None))
    count = sa.select(sa.func.count()).select_from(table).where(named).scalar_subquery()
    # Longer names come later: vdaa follows vdz.
    last = (
        sa.select(table.c.device_name)
        .where(named)
        .order_by(sa.func.length(table.c.device_name).desc(), table.c.device_name.desc())
        .limit(1)
        .scalar_subquery()
    )
    wanted = sa.select(instances.c.host, instances.c.task_state, instances.c.root_device_name, count, last)
    return wanted.where(instances.c.uuid == sa.bindparam("server"), instances.c.deleted == 0)


def _joined(chosen: sa.ColumnElement[bool]) -> sa.Select[Any]:
    both = instances.outerjoin(table, sa.and_(table.c.instance_uuid == instances.c.uuid, chosen))
    wanted = sa.select(*servers.COLUMNS, *_COLUMNS).select_from(both)
    return wanted.where(instances.c.uuid == sa.bindparam("server"))


_TAKEN = _taken()
_WITH_ROW = _joined(table.c.uuid == sa.bindparam("row"))
_WITH_VOLUME = _joined(sa.and_(_OF_VOLUME, _ALIVE))


def reserve(
    database: db.Database,
    *,
    uuid: str,
    server_id: str,
    volume_id: str,
    device_name: str,
    tag: str | None,
    delete_on_termination: bool,
    disk_bus: str | None,
) -> BlockDevice:
    """A new row for the volume under the device name.

    Raises db.Duplicate when the server has the volume or the name already; `already_has` tells which.
    """
    values: dict[str, Any] = {
        "uuid": uuid,
        "instance_uuid": server_id,
        "volume_id": volume_id,
        "device_name": device_name,
        "tag": tag,
        "delete_on_termination": delete_on_termination,
        "disk_bus": disk_bus,
        "device_type": "disk",
    }
    constants = {"source_type": "volume", "destination_type": "volume", "created_at": db.utcnow(), "deleted": 0}
    with database.connection() as conn:
        result = conn.execute(table.insert(), values | constants)
    return BlockDevice(id=result.lastrowid, attachment_id=None, boot_index=None, volume_size=None, deleted=0, **values)


def already_has(duplicate: db.Duplicate) -> str:
    """Which key an insert violated: "volume_id" or "device_name"."""
    return "device_name" if any("device_name" in column for column in duplicate.columns) else "volume_id"


def taken_names(database: db.Database, server_id: str) -> TakenNames:
    """What naming needs to know, in one statement whose cost hardly grows with the number of volumes.

    Raises ServerNotFound for a server that does not exist or is deleted.
    """
    with database.connection() as conn:
        row = conn.execute(_TAKEN, {"server": server_id}).first()
    if row is None:
        raise errors.ServerNotFound(server=server_id)
    return TakenNames(*row)


def all_names(database: db.Database, server_id: str) -> frozenset[str]:
    """Every device name the server's living rows have."""
    with database.connection() as conn:
        rows = conn.execute(sa.select(table.c.device_name).where(table.c.instance_uuid == server_id, _ALIVE))
        return frozenset(row[0] for row in rows if row[0])


def servers_with(database: db.Database, volume_id: str) -> list[str]:
    """Ids of the servers that have the volume or are getting it."""
    with database.connection() as conn:
        return [row[0] for row in conn.execute(_HOLDERS, {"volume": volume_id})]


def find(database: db.Database, server_id: str, volume_id: str) -> BlockDevice | None:
    """The server's living row of the volume."""
    with database.connection() as conn:
        row = conn.execute(_FIND, {"server": server_id, "volume": volume_id}).first()
    return _record(row) if row else None


def with_server(
    database: db.Database, server_id: str, *, uuid: str | None = None, volume_id: str | None = None
) -> tuple[servers.Server, BlockDevice | None]:
    """The server and its row of that uuid (deleted or not) or of that volume (living), in one statement.

    A deleted server is told as well. Raises ServerNotFound for an id that never was one.
    """
    parameters = {"server": server_id, "row": uuid} if uuid else {"server": server_id, "volume": volume_id}
    with database.connection() as conn:
        row = conn.execute(_WITH_ROW if uuid else _WITH_VOLUME, parameters).first()
    if row is None:
        raise errors.ServerNotFound(server=server_id)
    split = len(servers.COLUMNS)
    return servers.record(row[:split]), _record(row[split:]) if row[split] is not None else None


def of_server(database: db.Database, server_id: str) -> list[BlockDevice]:
    """The server's living rows that have a volume, oldest first."""
    mine = sa.select(*_COLUMNS).where(table.c.instance_uuid == server_id, _ALIVE, _VOLUME).order_by(table.c.id)
    with database.connection() as conn:
        return [_record(row) for row in conn.execute(mine)]


def page_of_server(
    database: db.Database, server_id: str, *, limit: int, offset: int, by_attachment: bool = False
) -> list[BlockDevice]:
    """A page of the same rows for showing: without their connection information, which is most of their size.

    `by_attachment` counts and gives those only that have a Cinder attachment.
    """
    parameters = {"server": server_id, "page_limit": limit, "page_offset": offset}
    with database.connection() as conn:
        return [BlockDevice(*row) for row in conn.execute(_PAGE_BY_ATTACHMENT if by_attachment else _PAGE, parameters)]


def on_host(
    database: db.Database, host: str, *, unconnected_before: datetime.datetime | None = None
) -> list[BlockDevice]:
    """The living rows of a host's servers that have a volume; those without a connection made before that moment."""
    held = table.join(instances, instances.c.uuid == table.c.instance_uuid)
    wanted = sa.select(*_COLUMNS).select_from(held).where(instances.c.host == host, instances.c.deleted == 0, _ALIVE)
    wanted = wanted.where(_VOLUME).order_by(table.c.id)
    if unconnected_before is not None:
        wanted = wanted.where(table.c.connection_info.is_(None), table.c.created_at < unconnected_before)
    with database.connection() as conn:
        return [_record(row) for row in conn.execute(wanted)]


def connected_after(database: db.Database, host: str, number: int, limit: int) -> list[BlockDevice]:
    """The next living, connected rows of a host's servers after that row's number, at most so many."""
    held = table.join(instances, instances.c.uuid == table.c.instance_uuid)
    wanted = sa.select(*_COLUMNS).select_from(held).where(instances.c.host == host, instances.c.deleted == 0, _ALIVE)
    wanted = wanted.where(_VOLUME, table.c.connection_info.is_not(None), table.c.id > number)
    with database.connection() as conn:
        return [_record(row) for row in conn.execute(wanted.order_by(table.c.id).limit(limit))]


def was_attached(database: db.Database, server_id: str, volume_id: str) -> bool:
    """Whether the server once had the volume, or a reservation of it, and has it no more."""
    once = sa.select(table.c.id).where(table.c.instance_uuid == server_id, _OF_VOLUME, table.c.deleted != 0).limit(1)
    with database.connection() as conn:
        return conn.execute(once, {"volume": volume_id}).first() is not None


def last_of_deleted(database: db.Database, server_id: str) -> list[BlockDevice]:
    """The rows, all deleted by now, of a deleted server that had got as far as a connection."""
    wanted = sa.select(*_COLUMNS).where(table.c.instance_uuid == server_id, table.c.connection_info.is_not(None))
    with database.connection() as conn:
        return [_record(row) for row in conn.execute(wanted)]


def volumes_of(database: db.Database, server_ids: Collection[str]) -> dict[str, list[AttachedVolume]]:
    """The volumes of many servers in one statement, merely reserved ones included."""
    found: dict[str, list[AttachedVolume]] = {server_id: [] for server_id in server_ids}
    if not found:
        return found
    wanted = (
        sa.select(table.c.instance_uuid, table.c.volume_id, table.c.delete_on_termination)
        .where(table.c.instance_uuid.in_(list(found)), _ALIVE, _VOLUME)
        .order_by(table.c.id)
    )
    with database.connection() as conn:
        for server_id, volume_id, delete_on_termination in conn.execute(wanted):
            found[server_id].append(AttachedVolume(volume_id, bool(delete_on_termination)))
    return found


def save_reservation(
    database: db.Database, device: BlockDevice, attachment_id: str | None, volume_size: int | None
) -> None:
    """Write what Cinder's reservation told. Raises BlockDeviceGone when the row was released meanwhile."""
    _save(database, device, {"attachment_id": attachment_id, "volume_size": volume_size})


def save_connection(database: db.Database, device: BlockDevice, connection_info: Mapping[str, Any]) -> None:
    """Write the connection information. Raises BlockDeviceGone when the row was released meanwhile."""
    _save(database, device, {"connection_info": orjson.dumps(connection_info).decode()})


def save_size(database: db.Database, device: BlockDevice, size: int) -> None:
    """Write the volume's new size in GiB. Raises BlockDeviceGone as the others."""
    _save(database, device, {"volume_size": size})


def save_delete_on_termination(database: db.Database, device: BlockDevice, value: bool) -> None:
    """Write whether the volume goes with its server. Raises BlockDeviceGone as the others."""
    _save(database, device, {"delete_on_termination": value})


def release(database: db.Database, uuid: str) -> bool:
    """Mark the living row deleted; False when there is none (any more)."""
    with database.connection() as conn:
        return conn.execute(_RELEASE, {"row": uuid, "now": db.utcnow()}).rowcount == 1


def _save(database: db.Database, device: BlockDevice, values: Mapping[str, Any]) -> None:
    with database.connection() as conn:
        if not db.compare_and_swap(conn, table, {"uuid": device.uuid}, {"deleted": 0}, values):
            raise errors.BlockDeviceGone(server=device.instance_uuid, volume=device.volume_id)


def _record(row: Sequence[Any]) -> BlockDevice:
    *plain, info = row
    return BlockDevice(*(*plain, orjson.loads(info) if info else None))
