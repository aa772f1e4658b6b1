"""Twins of hypervisor and storage that outlive their daemon: what they hold is in a file after each change.

The daemons run as in production but for this; SIGKILL takes their memory and leaves guests, bytes and targets, as it
leaves QEMU, disks and tgtd. `python -m devstack.chaos.twins DAEMON --state DIRECTORY --config-file FILE` is the daemon.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

from lite_common import service

service.no_eventlet()

from cinder_lite import conf as cinder_conf  # noqa: E402 - not before eventlet is blocked
from cinder_lite.drivers import base as drivers  # noqa: E402
from cinder_lite.drivers import fake as fake_storage  # noqa: E402
from cinder_lite.targets import fake as fake_target  # noqa: E402
from lite_common import config  # noqa: E402
from nova_lite import conf as nova_conf  # noqa: E402
from nova_lite.virt import fake as fake_virt  # noqa: E402

GUESTS, STORAGE, TARGETS = "guests", "storage", "targets"
CAPACITY_GB = 100_000
_HELD = {
    GUESTS: ("_guests",),
    STORAGE: ("volumes", "snapshots"),
    TARGETS: ("_targets", "_exported", "_next", "_starts"),
}
_CHANGES = {
    GUESTS: (
        "spawn",
        "destroy",
        "power_on",
        "power_off",
        "reboot",
        "pause",
        "unpause",
        "attach_volume",
        "detach_volume",
    ),
    STORAGE: ("create_volume", "delete_volume", "extend_volume", "create_snapshot", "delete_snapshot"),
    TARGETS: ("ensure_export", "initialize_connection", "terminate_connection", "remove_export"),
}


def lasting(twin: Any, kind: str, directory: Path) -> Any:
    """The twin, with what it held last time, and with every change of it written down before it is told of."""
    path = directory / f"{kind}.pickle"
    lock = vars(twin).get("_guard") or vars(twin)["_lock"]
    if path.exists():
        vars(twin).update(pickle.loads(path.read_bytes()))

    def saving(change: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return change(*args, **kwargs)
            finally:
                with lock:
                    fresh = path.with_suffix(".new")
                    fresh.write_bytes(pickle.dumps({name: vars(twin)[name] for name in _HELD[kind]}))
                    os.replace(fresh, path)

        return run

    for name in _CHANGES[kind]:
        setattr(twin, name, saving(getattr(twin, name)))
    return twin


def read(kind: str, directory: Path) -> dict[str, Any]:
    """What the twin holds, from outside; nothing before its first change."""
    path = directory / f"{kind}.pickle"
    found: dict[str, Any] = pickle.loads(path.read_bytes()) if path.exists() else {}
    return found


def main() -> int:
    """Run one of the two daemons that have twins, until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("daemon", choices=("nova-lite-compute", "cinder-lite-volume"))
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--config-file", required=True)
    asked = parser.parse_args()
    argv = ["--config-file", asked.config_file]
    if asked.daemon == "nova-lite-compute":
        conf = nova_conf.load(asked.daemon, argv)
        twins = {"virt": lasting(fake_virt.FakeDriver(), GUESTS, asked.state)}
        return service.run(lambda: importlib.import_module("nova_lite.cmd.compute").build(conf, **twins))
    conf = config.load(cinder_conf.PROJECT, asked.daemon, [cinder_conf.OPTIONS], argv)
    storage = lasting(fake_storage.FakeDriver(drivers.Pool("main"), CAPACITY_GB), STORAGE, asked.state)
    targets = lasting(fake_target.FakeTarget("iqn.2010-10.org.openstack:", "127.0.0.1:3260"), TARGETS, asked.state)
    parts = {"main": (storage, targets)}
    return service.run(lambda: importlib.import_module("cinder_lite.cmd.volume").build(conf, parts=parts))


if __name__ == "__main__":
    sys.exit(main())
