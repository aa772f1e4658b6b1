"""The tables, under the names Nova gives them and their columns.

Rows are never removed: `deleted` is 0 while a row lives and its own id afterwards, so that unique keys over
(..., deleted) bind living rows only. Beyond Nova, two such keys make it impossible that one server has a volume or a
device name twice, whatever races. Columns that nothing here reads are left out.
"""

from __future__ import annotations

import sqlalchemy as sa

from lite_common import operations, records
from lite_common.db import DateTime, LongText

metadata = sa.MetaData()


def _times() -> tuple[sa.Column, ...]:
    return (
        sa.Column("created_at", DateTime),
        sa.Column("updated_at", DateTime),
        sa.Column("deleted_at", DateTime),
        sa.Column("deleted", sa.Integer, nullable=False, default=0, server_default="0"),
    )


services = sa.Table(
    "services",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("binary", sa.String(255), nullable=False),
    sa.Column("topic", sa.String(255)),
    sa.Column("report_count", sa.Integer, nullable=False, default=0),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    sa.Column("disabled_reason", sa.String(255)),
    sa.Column("last_seen_up", DateTime),
    sa.Column("forced_down", sa.Boolean, nullable=False, default=False),
    *_times(),
    sa.UniqueConstraint("host", "binary", "deleted", name="uniq_services0host0binary0deleted"),
    mysql_charset="utf8mb4",
)

instances = sa.Table(
    "instances",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(255)),
    sa.Column("user_id", sa.String(255)),
    sa.Column("display_name", sa.String(255)),
    sa.Column("display_description", sa.String(255)),
    sa.Column("hostname", sa.String(255)),
    sa.Column("host", sa.String(255)),
    sa.Column("node", sa.String(255)),
    sa.Column("launched_on", sa.String(255)),
    sa.Column("vm_state", sa.String(255)),
    sa.Column("task_state", sa.String(255)),
    sa.Column("power_state", sa.Integer),
    sa.Column("image_ref", sa.String(255)),
    sa.Column("root_device_name", sa.String(255)),
    sa.Column("config_drive", sa.String(255)),
    sa.Column("launched_at", DateTime),
    sa.Column("terminated_at", DateTime),
    sa.Column("locked", sa.Boolean, nullable=False, default=False),
    sa.Column("locked_by", sa.Enum("owner", "admin", name="instances0locked_by")),
    sa.Column("availability_zone", sa.String(255)),
    sa.Column("memory_mb", sa.Integer),
    sa.Column("vcpus", sa.Integer),
    sa.Column("root_gb", sa.Integer),
    sa.Column("ephemeral_gb", sa.Integer),
    sa.Column("reservation_id", sa.String(255)),
    sa.Column("launch_index", sa.Integer),
    sa.Column("key_name", sa.String(255)),
    sa.Column("user_data", LongText),
    # Nova keeps these two in tables of their own (instance_extra, instance_metadata); here they are JSON texts.
    sa.Column("flavor", LongText),
    sa.Column("instance_metadata", LongText),
    # The flavor's id once more, for lists that are filtered by it.
    sa.Column("flavor_id", sa.String(255)),
    sa.Column("locked_reason", sa.String(255)),
    sa.Column("access_ip_v4", sa.String(39)),
    sa.Column("access_ip_v6", sa.String(39)),
    sa.Column("auto_disk_config", sa.Boolean),
    *_times(),
    sa.Index("instances_project_id_deleted_created_at_idx", "project_id", "deleted", "created_at"),
    sa.Index("instances_host_deleted_task_state_idx", "host", "deleted", "task_state"),
    sa.Index("instances_deleted_created_at_idx", "deleted", "created_at"),
    mysql_charset="utf8mb4",
)

instance_faults = sa.Table(
    "instance_faults",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("instance_uuid", sa.String(36), sa.ForeignKey("instances.uuid"), nullable=False),
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("message", sa.String(255)),
    sa.Column("details", LongText),
    sa.Column("host", sa.String(255)),
    *_times(),
    sa.Index("instance_faults_instance_uuid_deleted_created_at_idx", "instance_uuid", "deleted", "created_at"),
    mysql_charset="utf8mb4",
)

block_device_mapping = sa.Table(
    "block_device_mapping",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False),
    sa.Column("instance_uuid", sa.String(36), sa.ForeignKey("instances.uuid"), nullable=False),
    sa.Column("source_type", sa.String(255)),
    sa.Column("destination_type", sa.String(255)),
    sa.Column("guest_format", sa.String(255)),
    sa.Column("device_type", sa.String(255)),
    sa.Column("disk_bus", sa.String(255)),
    sa.Column("boot_index", sa.Integer),
    sa.Column("device_name", sa.String(255)),
    sa.Column("delete_on_termination", sa.Boolean, nullable=False, default=False),
    sa.Column("snapshot_id", sa.String(36)),
    sa.Column("volume_id", sa.String(36)),
    sa.Column("image_id", sa.String(36)),
    sa.Column("volume_size", sa.Integer),
    sa.Column("volume_type", sa.String(255)),
    sa.Column("no_device", sa.Boolean),
    sa.Column("connection_info", LongText),
    sa.Column("tag", sa.String(255)),
    sa.Column("attachment_id", sa.String(36)),
    *_times(),
    sa.UniqueConstraint("uuid", name="uniq_block_device_mapping0uuid"),
    sa.UniqueConstraint(
        "instance_uuid", "volume_id", "deleted", name="uniq_block_device_mapping0instance_uuid0volume_id0deleted"
    ),
    sa.UniqueConstraint(
        "instance_uuid", "device_name", "deleted", name="uniq_block_device_mapping0instance_uuid0device_name0deleted"
    ),
    sa.Index("block_device_mapping_volume_id_deleted_idx", "volume_id", "deleted"),
    mysql_charset="utf8mb4",
)

instance_actions = sa.Table(
    "instance_actions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("action", sa.String(255), nullable=False),
    sa.Column("instance_uuid", sa.String(36), sa.ForeignKey("instances.uuid"), nullable=False),
    sa.Column("request_id", sa.String(255)),
    sa.Column("user_id", sa.String(255)),
    sa.Column("project_id", sa.String(255)),
    sa.Column("start_time", DateTime, nullable=False),
    sa.Column("message", sa.String(255)),
    *_times(),
    sa.Index("instance_actions_instance_uuid_request_id_idx", "instance_uuid", "request_id"),
    mysql_charset="utf8mb4",
)

instance_actions_events = sa.Table(
    "instance_actions_events",
    metadata,
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
    sa.Index("instance_actions_events_action_id_idx", "action_id"),
    mysql_charset="utf8mb4",
)

# The only rows that are removed: a tag that is taken away was nothing but itself.
tags = sa.Table(
    "tags",
    metadata,
    sa.Column("resource_id", sa.String(36), sa.ForeignKey("instances.uuid"), primary_key=True),
    # Tags that differ in case only are two tags.
    sa.Column(
        "tag", sa.Unicode(80).with_variant(sa.String(80, collation="utf8mb4_bin"), "mysql", "mariadb"), primary_key=True
    ),
    sa.Index("tags_tag_idx", "tag"),
    mysql_charset="utf8mb4",
)

compute_nodes = sa.Table(
    "compute_nodes",
    metadata,
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

records.STEPS.to_metadata(metadata)
operations.TABLE.to_metadata(metadata)
