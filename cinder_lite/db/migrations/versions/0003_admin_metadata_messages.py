"""Notes of the services on volumes, user messages, access to private types, default types, quota classes."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from lite_common.db import DateTime

revision = "0003"
down_revision = "0002"

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Make the tables."""
    _volume_admin_metadata()
    _messages()
    _types_and_classes()


def _volume_admin_metadata() -> None:
    op.create_table(
        "volume_admin_metadata",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=255)),
        sa.Column("value", sa.String(length=255)),
        *_common(),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"]),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_volume_admin_metadata_owner", "volume_admin_metadata", ["volume_id", "deleted"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=255)),
        sa.Column("resource_type", sa.String(length=36)),
        sa.Column("resource_uuid", sa.String(length=255)),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("action_id", sa.String(length=10), nullable=False),
        sa.Column("detail_id", sa.String(length=10), nullable=False),
        sa.Column("message_level", sa.String(length=255), nullable=False),
        sa.Column("expires_at", DateTime),
        *_common(),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_messages_project_page", "messages", ["project_id", "deleted", "created_at", "id"])
    op.create_index("ix_messages_expiry", "messages", ["expires_at"])


def _types_and_classes() -> None:
    op.create_table(
        "volume_type_projects",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        *_common(),
        sa.ForeignKeyConstraint(["volume_type_id"], ["volume_types.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("volume_type_id", "project_id", name="uniq_volume_type_projects"),
        **MYSQL,
    )
    op.create_table(
        "default_volume_types",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        *_common(),
        sa.ForeignKeyConstraint(["volume_type_id"], ["volume_types.id"]),
        sa.PrimaryKeyConstraint("project_id"),
        **MYSQL,
    )
    op.create_table(
        "quota_classes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("class_name", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=255), nullable=False),
        sa.Column("hard_limit", sa.Integer()),
        *_common(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("class_name", "resource", name="uniq_quota_classes"),
        **MYSQL,
    )


def _common() -> list[sa.Column]:
    return [
        sa.Column("created_at", DateTime),
        sa.Column("updated_at", DateTime),
        sa.Column("deleted_at", DateTime),
        sa.Column("deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
    ]
