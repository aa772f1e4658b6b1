"""A compute host of plain files: what the kernel, udev, iscsiadm and os-brick would show and do, as far as the host's
connector can tell."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

from os_brick import exception as brick_errors
from oslo_concurrency import processutils

from nova_lite.volume.connection_info import IscsiPath, split_portal

INITIATOR = "iqn.x:y"


class Machine:
    """`root` holds its /sys, /dev and /proc. `commands` are those that were run; `fail` maps the last word of a
    command to the exit code and the words it fails with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[tuple[str, ...]] = []
        self.fail: dict[str, tuple[int, str]] = {}
        self.names = INITIATOR
        self._numbers = itertools.count(1)
        self._disks = itertools.count(1)
        (root / "sys/module/iscsi_tcp").mkdir(parents=True)
        (root / "dev/disk/by-path").mkdir(parents=True)

    def run(self, *command: str, **options: Any) -> tuple[str, str]:
        """In place of os-brick's privileged function."""
        self.commands.append(command)
        if command[0] == "cat":
            return f"## comment\nInitiatorName={self.names}\n" if self.names else "", ""
        code, words = self.fail.get(command[-1], (0, ""))
        good = options.get("check_exit_code", [0])
        if code and good is not False and code not in good:
            raise processutils.ProcessExecutionError(stderr=words, exit_code=code, cmd=" ".join(command))
        if command[0] == "iscsiadm" and command[-1] == "--logout":
            self.log_out(command[4], command[6])
        return "", ""

    def log_in(self, path: IscsiPath, size: int = 64 * 2**20, state: str = "LOGGED_IN") -> str:
        """A session and its disk; the disk's path."""
        number = next(self._numbers)
        session = self.root / f"sys/class/iscsi_session/session{number}"
        connection = self.root / f"sys/class/iscsi_connection/connection{number}:0"
        for directory in (session, connection):
            directory.mkdir(parents=True)
        for file, text in (
            (session / "targetname", path.iqn),
            (session / "tpgt", "1"),
            (session / "state", state),
            (connection / "persistent_address", path.host),
            (connection / "persistent_port", str(path.port)),
        ):
            file.write_text(text + "\n")
        return self.add_disk(session, path, size)

    def add_disk(self, session: Path, path: IscsiPath, size: int = 64 * 2**20) -> str:
        """One more disk of a session; its path."""
        number = next(self._disks)
        name = f"sd{chr(ord('a') + number)}"
        block = self.root / f"sys/class/block/{name}"
        device = self.root / f"sys/block/{name}/device"
        disk = session / f"device/target6:0:0/6:0:0:{path.lun}/block/{name}"
        for directory in (block / "holders", device, disk):
            directory.mkdir(parents=True)
        for file, text in (
            (block / "size", str(size // 512)),
            (block / "dev", f"8:{number * 16}"),
            (device / "state", "running"),
        ):
            file.write_text(text + "\n")
        (self.root / f"dev/{name}").touch()
        (self.root / path.by_path[1:]).symlink_to(f"../../{name}")
        return f"/dev/{name}"

    def remove_disks(self, session: Path, lun: int | str = "*") -> None:
        """Take away the disks of a session, or one."""
        for block in session.glob(f"device/target*/*:{lun}/block/*"):
            (self.root / f"dev/{block.name}").unlink()
            for link in (self.root / "dev/disk/by-path").iterdir():
                if link.readlink().name == block.name:
                    link.unlink()
            shutil.rmtree(block.parents[1])

    def session(self, iqn: str, portal: str) -> Path | None:
        """The session's directory."""
        host, port = split_portal(portal)
        for directory in (self.root / "sys/class/iscsi_session").glob("session*"):
            number = directory.name.removeprefix("session")
            connection = self.root / f"sys/class/iscsi_connection/connection{number}:0"
            found = [(connection / f"persistent_{what}").read_text().strip() for what in ("address", "port")]
            if (directory / "targetname").read_text().strip() == iqn and found == [host, str(port)]:
                return directory
        return None

    def log_out(self, iqn: str, portal: str) -> None:
        """End a session."""
        directory = self.session(iqn, portal)
        if directory is None:
            return
        self.remove_disks(directory)
        shutil.rmtree(directory)

    def state(self, iqn: str, portal: str, state: str) -> None:
        """Set what the kernel tells of a session."""
        directory = self.session(iqn, portal)
        assert directory is not None
        (directory / "state").write_text(state)


class Brick:
    """In place of os-brick's connector: logs in on the machine and runs its commands for it."""

    def __init__(self, machine: Machine, commands: Any) -> None:
        self.machine = machine
        self.commands = commands

    def connect_volume(self, properties: dict[str, Any]) -> dict[str, Any]:
        portal, iqn, lun = (properties[key] for key in ("target_portal", "target_iqn", "target_lun"))
        host, port = split_portal(portal)
        path = IscsiPath(host, port, iqn, lun)
        node = ("iscsiadm", "-m", "node", "-T", iqn, "-p", portal)
        found = self.machine.session(iqn, portal)
        if found is not None:
            disks = [one.name for one in found.glob(f"device/target*/*:{lun}/block/*")]
            return {"path": f"/dev/{disks[0]}" if disks else self.machine.add_disk(found, path)}
        self.commands(*node, "--op", "update", "-n", "node.session.auth.password", "-v", properties["auth_password"])
        try:
            self.commands(*node, "--login")
        except processutils.ProcessExecutionError as err:
            raise brick_errors.VolumeDeviceNotFound(device="") from err
        return {"path": self.machine.log_in(path)}

    def disconnect_volume(self, properties: dict[str, Any], info: Any, force: bool, ignore_errors: bool) -> None:
        for portal, iqn in zip(properties["target_portals"], properties["target_iqns"], strict=True):
            if not force and "flush" in self.machine.fail:
                raise brick_errors.BrickException("Flushing failed")
            session = self.machine.session(iqn, portal)
            if session is not None:
                self.machine.remove_disks(session, properties["target_lun"])
                if list(session.glob("device/target*/*/block/*")):
                    continue
            self.commands("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "--logout", check_exit_code=[0, 21])

    def extend_volume(self, properties: dict[str, Any]) -> int:
        return 96 * 2**20
