"""The options of nova-lite; those that both services have are in `lite_common.config`."""

# ruff: noqa: E501  # one option a line reads as a table

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from lite_common import config

API_PORT = 8774

OPTIONS: config.Options = {
    "DEFAULT": (
        cfg.HostAddressOpt("my_block_storage_ip", default="$my_ip", help="Address of this host that storage sees it under."),
    ),
    "cinder": (
        cfg.URIOpt("endpoint", schemes=["http", "https"], sample_default="http://127.0.0.1:8776/v3", help="Address of cinder-api; /v3 is added where it is missing. Unset: with keystone what the catalog has for block-storage, else this machine's."),
        cfg.StrOpt("attach_flow", default="attachments", choices=[("attachments", "the attachments API (volume microversion 3.44)"), ("legacy", "the volume actions os-reserve, os-initialize_connection, os-attach")], help="How a new attachment is begun. An attachment that exists keeps the flow it was begun with."),
        cfg.IntOpt("timeout", default=60, min=1, help="Seconds that one request to cinder-api may take."),
        cfg.IntOpt("retries", default=4, min=0, help="How often a request to cinder-api that may safely run twice is repeated."),
        cfg.IntOpt("patience", default=20, min=0, help="Seconds for which nova-compute goes on asking a cinder-api that cannot be reached (it is being restarted, say) before it undoes an attach that was accepted."),
    ),
    "images": (
        cfg.StrOpt("directory", default="$state_path/images", help="Directory of the images; each is a JSON description beside its files, or a disk alone."),
    ),
    "compute": (
        cfg.StrOpt("virt_driver", default="libvirt", choices=[("libvirt", "real guests"), ("fake", "guests in memory, for tests and measurements")], help="Who runs the guests."),
        cfg.IntOpt("max_disk_devices_to_attach", default=-1, min=-1, help="Most disks one server can have, its root disk included; -1 is no limit."),
        cfg.IntOpt("shutdown_timeout", default=60, min=0, help="Seconds a guest gets to shut down before it is switched off."),
        cfg.IntOpt("finish_interval", default=10, min=1, help="Seconds between two looks for work that was left half done: attaches, detaches, deletes and other tasks whose message or daemon was lost."),
    ),
    "libvirt": (
        cfg.StrOpt("connection_uri", default="qemu:///system", help="libvirt connection."),
        cfg.StrOpt("virt_type", default="auto", choices=["auto", "kvm", "qemu"], help="How guests run; auto takes kvm where it works and else emulates."),
        cfg.IntOpt("device_detach_attempts", default=8, min=1, help="How often a guest is asked to let a disk go."),
        cfg.IntOpt("device_detach_timeout", default=20, min=1, help="Seconds a guest gets for each of these."),
        cfg.StrOpt("iscsi_initiator", default="qemu", choices=[("qemu", "QEMU itself logs in to targets; the host has no device"), ("host", "this host logs in with open-iscsi, and guests get block devices")], help="Who connects iSCSI volumes. Running guests keep what they have when it is changed."),
        cfg.BoolOpt("volume_use_multipath", default=False, help="Log in over all portals of a volume and give guests the multipath device. With iscsi_initiator = host."),
        cfg.BoolOpt("volume_enforce_multipath", default=False, help="Do not start while multipathd does not run, instead of going on with single paths."),
        cfg.IntOpt("num_volume_scan_tries", default=3, min=1, deprecated_name="num_iscsi_scan_tries", help="How often a target is scanned for a volume after the login, each time after a longer pause: 4, 9, 16 seconds and so on."),
        cfg.IntOpt("volume_replacement_timeout", default=300, min=1, help="Seconds that a guest's reads and writes wait for a lost portal before they fail. Not with multipath, which has its own rules. With iscsi_initiator = host."),
    ),
}  # fmt: skip


def load(prog: str, argv: Sequence[str], *, logs: bool = True) -> cfg.ConfigOpts:
    """The configuration of one nova-lite program. Raises as `lite_common.config.load`."""
    conf = config.load("nova-lite", prog, [OPTIONS], argv, logs=logs)
    # A default that differs between the services cannot be in the options that both have.
    conf.set_default("port", API_PORT, group="api")
    return conf


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The options by group, for oslo-config-generator."""
    return [(group, list(options)) for group, options in OPTIONS.items()]
