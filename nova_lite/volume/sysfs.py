"""What the kernel tells about iSCSI sessions and block devices, read without privileges and without a process.

`iscsiadm` answers the same questions from the same files, in some thirty times the time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Iterator
from pathlib import Path

LOGGED_IN = "LOGGED_IN"
_DISK_GLOB = "device/target*/*:*:*:{lun}/block/*"


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One iSCSI session of this host; `state` as the kernel writes it. IPv6 hosts have no brackets."""

    number: str
    host: str
    port: int
    iqn: str
    group: str
    state: str

    @property
    def portal(self) -> str:
        """Host and port as iscsiadm writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def healthy(self) -> bool:
        """True unless the session is lost and iscsid tries to get it back."""
        return self.state == LOGGED_IN


class Sysfs:
    """The machine below `root`."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)
        self._sys = self._root / "sys"

    def sessions(self, iqn: str | None = None) -> list[Session]:
        """The sessions, or those to one target."""
        found = []
        for directory in sorted((self._sys / "class/iscsi_session").glob("session*")):
            name = _read(directory / "targetname")
            if name is None or (iqn is not None and name != iqn):
                continue
            number = directory.name.removeprefix("session")
            connection = self._sys / f"class/iscsi_connection/connection{number}:0"
            address, port = _read(connection / "persistent_address"), _read(connection / "persistent_port")
            if not address or not port:  # it is just being made or taken away
                continue
            group, state = _read(directory / "tpgt"), _read(directory / "state")
            found.append(Session(number, address, int(port), name, group or "-1", state or ""))
        return found

    def disks(self, session: Session, lun: int | str = "*") -> list[str]:
        """Names (`sdb`) of the session's disks, or of the one with this LUN."""
        pattern = self._sys / f"class/iscsi_session/session{session.number}" / _DISK_GLOB.format(lun=lun)
        return sorted(os.path.basename(path) for path in glob.glob(str(pattern)))

    def address(self, disk: str) -> str | None:
        """Host, channel, target and LUN (`6:0:0:1`) of a SCSI disk."""
        try:
            return os.path.basename(os.readlink(self._sys / "block" / disk / "device"))
        except OSError:
            return None

    def given_up(self, disk: str) -> bool:
        """True if the kernel no longer expects the disk's session back and fails what is asked of the disk."""
        return _read(self._sys / "block" / disk / "device/state") in ("transport-offline", "offline")

    def real(self, path: str) -> str:
        """The path without links, whether it exists or not."""
        return os.path.realpath(self._root / path.lstrip("/"))

    def size(self, device: str) -> int:
        """Bytes of a block device, by its path or a link to it. Raises FileNotFoundError."""
        sectors = (self._block(device) / "size").read_text()
        return int(sectors) * 512

    def users(self, device: str) -> list[str]:
        """What on this host holds the block device or a partition of it: other devices, mounts, swap."""
        block = self._block(device)
        parts = [block, *(path.parent for path in block.glob("*/partition"))]
        numbers = {}
        users = []
        for part in parts:
            holders = sorted(path.name for path in (part / "holders").glob("*"))
            users += [f"the device {holder}" for holder in holders]
            numbers[_read(part / "dev")] = part.name
        for number, point in self._mounts():
            if number in numbers:
                users.append(f"the mount {point}")
        names = {f"/dev/{name}" for name in numbers.values()}
        users += [f"swap on {line.split()[0]}" for line in self._lines("proc/swaps") if line.split()[0] in names]
        return users

    def has_module(self, name: str) -> bool:
        """True if the kernel has the module: loaded, built in or installed."""
        if (self._sys / "module" / name).exists():
            return True
        modules = self._root / "lib/modules" / os.uname().release
        listed = [*self._lines(modules / "modules.dep"), *self._lines(modules / "modules.builtin")]
        return any(os.path.basename(line.split(":")[0]).startswith(f"{name}.ko") for line in listed)

    def has_directory(self, path: str) -> bool:
        """True if there is this directory, whether it may be read or not."""
        return (self._root / path.lstrip("/")).is_dir()

    def _block(self, device: str) -> Path:
        return self._sys / "class/block" / os.path.basename(self.real(device))

    def _mounts(self) -> Iterator[tuple[str, str]]:
        for line in self._lines("proc/self/mountinfo"):
            fields = line.split()
            yield fields[2], fields[4]

    def _lines(self, path: str | Path) -> list[str]:
        with contextlib.suppress(OSError):
            return (self._root / path).read_text(errors="replace").splitlines()
        return []


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
