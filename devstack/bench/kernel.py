"""The kernel path against its floor, on a machine where `stack.sh --role all` runs with the kernel backend.

    python -m devstack.bench.kernel [--cycles N] [--json FILE]

The floor calls rtslib, iscsiadm and libvirt and nothing else: it makes target, portal, ACL and CHAP and saves them,
makes the node record, logs in, waits for the device and plugs it in; and all of it back. Runs as root; prints the
figures, the share of each step of the real path, and writes both as JSON. `bench.sh --vm` makes a machine and runs
it there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import rtslib_fb

from devstack.bench import floor, report
from devstack.bench.client import Client
from devstack.guest import console

TARGETS = Path("/sys/kernel/config/target/iscsi")
STATE = Path("/var/lib/nlite/nova")
PORT = 3260
CHAP = ("floorfloorfloor", "floorfloorfloo1")
COMMAND_SECONDS = 60
# On an emulated machine each look takes from the work that it waits for.
IDLE_SECONDS = 1.0
UNITS = ("nova-lite-api", "nova-lite-compute", "cinder-lite-api", "cinder-lite-scheduler", "cinder-lite-volume")
_STEP = re.compile(r"\b(?P<request>req-[0-9a-f-]{36}) .*\bstep=(?P<name>\w+) outcome=ok ms=(?P<ms>[\d.]+)")


def run(*words: str) -> str:
    """Output of a command that must work."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode} {done.stderr.strip()}")
    return done.stdout


class KernelFloor:
    """One logical volume of its own, exported and plugged in by hand."""

    def __init__(self, group: str, address: str) -> None:
        self._serial = str(uuid.uuid4())
        self._iqn = f"iqn.2010-10.org.openstack:floor-{self._serial}"
        self._volume = f"{group}/floor-{self._serial}"
        self._address = address
        self._link = Path(f"/dev/disk/by-path/ip-{address}:{PORT}-iscsi-{self._iqn}-lun-0")
        run("lvcreate", "--yes", *_size(group), "-n", f"floor-{self._serial}", group)
        self._connection = libvirt.open("qemu:///system")
        self._root: Any = None
        self._times: dict[str, list[float]] = defaultdict(list)

    def close(self) -> None:
        """Remove the volume."""
        self._connection.close()
        run("lvremove", "-f", self._volume)

    @property
    def steps_ms(self) -> dict[str, float]:
        """Mean milliseconds of each operation, the first time not counted."""
        return {name: round(statistics.mean(times[1:]) * 1e3, 1) for name, times in self._times.items() if times[1:]}

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._times[name].append(time.perf_counter() - begun)

    @property
    def serial(self) -> str:
        """See Floor."""
        return self._serial

    def attach(self, server: str) -> None:
        """Target, login, device, disk."""
        with self._timed("export"):
            self._export()
        with self._timed("log in"):
            self._log_in()
        with self._timed("plug in"):
            self._domain(server).attachDeviceFlags(self._xml(), self._both())

    def _log_in(self) -> None:
        node = ("iscsiadm", "-m", "node", "-T", self._iqn, "-p", f"{self._address}:{PORT}")
        run(*node, "-o", "new")
        for name, value in zip(("authmethod", "username", "password"), ("CHAP", *CHAP), strict=True):
            run(*node, "-o", "update", "-n", f"node.session.auth.{name}", "-v", value)
        run(*node, "--login")
        self._await(self._link.exists)

    def detach(self, server: str) -> None:
        """Out of the guest, live and stored."""
        domain = self._domain(server)
        with self._timed("plug out"):
            domain.detachDeviceFlags(self._xml(), self._both())
            self._await(lambda: self._serial not in domain.XMLDesc(0))

    def take_back(self) -> None:
        """Flush, log out, forget the node, remove the target."""
        with self._timed("log out"):
            self._log_out()
        with self._timed("unexport"):
            self._unexport()

    def _log_out(self) -> None:
        node = ("iscsiadm", "-m", "node", "-T", self._iqn, "-p", f"{self._address}:{PORT}")
        run("blockdev", "--flushbufs", str(self._link))
        run(*node, "--logout")
        run(*node, "-o", "delete")
        self._await(lambda: not self._link.exists())

    def _unexport(self) -> None:
        rtslib_fb.Target(rtslib_fb.FabricModule("iscsi"), self._iqn, mode="lookup").delete()
        rtslib_fb.BlockStorageObject(self._serial).delete()
        self._root.save_to_file()

    def _export(self) -> None:
        self._root = rtslib_fb.RTSRoot()
        storage = rtslib_fb.BlockStorageObject(self._serial, dev=f"/dev/{self._volume}")
        target = rtslib_fb.Target(rtslib_fb.FabricModule("iscsi"), self._iqn, mode="create")
        group = rtslib_fb.TPG(target, 1, mode="create")
        group.set_attribute("authentication", "1")
        unit = rtslib_fb.LUN(group, 0, storage_object=storage)
        acl = rtslib_fb.NodeACL(group, _initiator(), mode="create")
        acl.chap_userid, acl.chap_password = CHAP
        rtslib_fb.MappedLUN(acl, 0, unit)
        group.enable = True
        rtslib_fb.NetworkPortal(group, self._address, PORT, mode="any")
        self._root.save_to_file()

    def _xml(self) -> str:
        return (
            "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/>"
            f"<source dev='{self._link}'/><target dev='vdc' bus='virtio'/><serial>{self._serial}</serial></disk>"
        )

    def _domain(self, server: str) -> libvirt.virDomain:
        return self._connection.lookupByUUIDString(server)

    @staticmethod
    def _both() -> int:
        return int(libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG)

    @staticmethod
    def _await(condition: Any) -> None:
        end = time.monotonic() + COMMAND_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"not within {COMMAND_SECONDS} s")
            time.sleep(0.01)


def _size(group: str) -> tuple[str, ...]:
    """Arguments for a volume of the kind that the driver makes there: thin where the group has a pool."""
    pools = run("lvs", "--noheadings", "-o", "lv_name", "-S", "segtype=thin-pool", group).split()
    return ("-V", "1g", "--thinpool", pools[0]) if pools else ("-L", "1g")


def _initiator() -> str:
    text = Path("/etc/iscsi/initiatorname.iscsi").read_text()
    return str(re.findall(r"^InitiatorName=(\S+)", text, re.MULTILINE)[0])


def shares(since: float, volume: str) -> dict[str, dict[str, float]]:
    """Mean milliseconds of each step of the real attach and of the real detach, as the daemons logged them.

    The first of each is not counted, as in `floor.compare`.
    """
    units = [word for unit in UNITS for word in ("-u", unit)]
    told = run("journalctl", "--no-pager", "-o", "cat", "--since", f"@{since:.0f}", *units)
    return step_means(line for line in told.splitlines() if volume in line)


def step_means(lines: Iterable[str]) -> dict[str, dict[str, float]]:
    """Mean milliseconds of each step by what its request was for; a request's log lines share its id."""
    by_request: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for line in lines:
        if found := _STEP.search(line):
            by_request[found["request"]][found["name"]] += float(found["ms"])
    means = {}
    for half, sign in (("attach", "attach_to_guest"), ("detach", "detach_from_guest")):
        of_half = [steps for steps in by_request.values() if sign in steps][1:]
        names = dict.fromkeys(name for steps in of_half for name in steps)
        means[half] = {name: round(statistics.mean(one.get(name, 0.0) for one in of_half), 1) for name in names}
    return means


def measure(address: str, group: str, cycles: int) -> dict[str, Any]:
    """Boot a guest, measure, and take everything away again."""
    compute, volume_url = f"http://{address}:8774/v2.1", f"http://{address}:8776/v3"
    client = Client(compute, volume_url, idle=IDLE_SECONDS)
    bare = KernelFloor(group, address)
    volume = client.make_volume("bench")
    server = client.make_server("bench")
    try:
        guest = console.Console(STATE / "consoles" / f"{server}.sock")
        guest.wait_ready(600)
        begun = time.time()
        target = TARGETS / f"iqn.2010-10.org.openstack:volume-{volume}"
        results = floor.compare(client, bare, guest, server, volume, cycles, exported=target.exists)
        return results | {"steps_ms": shares(begun, volume), "floor_steps_ms": bare.steps_ms}
    finally:
        client.call("compute", "DELETE", f"/servers/{server}")
        client.call("volume", "DELETE", f"/volumes/{volume}")
        bare.close()


def main() -> int:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(prog="devstack.bench.kernel", description="The kernel path against its floor.")
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--address", required=True, help="my_ip of this host")
    parser.add_argument("--group", default="nlite-volumes", help="volume group for the floor's logical volume")
    parser.add_argument("--json", type=Path, default=Path("bench-kernel.json"))
    asked = parser.parse_args()
    results = {"kernel": measure(asked.address, asked.group, asked.cycles)}
    asked.json.write_text(json.dumps(results, indent=2) + "\n")
    print(report.table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
