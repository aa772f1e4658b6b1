"""Snapshots with their metadata, and what a volume that is extended or retyped is on its way to."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from lite_common.db import DateTime

revision = "0002"
down_revision = "0001"

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
USAGE = ["project_id", "deleted", "use_quota", "volume_type_id", "size"]


def upgrade() -> None:
    """Make the tables, and let the index that quotas are counted by cover the new columns."""
    _snapshots()
    _snapshot_metadata()
    op.add_column("volumes", sa.Column("extend_new_size", sa.Integer()))
    op.add_column("volumes", sa.Column("retype_type_id", sa.String(length=36)))
    op.drop_index("ix_volumes_usage", table_name="volumes")
    op.create_index("ix_volumes_usage", "volumes", [*USAGE, "extend_new_size", "retype_type_id"], unique=False)


def _common() -> list[sa.Column]:
    return [
        sa.Column("created_at", DateTime),
        sa.Column("updated_at", DateTime),
        sa.Column("deleted_at", DateTime),
        sa.Column("deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
    ]


def _snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("status", sa.String(length=255)),
        sa.Column("progress", sa.String(length=255)),
        sa.Column("volume_size", sa.Integer(), nullable=False),
        sa.Column("display_name", sa.String(length=255)),
        sa.Column("display_description", sa.String(length=255)),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("group_snapshot_id", sa.String(length=36)),
        sa.Column("use_quota", sa.Boolean(), server_default=sa.true(), nullable=False),
        *_common(),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"]),
        sa.ForeignKeyConstraint(["volume_type_id"], ["volume_types.id"]),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    for name, columns in (
        ("volume", ["volume_id", "deleted"]),
        ("project_page", ["project_id", "deleted", "created_at", "id"]),
        ("page", ["deleted", "created_at", "id"]),
        ("usage", ["project_id", "deleted", "use_quota", "volume_type_id", "volume_size"]),
    ):
        op.create_index(f"ix_snapshots_{name}", "snapshots", columns, unique=False)


def _snapshot_metadata() -> None:
    op.create_table(
        "snapshot_metadata",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("snapshot_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=255)),
        sa.Column("value", sa.String(length=255)),
        *_common(),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"]),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_snapshot_metadata_owner", "snapshot_metadata", ["snapshot_id", "deleted"], unique=False)
