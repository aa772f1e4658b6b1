"""The first schema: volumes, attachments, types, quotas and services, with Cinder's names, and the default type."""

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

from lite_common.db import DateTime, LongText, utcnow

revision = "0001"
down_revision = None

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Make the tables and the type that volumes get when none is asked for."""
    _volume_types()
    _volume_type_extra_specs()
    _volumes()
    _volume_metadata()
    _volume_attachment()
    _quotas()
    _quota_usages()
    _reservations()
    _services()
    op.bulk_insert(
        sa.table(
            "volume_types", *(sa.column(name) for name in ("id", "name", "description", "is_public", "created_at"))
        ),
        [
            {
                "id": str(uuid.uuid4()),
                "name": "__DEFAULT__",
                "description": "Default Volume Type",
                "is_public": True,
                "created_at": utcnow(),
            }
        ],
    )


def _common() -> list[sa.Column]:
    return [
        sa.Column("created_at", DateTime),
        sa.Column("updated_at", DateTime),
        sa.Column("deleted_at", DateTime),
        sa.Column("deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
    ]


def _volume_types() -> None:
    op.create_table(
        "volume_types",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255)),
        sa.Column("description", sa.String(length=255)),
        sa.Column("qos_specs_id", sa.String(length=36)),
        sa.Column("is_public", sa.Boolean(), server_default=sa.true(), nullable=False),
        *_common(),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )


def _volume_type_extra_specs() -> None:
    op.create_table(
        "volume_type_extra_specs",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=255)),
        sa.Column("value", sa.String(length=255)),
        *_common(),
        sa.ForeignKeyConstraint(
            ["volume_type_id"],
            ["volume_types.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index(
        "ix_volume_type_extra_specs_owner", "volume_type_extra_specs", ["volume_type_id", "deleted"], unique=False
    )


def _volumes() -> None:
    op.create_table(
        "volumes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("_name_id", sa.String(length=36)),
        sa.Column("use_quota", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("ec2_id", sa.String(length=255)),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("snapshot_id", sa.String(length=36)),
        sa.Column("cluster_name", sa.String(length=255)),
        sa.Column("host", sa.String(length=255)),
        sa.Column("size", sa.Integer()),
        sa.Column("availability_zone", sa.String(length=255)),
        sa.Column("status", sa.String(length=255)),
        sa.Column("attach_status", sa.String(length=255)),
        sa.Column("migration_status", sa.String(length=255)),
        sa.Column("previous_status", sa.String(length=255)),
        sa.Column("scheduled_at", DateTime),
        sa.Column("launched_at", DateTime),
        sa.Column("terminated_at", DateTime),
        sa.Column("display_name", sa.String(length=255)),
        sa.Column("display_description", sa.String(length=255)),
        sa.Column("provider_location", sa.String(length=256)),
        sa.Column("provider_auth", sa.String(length=256)),
        sa.Column("provider_geometry", sa.String(length=255)),
        sa.Column("provider_id", sa.String(length=255)),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("source_volid", sa.String(length=36)),
        sa.Column("encryption_key_id", sa.String(length=36)),
        sa.Column("consistencygroup_id", sa.String(length=36)),
        sa.Column("group_id", sa.String(length=36)),
        sa.Column("bootable", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("multiattach", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("replication_status", sa.String(length=255)),
        sa.Column("replication_extended_status", sa.String(length=255)),
        sa.Column("replication_driver_data", sa.String(length=255)),
        sa.Column("service_uuid", sa.String(length=36)),
        sa.Column("shared_targets", sa.Boolean()),
        *_common(),
        sa.ForeignKeyConstraint(
            ["volume_type_id"],
            ["volume_types.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_volumes_host", "volumes", ["host", "deleted"], unique=False)
    op.create_index("ix_volumes_page", "volumes", ["deleted", "created_at", "id"], unique=False)
    op.create_index("ix_volumes_project_page", "volumes", ["project_id", "deleted", "created_at", "id"], unique=False)
    op.create_index(
        "ix_volumes_usage", "volumes", ["project_id", "deleted", "use_quota", "volume_type_id", "size"], unique=False
    )


def _volume_metadata() -> None:
    op.create_table(
        "volume_metadata",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=255)),
        sa.Column("value", sa.String(length=255)),
        *_common(),
        sa.ForeignKeyConstraint(
            ["volume_id"],
            ["volumes.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_volume_metadata_owner", "volume_metadata", ["volume_id", "deleted"], unique=False)
    # ### end Alembic commands ###


def _volume_attachment() -> None:
    op.create_table(
        "volume_attachment",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("instance_uuid", sa.String(length=36)),
        sa.Column("attached_host", sa.String(length=255)),
        sa.Column("mountpoint", sa.String(length=255)),
        sa.Column("attach_time", DateTime),
        sa.Column("detach_time", DateTime),
        sa.Column("attach_status", sa.String(length=255)),
        sa.Column("attach_mode", sa.String(length=36)),
        sa.Column("connection_info", LongText),
        sa.Column("connector", LongText),
        *_common(),
        sa.ForeignKeyConstraint(
            ["volume_id"],
            ["volumes.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_volume_attachment_instance", "volume_attachment", ["instance_uuid", "deleted"], unique=False)
    op.create_index("ix_volume_attachment_page", "volume_attachment", ["deleted", "created_at", "id"], unique=False)
    op.create_index("ix_volume_attachment_volume", "volume_attachment", ["volume_id", "deleted"], unique=False)


def _quotas() -> None:
    op.create_table(
        "quotas",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("resource", sa.String(length=300), nullable=False),
        sa.Column("hard_limit", sa.Integer()),
        *_common(),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_quotas_project", "quotas", ["project_id", "deleted"], unique=False)


def _quota_usages() -> None:
    op.create_table(
        "quota_usages",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("resource", sa.String(length=300)),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("until_refresh", sa.Integer()),
        sa.Column("race_preventer", sa.Boolean()),
        *_common(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "resource", "race_preventer", name="uniq_quota_usages_project_resource"),
        **MYSQL,
    )


def _reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("usage_id", sa.Integer()),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("resource", sa.String(length=300)),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("expire", DateTime),
        *_common(),
        sa.ForeignKeyConstraint(
            ["usage_id"],
            ["quota_usages.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        **MYSQL,
    )
    op.create_index("ix_reservations_project", "reservations", ["project_id", "deleted", "expire"], unique=False)
    op.create_index("ix_reservations_uuid", "reservations", ["uuid", "deleted"], unique=False)


def _services() -> None:
    op.create_table(
        "services",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36)),
        sa.Column("cluster_name", sa.String(length=255)),
        sa.Column("host", sa.String(length=255)),
        sa.Column("binary", sa.String(length=255)),
        sa.Column("topic", sa.String(length=255)),
        sa.Column("report_count", sa.Integer(), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("availability_zone", sa.String(length=255)),
        sa.Column("disabled_reason", sa.String(length=255)),
        sa.Column("modified_at", DateTime),
        sa.Column("rpc_current_version", sa.String(length=36)),
        sa.Column("object_current_version", sa.String(length=36)),
        sa.Column("replication_status", sa.String(length=255)),
        sa.Column("active_backend_id", sa.String(length=255)),
        sa.Column("frozen", sa.Boolean(), server_default=sa.false(), nullable=False),
        *_common(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("host", "binary", name="uniq_services_host_binary"),
        sa.UniqueConstraint("uuid"),
        **MYSQL,
    )
