"""Everything one wants to see of the machines when a test has failed, in one directory."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from concurrent import futures
from pathlib import Path

from devstack.vm.hosts import VmError
from devstack.vm.machine import Machine

# File name -> command.  None of them changes anything, and each has its own limit.
COMMANDS = {
    "journal.txt": "journalctl --no-pager -o short-precise",
    "kernel.txt": "dmesg",
    "units.txt": "systemctl --no-pager --all list-units; systemctl --no-pager --failed",
    "status.txt": "systemctl --no-pager status 'nova-lite-*' 'cinder-lite-*' mariadb rabbitmq-server libvirtd iscsid",
    "processes.txt": "ps -eo pid,ppid,user,stat,etime,time,rss,args --forest; free -m; df -h",
    "network.txt": "ip addr; ip route; ss -tlnp",
    "disks.txt": "lsblk -o +SERIAL,MODEL,UUID; ls -l /dev/disk/by-path /dev/mapper; multipath -ll",
    "lvm.txt": "pvs; vgs; lvs -a -o +devices,data_percent; dmsetup ls --tree; dmsetup info -c",
    "iscsi.txt": "iscsiadm -m session -P 3; iscsiadm -m node -P 1",
    "targets.txt": "targetcli ls; tgtadm --op show --mode target",
    "guests.txt": "for d in $(virsh list --all --name); do virsh dominfo $d; virsh domblklist $d; virsh dumpxml $d; "
    "done; tail -n 50 /var/lib/nlite/nova/consoles/*.log",
}
# The daemons' configuration is left out: it holds passwords.
FILES = ("/var/log/nlite", "/var/log/libvirt", "/var/log/rabbitmq")
LIMIT = 60.0


def collect(machines: Iterable[Machine], directory: Path, say: Callable[[str], None] = print) -> None:
    """Write DIRECTORY/HOST/... for each machine; what cannot be had is left out and said in `missing.txt`."""
    chosen = list(machines)
    with futures.ThreadPoolExecutor(max_workers=max(len(chosen), 1)) as pool:
        for machine in pool.map(lambda one: _collect(one, directory / one.host.name), chosen):
            say(f"{machine.host.name}: logs in {directory / machine.host.name}")


def _collect(machine: Machine, target: Path) -> Machine:
    target.mkdir(parents=True, exist_ok=True)
    for name in ("console.log", "qemu.log"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(machine.directory / name, target / name)
    missing = []
    for name, command in COMMANDS.items():
        try:
            result = machine.shell().run(command, check=False, timeout=LIMIT)
        except VmError as error:
            missing.append(f"{name}: {error}")
            continue
        (target / name).write_text(result.stdout + result.stderr)
    for path in FILES:
        try:
            machine.shell().copy([f"host:{path}"], f"{target}/", "--ignore-missing-args", timeout=LIMIT)
        except VmError as error:
            missing.append(f"{path}: {error}")
    if missing:
        (target / "missing.txt").write_text("\n".join(missing) + "\n")
    return machine
