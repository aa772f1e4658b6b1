"""iSCSI targets on loop devices, made with rtslib alone, and the eyes of an operator on the initiator's side.

Nothing of the storage service is used here: what the compute node's half does must be right against any target.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rtslib_fb as rtslib

USER = "chapuser"
PASSWORD = "Kp7mWx2RtYq4ZsNd"
PORT = 3270
MIB = 2**20


def run(*command: str, check: bool = True) -> str:
    """The output of a command."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def initiator_name() -> str:
    """This host's name, read independently of the code under test."""
    text = Path("/etc/iscsi/initiatorname.iscsi").read_text()
    return next(line.split("=", 1)[1] for line in text.splitlines() if line.startswith("InitiatorName="))


@dataclasses.dataclass
class Target:
    """One volume exported by LIO as Cinder does it: one target, LUN 0, CHAP for one initiator."""

    volume: str
    image: Path
    loop: str
    iqn: str
    portals: list[str]
    backstore: Any
    target: Any
    tpg: Any

    def info(self, **data: Any) -> dict[str, Any]:
        """The connection information of the volume."""
        standard: dict[str, Any] = {
            "target_discovered": False,
            "target_portal": self.portals[0],
            "target_iqn": self.iqn,
            "target_lun": 0,
            "volume_id": self.volume,
            "auth_method": "CHAP",
            "auth_username": USER,
            "auth_password": PASSWORD,
            "access_mode": "rw",
        }
        if len(self.portals) > 1:
            standard |= {
                "target_portals": self.portals,
                "target_iqns": [self.iqn] * len(self.portals),
                "target_luns": [0] * len(self.portals),
            }
        return {"driver_volume_type": "iscsi", "data": {**standard, **data}, "serial": self.volume}

    def by_path(self, portal: int = 0) -> str:
        return f"/dev/disk/by-path/ip-{self.portals[portal].replace('[', '').replace(']', '')}-iscsi-{self.iqn}-lun-0"

    def grow(self, size: int) -> None:
        os.truncate(self.image, size)
        run("losetup", "-c", self.loop)

    def close(self) -> None:
        """Take the target away."""
        for portal in list(self.tpg.network_portals):
            portal.delete()

    def open(self) -> None:
        """Bring its portals back."""
        for portal in self.portals:
            host, _, port = portal.rpartition(":")
            rtslib.NetworkPortal(self.tpg, host, int(port))


@contextlib.contextmanager
def target(
    directory: Path, *, portals: Sequence[str] = (f"127.0.0.1:{PORT}",), initiator: str | None = None, lun: bool = True
) -> Iterator[Target]:
    """A target of 64 MiB; without `lun` the initiator is let in but finds nothing."""
    Path("/etc/target").mkdir(exist_ok=True)  # rtslib wants it
    volume = str(uuid.uuid4())
    image = directory / f"volume-{volume}"
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    loop = run("losetup", "--find", "--show", str(image)).strip()
    iqn = f"iqn.2010-10.org.openstack:volume-{volume}"
    rtslib.RTSRoot()  # loads the kernel's part, if nobody has yet
    backstore = rtslib.BlockStorageObject(f"volume-{volume}", dev=loop)
    made = rtslib.Target(rtslib.FabricModule("iscsi"), iqn)
    tpg = rtslib.TPG(made, 1)
    tpg.set_attribute("authentication", "1")
    tpg.set_attribute("generate_node_acls", "0")
    unit = rtslib.LUN(tpg, 0, backstore)
    acl = rtslib.NodeACL(tpg, initiator or initiator_name())
    acl.chap_userid, acl.chap_password = USER, PASSWORD
    if lun:
        rtslib.MappedLUN(acl, 0, unit)
    tpg.enable = True
    exported = Target(volume, image, loop, iqn, list(portals), backstore, made, tpg)
    exported.open()
    try:
        yield exported
    finally:
        log_out(iqn)
        made.delete()
        backstore.delete()
        run("losetup", "-d", loop)
        image.unlink()


def log_out(iqn: str) -> None:
    """End what a failed test may have left."""
    run("iscsiadm", "-m", "node", "-T", iqn, "--logout", check=False)
    run("iscsiadm", "-m", "node", "-T", iqn, "--op", "delete", check=False)


def sessions() -> list[str]:
    """What iscsiadm shows."""
    return run("iscsiadm", "-m", "session", check=False).splitlines()


def nodes() -> list[str]:
    return run("iscsiadm", "-m", "node", check=False).splitlines()


def links() -> list[str]:
    return [str(path) for path in Path("/dev/disk/by-path").glob("*iscsi*")]


def assert_nothing_left() -> None:
    """No session, no node record, no link: udev may take a moment for the last."""
    assert sessions() == []
    assert nodes() == []
    deadline = time.monotonic() + 10
    while links() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert links() == []
    assert not [disk for disk in run("lsblk", "-dno", "NAME,TRAN").splitlines() if disk.endswith("iscsi")]


def session_number(iqn: str) -> str:
    """The number in brackets of the session with the target."""
    return next(line.split()[1] for line in sessions() if iqn in line)
