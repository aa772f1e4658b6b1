"""Options of the block storage service. Names and defaults as Cinder's where Cinder has the option."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from lite_common import config

PROJECT = "cinder-lite"
API_PORT = 8776

OPTIONS: config.Options = {
    "DEFAULT": (
        cfg.ListOpt(
            "enabled_backends",
            default=[],
            help="Names of the sections that each describe one backend; each is served as host@NAME.",
        ),
        cfg.StrOpt(
            "default_volume_type",
            default="__DEFAULT__",
            help="Name of the type of a volume for which none was asked. The schema holds __DEFAULT__.",
        ),
        cfg.StrOpt(
            "storage_availability_zone",
            default="nova",
            help="Availability zone of this node's backends, and of volumes for which none was asked.",
        ),
        cfg.StrOpt(
            "default_availability_zone",
            help="Zone of a volume for which none was asked, where it is not storage_availability_zone.",
        ),
        cfg.BoolOpt(
            "allow_availability_zone_fallback",
            default=False,
            help="Put a volume into the default zone when the zone asked for does not exist, instead of refusing.",
        ),
        cfg.IntOpt(
            "quota_volumes",
            default=10,
            min=-1,
            help="Most volumes of a project without a quota of its own; -1: no limit.",
        ),
        cfg.IntOpt(
            "quota_gigabytes",
            default=1000,
            min=-1,
            help="Most GiB in volumes of a project without a quota of its own; -1: no limit.",
        ),
        cfg.IntOpt(
            "quota_snapshots",
            default=10,
            min=-1,
            help="Most snapshots of a project without a quota of its own; -1: no limit. Their GiB count, too.",
        ),
        cfg.IntOpt("per_volume_size_limit", default=-1, min=-1, help="Largest volume in GiB; -1: no limit."),
        cfg.IntOpt(
            "reservation_expire",
            default=30,
            min=1,
            help="Seconds after which a quota reservation that nobody settled counts no more. One lives only while its "
            "request makes the volume's row.",
        ),
        cfg.ListOpt(
            "scheduler_default_filters",
            default=["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter"],
            help="Filters that a pool must pass, in this order.",
        ),
        cfg.IntOpt(
            "scheduler_max_attempts",
            default=3,
            min=1,
            help="How many backends are tried for one volume; 1: no second try.",
        ),
        cfg.FloatOpt(
            "capacity_weight_multiplier",
            default=1.0,
            help="Weight of free capacity; negative fills one pool before the next.",
        ),
        cfg.IntOpt(
            "scheduler_driver_init_wait_time",
            default=60,
            min=0,
            help="Longest time in seconds that the scheduler waits, after its start, for backends to report.",
        ),
        cfg.IntOpt(
            "backend_stats_polling_interval",
            default=60,
            min=1,
            help="Seconds between two reports of a backend's capacity to the scheduler.",
        ),
        cfg.IntOpt(
            "reinit_driver_count",
            default=3,
            min=0,
            help="How often a backend that could not be set up is tried again, after 1, 2, 4 ... seconds.",
        ),
        cfg.IntOpt(
            "message_ttl",
            default=2592000,
            min=0,
            help="Seconds for which a user message (why a volume could not be made or attached) is kept.",
        ),
        cfg.IntOpt(
            "message_reap_interval",
            default=86400,
            min=1,
            help="Seconds between two looks of the scheduler for user messages whose time is up.",
        ),
    ),
    "nova": (
        cfg.URIOpt(
            "endpoint",
            schemes=["http", "https"],
            sample_default="http://127.0.0.1:8774/v2.1",
            help="Root of the compute API. It is asked whether a server still uses an attachment that a user "
            "wants to delete (CVE-2023-2088), and told that a volume of a server has grown. Unset: with keystone what "
            "the catalog has for compute, else this machine's.",
        ),
        cfg.IntOpt("timeout", default=15, min=1, help="Seconds that one request to the compute API may take."),
        cfg.IntOpt("retries", default=2, min=0, help="How often a request that did not get through is repeated."),
    ),
}

BACKEND: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "volume_driver",
        default="file",
        choices=[
            ("file", "a raw sparse file per volume in volumes_dir"),
            ("lvm", "a logical volume per volume in volume_group"),
            ("fake", "an in-memory twin for tests and measurements"),
        ],
        help="Where the bytes live.",
    ),
    cfg.StrOpt(
        "target_helper",
        default="tgtadm",
        choices=[
            ("tgtadm", "the userspace iSCSI target daemon tgtd"),
            ("lioadm", "the kernel's iSCSI target, LIO; for the lvm driver"),
            ("tgt", "another name of tgtadm"),
            ("fake", "an in-memory twin for tests"),
        ],
        help="How hosts reach a volume.",
    ),
    cfg.StrOpt("volume_backend_name", help="Name of the backend's pool; the section's name when unset."),
    cfg.StrOpt(
        "volumes_dir",
        default="$state_path/volumes",
        help="Directory of the file driver's volumes; created with mode 0700.",
    ),
    cfg.StrOpt("volume_group", default="cinder-volumes", help="LVM volume group of the lvm driver."),
    cfg.StrOpt(
        "lvm_type",
        default="auto",
        choices=[
            ("auto", "thin if the pool VOLUME_GROUP-pool exists or the group is empty, else default"),
            ("default", "every volume owns its extents (thick)"),
            ("thin", "volumes share the pool VOLUME_GROUP-pool, which is made where it is missing"),
        ],
        help="Kind of the lvm driver's volumes.",
    ),
    cfg.StrOpt(
        "volume_clear",
        default="zero",
        choices=[("zero", "overwrite it with zeros"), ("none", "leave it as it is")],
        help="What becomes of a thick logical volume's data when it is deleted. A new volume reads as zeros either "
        "way.",
    ),
    cfg.IntOpt(
        "volume_clear_size",
        default=0,
        min=0,
        max=1 << 30,
        help="MiB at the beginning of a thick logical volume that volume_clear covers; 0: all.",
    ),
    cfg.StrOpt(
        "target_conf_dir",
        default="$state_path/targets",
        help="Directory with a subdirectory per tgt backend, in it one file in tgt-admin's format per exported volume. "
        "The files hold CHAP secrets; they are created with mode 0600.",
    ),
    cfg.HostAddressOpt("target_ip_address", default="$my_ip", help="Address on which the iSCSI target listens."),
    cfg.ListOpt(
        "target_secondary_ip_addresses",
        default=[],
        help="Further addresses, on the same port, by which hosts with multipath reach the same disks. The kernel's "
        "target is made to listen there; tgtd has to be started so.",
    ),
    cfg.PortOpt("target_port", default=3260, help="Port on which the iSCSI target listens."),
    cfg.StrOpt("target_prefix", default="iqn.2010-10.org.openstack:", help="What target names begin with."),
    cfg.StrOpt(
        "tgt_control_socket",
        default="",
        help="Control socket of tgtd (TGT_IPC_SOCKET), where it is not tgtd's own default.",
    ),
    cfg.FloatOpt(
        "max_over_subscription_ratio",
        default=20.0,
        min=1.0,
        help="How many times its capacity a thin backend may promise.",
    ),
    cfg.IntOpt(
        "reserved_percentage", default=0, min=0, max=100, help="Percentage of the capacity that is not given out."
    ),
    cfg.IntOpt("fake_capacity_gb", default=1000, min=1, help="Capacity in GiB that the fake driver reports."),
)


def prepare(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """`conf` with the defaults that differ from the other service's, and a section for each enabled backend."""
    conf.set_default("port", API_PORT, group="api")
    for name in conf.enabled_backends:
        conf.register_opts(BACKEND, group=name)
    return conf


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Every option with its section, for oslo-config-generator; backends are shown as one named `backend1`."""
    return [*OPTIONS.items(), ("backend1", BACKEND)]
