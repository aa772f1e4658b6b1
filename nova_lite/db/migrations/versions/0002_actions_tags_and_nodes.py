"""Instance actions and their events, server tags, compute nodes; what servers tell of locks, addresses and disks."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from lite_common.db import DateTime, LongText

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and columns."""
    _instances()
    _instance_actions()
    _instance_actions_events()
    _tags()
    _compute_nodes()


def _times() -> tuple[sa.Column, ...]:
    return (
        sa.Column("created_at", DateTime),
        sa.Column("updated_at", DateTime),
        sa.Column("deleted_at", DateTime),
        sa.Column("deleted", sa.Integer, nullable=False, default=0, server_default="0"),
    )


def _instances() -> None:
    for column in (
        sa.Column("flavor_id", sa.String(255)),
        sa.Column("locked_reason", sa.String(255)),
        sa.Column("access_ip_v4", sa.String(39)),
        sa.Column("access_ip_v6", sa.String(39)),
        sa.Column("auto_disk_config", sa.Boolean),
    ):
        op.add_column("instances", column)
    _fill_flavor_ids(op.get_bind())


def _fill_flavor_ids(conn: sa.Connection) -> None:
    """Servers that exist know their flavor in a JSON text only; a list is filtered by a column."""
    instances = sa.table(
        "instances", sa.column("id", sa.Integer), sa.column("flavor", sa.Text), sa.column("flavor_id", sa.String)
    )
    for number, text in conn.execute(sa.select(instances.c.id, instances.c.flavor)).all():
        flavor_id = str(json.loads(text or "{}").get("id", "")) or None
        conn.execute(instances.update().where(instances.c.id == number).values(flavor_id=flavor_id))


def _instance_actions() -> None:
    op.create_table(
        "instance_actions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("action", sa.String(255), nullable=False),
        sa.Column("instance_uuid", sa.String(36), sa.ForeignKey("instances.uuid"), nullable=False),
        sa.Column("request_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("start_time", DateTime, nullable=False),
        sa.Column("message", sa.String(255)),
        *_times(),
        mysql_charset="utf8mb4",
    )
    op.create_index(
        "instance_actions_instance_uuid_request_id_idx", "instance_actions", ["instance_uuid", "request_id"]
    )


def _instance_actions_events() -> None:
    op.create_table(
        "instance_actions_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("event", sa.String(255), nullable=False),
        sa.Column("action_id", sa.Integer, sa.ForeignKey("instance_actions.id"), nullable=False),
        sa.Column("start_time", DateTime, nullable=False),
        sa.Column("finish_time", DateTime),
        sa.Column("result", sa.String(255)),
        sa.Column("traceback", LongText),
        sa.Column("host", sa.String(255)),
        sa.Column("details", LongText),
        *_times(),
        mysql_charset="utf8mb4",
    )
    op.create_index("instance_actions_events_action_id_idx", "instance_actions_events", ["action_id"])


def _tags() -> None:
    op.create_table(
        "tags",
        sa.Column("resource_id", sa.String(36), sa.ForeignKey("instances.uuid"), primary_key=True),
        sa.Column("tag", sa.Unicode(80).with_variant(sa.String(80, collation="utf8mb4_bin"), "mysql", "mariadb"),
                  primary_key=True),
        mysql_charset="utf8mb4",
    )  # fmt: skip
    op.create_index("tags_tag_idx", "tags", ["tag"])


def _compute_nodes() -> None:
    op.create_table(
        "compute_nodes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.String(36), nullable=False, unique=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("hypervisor_hostname", sa.String(255), nullable=False),
        sa.Column("hypervisor_type", sa.String(255), nullable=False),
        sa.Column("hypervisor_version", sa.Integer, nullable=False),
        sa.Column("host_ip", sa.String(39)),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mb", sa.Integer, nullable=False),
        sa.Column("local_gb", sa.Integer, nullable=False),
        *_times(),
        sa.UniqueConstraint("host", "deleted", name="uniq_compute_nodes0host0deleted"),
        mysql_charset="utf8mb4",
    )
