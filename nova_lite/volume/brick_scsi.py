"""os-brick's view of SCSI disks, without its waits of whole seconds and without programs that only read.

A disk that was scanned for is there within milliseconds, but not at once; os-brick looks, and then sleeps a second.
"""

from __future__ import annotations

import glob
import os
import time
from typing import Any

from os_brick.initiator import linuxscsi

from nova_lite.volume.brick_commands import Commands
from nova_lite.volume.sysfs import Sysfs

_SCAN_WAIT = 1.0  # seconds; os-brick's own waits follow
_POLL = 0.005


class Scsi(linuxscsi.LinuxSCSI):
    """As the base class; `multipath` tells whether volumes are to get multipath maps."""

    def __init__(self, commands: Commands, sysfs: Sysfs, multipath: bool) -> None:
        super().__init__("sudo", execute=commands)
        self._commands = commands
        self._sysfs = sysfs
        self._multipath = multipath

    def scan_iscsi(self, host: str, channel: str = "-", target: str = "-", lun: str = "-") -> None:
        """Scan, and give the new disk the moment that it needs."""
        super().scan_iscsi(host, channel, target, lun)
        pattern = f"/sys/class/scsi_host/host{host}/device/session*/target*/*:*:*:{lun}/block/*"
        deadline = time.monotonic() + _SCAN_WAIT
        while not glob.glob(pattern) and time.monotonic() < deadline:
            time.sleep(_POLL)

    def get_sysfs_wwn(self, device_names: list[str], mpath: str | None = None) -> str:
        """The disk's name in the world; the links that udev makes of it matter to multipath alone."""
        if self._multipath:
            return str(super().get_sysfs_wwn(device_names, mpath))
        return str(self.get_sysfs_wwid(device_names)) or "unknown"

    def is_multipath_running(self, root_helper: str, execute: Any = None) -> bool:
        """Whether multipathd is to be told of disks."""
        return self._multipath and bool(super().is_multipath_running(root_helper, execute=self._commands))

    def get_device_info(self, device: str) -> dict[str, str | None]:
        """Where on which SCSI host the disk is."""
        address = self._sysfs.address(os.path.basename(os.path.realpath(device)))
        host, channel, target, lun = address.split(":") if address else (None,) * 4
        return {"device": device, "host": host, "channel": channel, "id": target, "lun": lun}

    def get_scsi_wwn(self, path: str) -> str:
        """The disk's name in the world, as udev writes it."""
        return str(self.get_sysfs_wwid([os.path.basename(os.path.realpath(path))]))
