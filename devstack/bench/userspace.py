"""The real userspace attach against its floor: the same backend operations run bare, one after another.

Both end when the guest itself has the disk (or has lost it). The floor has no control plane, no database, no bus: a
file, tgtd's own tool, libvirt's own call, on the same servers and in the same guest, in turn with the real thing.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

from devstack import servers
from devstack.bench.client import Client, milliseconds
from devstack.guest import build, console
from devstack.system import System
from nova_lite.virt import driver
from nova_lite.virt.libvirt.driver import LibvirtDriver, Settings
from nova_lite.volume import connector

GIB = 1 << 30
INITIATOR = "iqn.2010-10.org.openstack:bench-floor"
CACHE = Path("~/.cache").expanduser() / "nova-lite" / "guest"


def measure(directory: Path, cycles: int) -> dict[str, Any]:
    """Medians of attach and detach through the APIs and bare, in milliseconds, and their ratios."""
    image = json.loads(build.build(directory / "images", CACHE).read_text())["id"]
    with contextlib.ExitStack() as stack:
        system = System(directory, real=True)
        stack.callback(system.stop)
        system.start()
        client = Client(system.compute_url, system.volume_url, image)
        return _compare(client, _Floor(system), system, cycles)


def _compare(client: Client, floor: _Floor, system: System, cycles: int) -> dict[str, Any]:
    server, volume = client.make_server("floor"), client.make_volume("floor")
    guest = console.Console(system.short / "nova-state" / "consoles" / f"{server}.sock")
    guest.wait_ready(120)
    real: dict[str, list[float]] = {"attach": [], "detach": [], "attach_api": [], "detach_api": []}
    bare: dict[str, list[float]] = {"attach": [], "detach": []}
    try:
        for turn in range(cycles + 1):
            for name, seconds in _real_cycle(client, guest, server, volume).items():
                real[name] += [seconds] if turn else []
            for name, seconds in floor.cycle(guest, server).items():
                bare[name] += [seconds] if turn else []
    finally:
        client.call("compute", "DELETE", f"/servers/{server}")
        floor.close()
        time.sleep(2)
    return {
        "real_ms": {name: milliseconds(values) for name, values in real.items()},
        "floor_ms": {name: milliseconds(values) for name, values in bare.items()},
        "attach_ratio": round(statistics.median(real["attach"]) / statistics.median(bare["attach"]), 2),
        "detach_ratio": round(statistics.median(real["detach"]) / statistics.median(bare["detach"]), 2),
    }


def _real_cycle(client: Client, guest: console.Console, server: str, volume: str) -> dict[str, float]:
    begun = time.perf_counter()
    attached = client.attach(server, volume)
    guest.await_disk(volume)
    visible = time.perf_counter() - begun
    begun = time.perf_counter()
    detached = client.detach(server, volume)
    guest.await_gone(volume)
    gone = time.perf_counter() - begun
    while client.listed(server):
        time.sleep(0.01)
    return {"attach": visible, "detach": gone, "attach_api": attached.total, "detach_api": detached.total}


class _Floor:
    """The same operations without anything around them."""

    def __init__(self, system: System) -> None:
        self._volume = str(uuid.uuid4())
        self._file = system.directory / f"floor-{self._volume}"
        with self._file.open("wb") as file:
            file.truncate(GIB)
        self._tgtd = system.tgtd
        settings = Settings(system.libvirtd.uri, "qemu", str(system.short / "nova-state"))
        self._virt = LibvirtDriver(settings, INITIATOR)
        self._virt.init_host()
        self._connector = connector.UserspaceConnector("127.0.0.1", "floor", INITIATOR)

    def close(self) -> None:
        """Let go of libvirt."""
        self._virt.close()

    def cycle(self, guest: console.Console, server: str) -> dict[str, float]:
        """Export, check the portal, plug in, wait for the guest; then all of it back."""
        begun = time.perf_counter()
        disk = driver.VolumeDisk(self._volume, "/dev/vdc", self._export())
        self._connector.connect_volume(disk.connection_info)
        self._virt.attach_volume(server, disk)
        guest.await_disk(self._volume)
        visible = time.perf_counter() - begun
        begun = time.perf_counter()
        self._virt.detach_volume(server, disk)
        guest.await_gone(self._volume)
        self._unexport()
        return {"attach": visible, "detach": time.perf_counter() - begun}

    def _export(self) -> dict[str, Any]:
        iqn, adm, target = f"iqn.2010-10.org.openstack:floor-{self._volume}", self._tgtd.tgtadm, ("--tid", "99")
        adm("--op", "new", "--mode", "target", *target, "-T", iqn)
        adm("--op", "new", "--mode", "logicalunit", *target, "--lun", "1", "-b", str(self._file))
        adm("--op", "new", "--mode", "account", "--user", "floor", "--password", "floorfloorfloor1")
        adm("--op", "bind", "--mode", "account", *target, "--user", "floor")
        adm("--op", "bind", "--mode", "target", *target, "-I", "ALL")
        data = {
            "target_portal": f"127.0.0.1:{self._tgtd.port}",
            "target_iqn": iqn,
            "target_lun": 1,
            "auth_method": "CHAP",
            "auth_username": "floor",
            "auth_password": "floorfloorfloor1",
            "access_mode": "rw",
        }
        return {"driver_volume_type": "iscsi", "data": data, "serial": self._volume}

    def _unexport(self) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                self._tgtd.tgtadm("--op", "delete", "--mode", "target", "--tid", "99")
                break
            except servers.ServerError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self._tgtd.tgtadm("--op", "delete", "--mode", "account", "--user", "floor")
