"""The logical volumes of one group as the LVM driver handles them one by one: find, wait for, wipe, remove.

Waits are here because a device of LVM is never the caller's alone: udev and its scans open it after every change, for
moments; a device node appears when udev has made it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

from cinder_lite import errors as cinder_errors
from cinder_lite.drivers import lvm_errors
from cinder_lite.privileged import blocks
from cinder_lite.privileged import lvm as commands
from lite_common import errors

LOG = logging.getLogger(__name__)

# Longest wait, in seconds, for a device that somebody on this host has open, and for a device node to appear.
BUSY_WAIT = 10.0
NODE_WAIT = 10.0
_PAUSE = 0.2

Row = dict[str, Any]


class Devices:
    """The group's logical volumes. `backend` is the name that errors carry."""

    def __init__(self, backend: str, group: str) -> None:
        self.backend = backend
        self.group = group

    def find(self, lv: str) -> Row | None:
        """What LVM knows of it."""
        return named(commands.volumes(self.group, lv), lv)

    def rows(self) -> list[Row]:
        """What LVM knows of all."""
        return commands.volumes(self.group)

    def existing(self, lv: str, rows: list[Row] | None = None) -> Row:
        """The same of one that must be there, whole; from a list that is at hand. Raises errors.BackendError."""
        found = self.find(lv) if rows is None else named(rows, lv)
        if found is None or commands.UNFINISHED in found["tags"]:
            raise errors.BackendError(
                f"There is no {lv} in volume group {self.group}. If its disks are all there (`pvs`), it is lost."
            )
        return found

    def await_node(self, lv: str) -> None:
        """Return when its device node is there."""
        path = f"/dev/{self.group}/{lv}"
        end = time.monotonic() + NODE_WAIT
        while not os.path.exists(path):
            if time.monotonic() > end:
                raise errors.BackendError(
                    f"{path} did not appear in {NODE_WAIT:.0f} s. Check that udevd runs "
                    "(`systemctl status systemd-udevd`)."
                )
            commands.settle()
            time.sleep(_PAUSE)

    def ensure_node(self, lv: str) -> None:
        """Activate it where it has no device node; a node that is there is believed."""
        if not os.path.exists(f"/dev/{self.group}/{lv}"):
            commands.activate(self.group, lv)
            self.await_node(lv)

    def await_idle(self, found: Row) -> None:
        """Return when nobody has it open. Raises cinder_errors.DeviceIsBusy that tells who, when that lasts."""
        end = time.monotonic() + BUSY_WAIT
        now: Row | None = found
        while now is not None and now["open"]:
            if time.monotonic() > end:
                raise self._busy(found["name"])
            commands.settle()
            time.sleep(_PAUSE)
            now = self.find(found["name"])

    def zero(self, lv: str, start: int, end: int | None = None) -> None:
        """Make it read as zeros from byte `start` to `end`, or to its end."""
        self.ensure_node(lv)
        for offset, length in pieces(start, blocks.size(self.group, lv) if end is None else end):
            blocks.zero(self.group, lv, offset, length)

    def copy(self, source: str, target: str, length: int) -> None:
        """Copy the first `length` bytes; `target` must be active."""
        self.ensure_node(source)
        for offset, piece in pieces(0, length):
            blocks.copy(self.group, source, target, offset, piece)

    def remove(self, lv: str) -> None:
        """Remove it if it is there. Raises cinder_errors.DeviceIsBusy when it stays open."""
        end = time.monotonic() + BUSY_WAIT
        while True:
            try:
                commands.remove(self.group, lv)
            except commands.CommandFailed as err:
                if lvm_errors.means_absent(err):
                    return
                if not lvm_errors.means_busy(err):
                    raise
                if time.monotonic() > end:
                    raise self._busy(lv) from err
                commands.settle()
                time.sleep(_PAUSE)
            else:
                return

    def try_to_remove(self, lv: str) -> None:
        """Remove what is half made or was needed for a while only; where that fails, its tag has it removed at the
        next start or the next try."""
        try:
            self.remove(lv)
        except (errors.LiteError, commands.CommandFailed, OSError) as err:
            LOG.warning("%s/%s stays for now: %s", self.group, lv, err)

    def _busy(self, lv: str) -> errors.LiteError:
        users = ", ".join(blocks.users(self.group, lv)) or "the kernel (a mount, another device or a target)"
        return cinder_errors.DeviceIsBusy(
            f"{self.group}/{lv} cannot be removed: it is open on this host by {users}. End that use."
        )


def named(volumes: list[Row], lv: str) -> Row | None:
    """The row of that name."""
    return next((one for one in volumes if one["name"] == lv), None)


def pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The range cut into (offset, length) that one privileged call does within its time."""
    for offset in range(start, end, blocks.PIECE):
        yield offset, min(blocks.PIECE, end - offset)
