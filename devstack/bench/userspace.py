"""The floor of the userspace attach: no control plane, no database, no bus, but a file, tgtd's own tool and libvirt's
own call on the servers that the real thing uses.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import Any

from devstack import servers
from devstack.bench import floor
from devstack.bench.client import Client
from devstack.guest import build, console
from devstack.system import System
from nova_lite.virt import driver
from nova_lite.virt.libvirt.driver import LibvirtDriver, Settings
from nova_lite.volume import qemu_connector

GIB = 1 << 30
INITIATOR = "iqn.2010-10.org.openstack:bench-floor"
CACHE = Path("~/.cache").expanduser() / "nova-lite" / "guest"


def measure(directory: Path, cycles: int) -> dict[str, Any]:
    """Medians of attach and detach through the APIs and bare, in milliseconds, and their ratios."""
    build.build(directory / "images", CACHE)
    with contextlib.ExitStack() as stack:
        system = System(directory, real=True)
        stack.callback(system.stop)
        system.start()
        client = Client(system.compute_url, system.volume_url)
        return _compare(client, _Floor(system), system, cycles)


def _compare(client: Client, bare: _Floor, system: System, cycles: int) -> dict[str, Any]:
    server, volume = client.make_server("floor"), client.make_volume("floor")
    guest = console.Console(system.short / "nova-state" / "consoles" / f"{server}.sock")
    guest.wait_ready(120)
    try:
        return floor.compare(client, bare, guest, server, volume, cycles)
    finally:
        client.call("compute", "DELETE", f"/servers/{server}")
        bare.close()
        time.sleep(2)


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
        self._connector = qemu_connector.UserspaceConnector("127.0.0.1", "floor", INITIATOR)
        self._disk = driver.VolumeDisk(self._volume, "/dev/vdc", {})

    def close(self) -> None:
        """Let go of libvirt."""
        self._virt.close()

    @property
    def serial(self) -> str:
        """See Floor."""
        return self._volume

    def attach(self, server: str) -> None:
        """Export, check the portal, plug in."""
        self._disk = driver.VolumeDisk(self._volume, "/dev/vdc", self._export())
        self._connector.connect_volume(self._disk.connection_info)
        self._virt.attach_volume(server, self._disk)

    def detach(self, server: str) -> None:
        """Plug out."""
        self._virt.detach_volume(server, self._disk)

    def take_back(self) -> None:
        """Unexport, once QEMU has logged out."""
        self._unexport()

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
