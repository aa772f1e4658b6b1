"""The tables, with Cinder's names and columns. Rows are soft-deleted: readers ask for `deleted = 0`.

Indexes follow the questions that are asked: a project's newest volumes, a volume's attachments, a server's
attachments, a project's usage.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from lite_common import operations, records
from lite_common.db import DateTime, LongText

METADATA = sa.MetaData()
MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
DEFAULT_TYPE_NAME = "__DEFAULT__"


def _common() -> list[sa.Column]:
    return [
        sa.Column("created_at", DateTime),
        sa.Column("updated_at", DateTime),
        sa.Column("deleted_at", DateTime),
        sa.Column("deleted", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    ]


def _texts(length: int, *names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(length)) for name in names]


def _pairs(name: str, owner: str, target: str) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(owner, sa.String(36), sa.ForeignKey(target), nullable=False),
        *_texts(255, "key", "value"),
        *_common(),
        sa.Index(f"ix_{name}_owner", owner, "deleted"),
        **MYSQL,
    )


volume_types = sa.Table(
    "volume_types",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    *_texts(255, "name", "description"),
    sa.Column("qos_specs_id", sa.String(36)),
    sa.Column("is_public", sa.Boolean, nullable=False, default=True, server_default=sa.true()),
    *_common(),
    **MYSQL,
)

volume_type_extra_specs = _pairs("volume_type_extra_specs", "volume_type_id", "volume_types.id")

volumes = sa.Table(
    "volumes",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("_name_id", sa.String(36)),
    sa.Column("use_quota", sa.Boolean, nullable=False, default=True, server_default=sa.true()),
    *_texts(255, "ec2_id", "user_id", "project_id"),
    *_texts(36, "snapshot_id"),
    *_texts(255, "cluster_name", "host"),
    sa.Column("size", sa.Integer),
    *_texts(255, "availability_zone", "status", "attach_status", "migration_status", "previous_status"),
    sa.Column("scheduled_at", DateTime),
    sa.Column("launched_at", DateTime),
    sa.Column("terminated_at", DateTime),
    *_texts(255, "display_name", "display_description"),
    *_texts(256, "provider_location", "provider_auth"),
    *_texts(255, "provider_geometry", "provider_id"),
    sa.Column("volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id"), nullable=False),
    *_texts(36, "source_volid", "encryption_key_id", "consistencygroup_id", "group_id"),
    sa.Column("bootable", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("multiattach", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    *_texts(255, "replication_status", "replication_extended_status", "replication_driver_data"),
    *_texts(36, "service_uuid"),
    sa.Column("shared_targets", sa.Boolean, default=False),
    # What a volume in `extending` or `retyping` is on its way to; NULL otherwise. Counted by quotas from the start.
    sa.Column("extend_new_size", sa.Integer),
    *_texts(36, "retype_type_id"),
    *_common(),
    sa.Index("ix_volumes_project_page", "project_id", "deleted", "created_at", "id"),
    sa.Index("ix_volumes_page", "deleted", "created_at", "id"),
    sa.Index(
        "ix_volumes_usage",
        *("project_id", "deleted", "use_quota", "volume_type_id", "size", "extend_new_size", "retype_type_id"),
    ),
    sa.Index("ix_volumes_host", "host", "deleted"),
    **MYSQL,
)

volume_metadata = _pairs("volume_metadata", "volume_id", "volumes.id")

volume_admin_metadata = _pairs("volume_admin_metadata", "volume_id", "volumes.id")

snapshots = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
    *_texts(255, "user_id", "project_id", "status", "progress"),
    sa.Column("volume_size", sa.Integer, nullable=False),
    *_texts(255, "display_name", "display_description"),
    sa.Column("volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id"), nullable=False),
    *_texts(36, "group_snapshot_id"),
    sa.Column("use_quota", sa.Boolean, nullable=False, default=True, server_default=sa.true()),
    *_common(),
    sa.Index("ix_snapshots_volume", "volume_id", "deleted"),
    sa.Index("ix_snapshots_project_page", "project_id", "deleted", "created_at", "id"),
    sa.Index("ix_snapshots_page", "deleted", "created_at", "id"),
    sa.Index("ix_snapshots_usage", "project_id", "deleted", "use_quota", "volume_type_id", "volume_size"),
    **MYSQL,
)

snapshot_metadata = _pairs("snapshot_metadata", "snapshot_id", "snapshots.id")

volume_attachment = sa.Table(
    "volume_attachment",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
    *_texts(36, "instance_uuid"),
    *_texts(255, "attached_host", "mountpoint"),
    sa.Column("attach_time", DateTime),
    sa.Column("detach_time", DateTime),
    *_texts(255, "attach_status"),
    *_texts(36, "attach_mode"),
    sa.Column("connection_info", LongText),
    sa.Column("connector", LongText),
    *_common(),
    sa.Index("ix_volume_attachment_volume", "volume_id", "deleted"),
    sa.Index("ix_volume_attachment_instance", "instance_uuid", "deleted"),
    sa.Index("ix_volume_attachment_page", "deleted", "created_at", "id"),
    **MYSQL,
)

quotas = sa.Table(
    "quotas",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(255)),
    sa.Column("resource", sa.String(300), nullable=False),
    sa.Column("hard_limit", sa.Integer),
    *_common(),
    sa.Index("ix_quotas_project", "project_id", "deleted"),
    **MYSQL,
)

quota_usages = sa.Table(
    "quota_usages",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(255)),
    sa.Column("resource", sa.String(300)),
    sa.Column("in_use", sa.Integer, nullable=False),
    sa.Column("reserved", sa.Integer, nullable=False),
    sa.Column("until_refresh", sa.Integer),
    sa.Column("race_preventer", sa.Boolean, default=True),
    *_common(),
    sa.UniqueConstraint("project_id", "resource", "race_preventer", name="uniq_quota_usages_project_resource"),
    **MYSQL,
)

reservations = sa.Table(
    "reservations",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False),
    sa.Column("usage_id", sa.Integer, sa.ForeignKey("quota_usages.id")),
    sa.Column("project_id", sa.String(255)),
    sa.Column("resource", sa.String(300)),
    sa.Column("delta", sa.Integer, nullable=False),
    sa.Column("expire", DateTime),
    *_common(),
    sa.Index("ix_reservations_project", "project_id", "deleted", "expire"),
    sa.Index("ix_reservations_uuid", "uuid", "deleted"),
    **MYSQL,
)

services = sa.Table(
    "services",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), unique=True),
    *_texts(255, "cluster_name", "host", "binary", "topic"),
    sa.Column("report_count", sa.Integer, nullable=False, default=0),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    *_texts(255, "availability_zone", "disabled_reason"),
    sa.Column("modified_at", DateTime),
    *_texts(36, "rpc_current_version", "object_current_version"),
    *_texts(255, "replication_status", "active_backend_id"),
    sa.Column("frozen", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    *_common(),
    sa.UniqueConstraint("host", "binary", name="uniq_services_host_binary"),
    **MYSQL,
)

messages = sa.Table(
    "messages",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    *_texts(255, "request_id"),
    *_texts(36, "resource_type"),
    *_texts(255, "resource_uuid"),
    sa.Column("event_id", sa.String(255), nullable=False),
    sa.Column("action_id", sa.String(10), nullable=False),
    sa.Column("detail_id", sa.String(10), nullable=False),
    sa.Column("message_level", sa.String(255), nullable=False),
    sa.Column("expires_at", DateTime),
    *_common(),
    sa.Index("ix_messages_project_page", "project_id", "deleted", "created_at", "id"),
    sa.Index("ix_messages_expiry", "expires_at"),
    **MYSQL,
)

volume_type_projects = sa.Table(
    "volume_type_projects",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id"), nullable=False),
    sa.Column("project_id", sa.String(255), nullable=False),
    *_common(),
    sa.UniqueConstraint("volume_type_id", "project_id", name="uniq_volume_type_projects"),
    **MYSQL,
)

default_volume_types = sa.Table(
    "default_volume_types",
    METADATA,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id"), nullable=False),
    *_common(),
    **MYSQL,
)

quota_classes = sa.Table(
    "quota_classes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("class_name", sa.String(255), nullable=False),
    sa.Column("resource", sa.String(255), nullable=False),
    sa.Column("hard_limit", sa.Integer),
    *_common(),
    sa.UniqueConstraint("class_name", "resource", name="uniq_quota_classes"),
    **MYSQL,
)

records.STEPS.to_metadata(METADATA)
operations.TABLE.to_metadata(METADATA)
