"""Statements on `compute_nodes`: what each host can hold, as its nova-compute found it when it started."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from lite_common import db
from nova_lite.db import services
from nova_lite.db.models import compute_nodes as table
from nova_lite.db.models import instances
from nova_lite.db.models import services as services_table


@dataclass(frozen=True, slots=True)
class Facts:
    """What a hypervisor is and has: memory in MiB, disk in GiB; the version as a number (7002022 is 7.2.22)."""

    hypervisor_hostname: str
    hypervisor_type: str
    hypervisor_version: int
    host_ip: str
    vcpus: int
    memory_mb: int
    local_gb: int


@dataclass(frozen=True, slots=True)
class Node:
    """A host with its facts, its nova-compute, and what its living servers use of it."""

    id: int
    uuid: str
    host: str
    facts: Facts
    service: services.ServiceRecord
    servers: int
    vcpus_used: int
    memory_mb_used: int
    local_gb_used: int


_FACTS = tuple(table.c[name] for name in Facts.__dataclass_fields__)


def report(database: db.Database, host: str, facts: Facts) -> None:
    """Keep what the host has; its first report makes its row."""
    now = db.utcnow()
    values: dict[str, Any] = asdict(facts) | {"updated_at": now}
    mine = table.update().where(table.c.host == host, table.c.deleted == 0).values(values)
    first = values | {"uuid": str(uuid.uuid4()), "host": host, "created_at": now, "deleted": 0}
    with database.connection() as conn:
        if conn.execute(mine).rowcount:
            return
        try:
            conn.execute(table.insert().values(first))
        except db.Duplicate:
            conn.execute(mine)


def list_all(database: db.Database) -> list[Node]:
    """Every host that has reported, in the order of its first report, in one statement."""
    used = (
        sa.select(
            instances.c.host,
            sa.func.count().label("servers"),
            sa.func.sum(instances.c.vcpus).label("vcpus"),
            sa.func.sum(instances.c.memory_mb).label("memory_mb"),
            sa.func.sum(instances.c.root_gb + instances.c.ephemeral_gb).label("local_gb"),
        )
        .where(instances.c.deleted == 0)
        .group_by(instances.c.host)
        .subquery()
    )
    served = sa.and_(
        services_table.c.host == table.c.host,
        services_table.c.binary == services.COMPUTE,
        services_table.c.deleted == 0,
    )
    counts = (used.c.servers, used.c.vcpus, used.c.memory_mb, used.c.local_gb)
    wanted = (
        sa.select(
            table.c.id,
            table.c.uuid,
            table.c.host,
            *_FACTS,
            *(sa.func.coalesce(count, 0) for count in counts),
            *services.COLUMNS,
        )
        .select_from(table.join(services_table, served).outerjoin(used, used.c.host == table.c.host))
        .where(table.c.deleted == 0)
        .order_by(table.c.id)
    )
    with database.connection() as conn:
        return [_node(row) for row in conn.execute(wanted)]


def _node(row: Sequence[Any]) -> Node:
    facts, counts = 3 + len(_FACTS), 3 + len(_FACTS) + 4
    return Node(
        id=row[0],
        uuid=row[1],
        host=row[2],
        facts=Facts(*row[3:facts]),
        service=services.record(row[counts:]),
        servers=int(row[facts]),
        vcpus_used=int(row[facts + 1]),
        memory_mb_used=int(row[facts + 2]),
        local_gb_used=int(row[facts + 3]),
    )
