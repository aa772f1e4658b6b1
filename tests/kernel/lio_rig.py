"""LIO seen from an initiator on the same machine: logical volumes on the spare disk, logins by iscsiadm.

Each initiator name has an interface of open-iscsi of its own, so one machine plays several hosts.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import rtslib_fb

from cinder_lite import privileged
from cinder_lite.targets import base, lio
from tests.unit.cinder_lite.targets import contract

LIMIT = 60.0
PREFIX = "iqn.2010-10.org.openstack:"
PORTAL = "127.0.0.1:3260"
CONFIGFS = Path("/sys/kernel/config/target")
SAVED = Path("/etc/target/saveconfig.json")
RECORDS = Path("/etc/iscsi/nodes")
SPARE_DISK = "/dev/vdb"
GROUP = "lio-tests"
OTHER_GROUP = "lio-tests-2"
SETTINGS = {
    "node.session.auth.authmethod": "CHAP",
    "node.session.initial_login_retry_max": "1",
    "node.conn[0].timeo.login_timeout": "5",
}


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command with a limit; its output is in the error when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def eventually(look: Callable[[], object], wanted: object = True, limit: float = 10.0) -> None:
    """Wait until `look()` gives `wanted`."""
    end = time.monotonic() + limit
    while (found := look()) != wanted:
        assert time.monotonic() < end, f"{found!r} is not {wanted!r}"
        time.sleep(0.02)


@contextlib.contextmanager
def ground(directory: Path) -> Iterator[None]:
    """A volume group on the spare disk, a small one on a loop device, two initiators; nothing of it is left."""
    # Root needs no second process.
    privileged.sys_admin.set_client_mode(False)
    run("systemctl", "start", "iscsid")
    image = directory / "second-disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    loop = run("losetup", "--show", "-f", str(image)).stdout.strip()
    try:
        for group, disk in ((GROUP, SPARE_DISK), (OTHER_GROUP, loop)):
            run("vgcreate", "-q", "-y", "-s", "1m", group, disk)
        for initiator in (contract.HOST_A, contract.HOST_B):
            interface = ["iscsiadm", "-m", "iface", "-I", _interface(initiator)]
            run(*interface, "-o", "new")
            run(*interface, "-o", "update", "-n", "iface.initiatorname", "-v", initiator)
        yield
    finally:
        clear()
        for initiator in (contract.HOST_A, contract.HOST_B):
            run("iscsiadm", "-m", "iface", "-I", _interface(initiator), "-o", "delete", check=False)
        for group, disk in ((GROUP, SPARE_DISK), (OTHER_GROUP, loop)):
            run("vgremove", "-q", "-ff", "-y", group, check=False)
            run("wipefs", "-qaf", disk)
        run("losetup", "-d", loop)


def clear() -> None:
    """Lose the kernel's targets, as a reboot does."""
    rtslib_fb.RTSRoot().clear_existing(confirm=True)


def _interface(initiator: str) -> str:
    return f"test-{initiator.rpartition(':')[2]}"


def logical_volume(group: str, name: str) -> str:
    """The device of a volume of 4 MiB, which is made where it is missing."""
    path = f"/dev/{group}/{name}"
    if not os.path.exists(path):
        run("lvcreate", "-q", "-y", "-W", "n", "-L", "4m", "-n", name, group)
    return path


def write(device: str, offset: int, data: bytes) -> None:
    """Write past the page cache and flush, as a guest does."""
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    descriptor = os.open(device, os.O_WRONLY | os.O_DIRECT)
    try:
        assert os.pwrite(descriptor, buffer, offset) == len(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(device: str, offset: int, length: int) -> bytes:
    """Read past the page cache."""
    buffer = mmap.mmap(-1, length)
    descriptor = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        assert os.preadv(descriptor, [buffer], offset) == length
    finally:
        os.close(descriptor)
    return buffer[:]


class Initiator:
    """open-iscsi on this machine under the names of several hosts."""

    def __init__(self) -> None:
        self.logins: set[tuple[str, str, str]] = set()

    def login(self, location: str, auth: base.Auth, initiator: str, portal: str | None = None) -> bool:
        """Log in; False when the target does not let the initiator in. The record goes with a failed login."""
        where = base.parse_location(location)
        login = (where.iqn, portal or where.portal, _interface(initiator))
        record = self._record(login)
        run(*record, "-o", "new")
        (file,) = [one for one in (RECORDS / where.iqn).glob(f"*/{login[2]}") if _is_at(one.parent.name, login[1])]
        # One write in place of five iscsiadm, of which each takes long in an emulated machine.
        settings = SETTINGS | {
            "node.session.auth.username": auth.username,
            "node.session.auth.password": auth.password,
        }
        kept = [line for line in file.read_text().splitlines() if line.partition(" = ")[0] not in settings]
        text = [*(f"{name} = {value}" for name, value in settings.items())]
        file.write_text("\n".join([*kept[:-1], *text, kept[-1]]) + "\n")
        if run(*record, "--login", check=False).returncode:
            self._forget(login)
            return False
        self.logins.add(login)
        return True

    def disk(self, location: str, initiator: str) -> str:
        """The block device of the initiator's session, once it is there."""
        eventually(lambda: any(map(_can_be_opened, self.disks(location, initiator))))
        return self.disks(location, initiator)[0]

    def disks(self, location: str, initiator: str) -> list[str]:
        """The block devices of the initiator's sessions with that target."""
        iqn = base.parse_location(location).iqn
        found = []
        for session in Path("/sys/class/iscsi_session").glob("session*"):
            with contextlib.suppress(OSError):
                names = (session / "targetname").read_text().strip(), (session / "initiatorname").read_text().strip()
                if names == (iqn, initiator):
                    found += [f"/dev/{one.name}" for one in (session / "device").glob("target*/*/block/*")]
        return sorted(found)

    def let_go(self, location: str, initiator: str) -> None:
        iqn = base.parse_location(location).iqn
        for login in [one for one in self.logins if (one[0], one[2]) == (iqn, _interface(initiator))]:
            self._logout(login)

    def _logout(self, login: tuple[str, str, str]) -> None:
        run(*self._record(login), "--logout", check=False)
        self.logins.discard(login)
        self._forget(login)

    def _forget(self, login: tuple[str, str, str]) -> None:
        if not any(one[0] == login[0] for one in self.logins):
            shutil.rmtree(RECORDS / login[0], ignore_errors=True)

    def _record(self, login: tuple[str, str, str]) -> list[str]:
        # With the number of the portal group, each interface has a file of its own.
        return ["iscsiadm", "-m", "node", "-T", login[0], "-p", f"{login[1]},1", "-I", login[2]]


class LioRig(Initiator, contract.Rig):
    """The driver on one volume group, and two initiators."""

    by_host = True

    def __init__(
        self, directory: Path, *, group: str = GROUP, portal: str = PORTAL, secondary: list[str] | None = None
    ) -> None:
        Initiator.__init__(self)
        self.directory = directory
        self.group = group
        self.lio = lio.LioTarget(PREFIX, portal, f"/dev/{group}", secondary or [], busy_wait=0.5)
        self.lio.check_for_setup_error()
        self.target = self.lio

    def volume(self, name: str) -> str:
        return logical_volume(self.group, name)

    def can_login(self, location: str, auth: base.Auth, initiator: str = contract.HOST_B) -> bool:
        # Where nobody listens, open-iscsi tries for seconds.
        if not _listens(base.parse_location(location).portal) or not self.login(location, auth, initiator):
            return False
        try:
            with open(self.disk(location, initiator), "rb") as disk:
                return len(disk.read(4096)) == 4096
        finally:
            self.let_go(location, initiator)

    def hold(self, location: str, auth: base.Auth, initiator: str) -> None:
        assert self.login(location, auth, initiator)
        assert self.disk(location, initiator)

    def restart(self) -> None:
        clear()

    def close(self) -> None:
        """Nothing of this test is left but the logical volumes."""
        for login in list(self.logins):
            self._logout(login)
        clear()
        SAVED.unlink(missing_ok=True)


def _can_be_opened(device: str) -> bool:
    """Not so while the node is still that of a disk that had the name before."""
    try:
        os.close(os.open(device, os.O_RDONLY))
    except OSError:
        return False
    return True


def _listens(portal: str) -> bool:
    address, _, port = portal.rpartition(":")
    try:
        socket.create_connection((address.strip("[]"), int(port)), timeout=LIMIT).close()
    except ConnectionRefusedError:
        return False
    return True


def _is_at(directory: str, portal: str) -> bool:
    """Whether the records' directory `address,port,group` is that of the portal."""
    address, port, _ = directory.rsplit(",", 2)
    return (address, port) == (portal.rpartition(":")[0].strip("[]"), portal.rpartition(":")[2])
