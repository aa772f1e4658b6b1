"""Volumes as LVM logical volumes, thick or thin, in one volume group.

Thin: volumes and snapshots share the blocks of the pool VG-pool; making one costs nothing, and the pool hands out
zeroed blocks only. Thick: every volume owns its extents. Those may have held anything, foreign data from before the
group existed included, and a wipe at deletion (`volume_clear`) would not help against that, nor against a wipe that
was cut short. So a thick volume is zeroed when it is made, before anybody can see it; `volume_clear` is what it is
for a disk that leaves the house: the deleted data is gone from it. Devices that zero ranges by themselves make both
cheap. See docs/adr/0009-zeros-and-tags.md.

Whatever takes more than one command begins with a tag on the new logical volume, set by the command that makes it.
What a killed daemon leaves is known by the tag, and is made anew or removed; it is never taken for a volume.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from cinder_lite import errors as cinder_errors
from cinder_lite.drivers import base, lvm_devices, lvm_errors
from cinder_lite.privileged import lvm as commands
from lite_common import errors

LOG = logging.getLogger(__name__)

MIB = 1 << 20
THIN, DEFAULT, AUTO = "thin", "default", "auto"
# A pool whose metadata is fuller than this many percent takes no more volumes.
_METADATA_FULL = 95.0


@dataclass(frozen=True)
class Settings:
    """What the options say. `clear` is how many bytes are wiped at the deletion of a thick volume; None: all."""

    group: str
    kind: str = AUTO
    clear: int | None = None


class LvmDriver(base.VolumeDriver):
    """Keeps each volume in a logical volume of the same name; a snapshot's name gets a `_` in front, because LVM
    keeps names that begin with "snapshot" for itself."""

    def __init__(self, pool: base.Pool, settings: Settings) -> None:
        super().__init__(pool)
        self.settings = settings
        self.group = settings.group
        self._devices = lvm_devices.Devices(pool.name, settings.group)
        self._thin: bool | None = {THIN: True, DEFAULT: False}.get(settings.kind)

    @property
    def thin(self) -> bool:
        """Whether the backend is thin; with `auto` this is settled by check_for_setup_error."""
        return bool(self._thin)

    def check_for_setup_error(self) -> None:
        """Settle the kind, make the thin pool where it is missing, and remove what a killed daemon left half made."""
        with self._naming("setting up the backend"):
            kernel = commands.kernel()
            _require_kernel(self.pool.name, kernel)
            group, volumes = commands.group(self.group), commands.volumes(self.group)
            if group["missing"]:
                raise errors.Unavailable(
                    f"{group['missing']} disks of volume group {self.group} are missing. See `pvs`; attach them again."
                )
            pool = lvm_devices.named(volumes, self._pool_name)
            if self._thin is None:
                self._thin = pool is not None or (group["volumes"] == 0 and _can_be_thin(kernel))
            if self._thin:
                self._set_up_pool(kernel, pool)
            elif not kernel["targets"]["snapshot"]:
                LOG.warning("backend %s: no snapshots, the kernel module dm_snapshot is missing", self.pool.name)
            for volume in volumes:
                if {commands.UNFINISHED, commands.TEMPORARY} & set(volume["tags"]):
                    LOG.warning("removing %s/%s, left by an unfinished operation", self.group, volume["name"])
                    self._devices.try_to_remove(volume["name"])

    def create_volume(self, name: str, size_gb: int) -> None:
        """Ensure the logical volume; a thick one is zeroed first."""
        size = size_gb * base.GIB
        with self._naming(f"creating volume {name} of {size_gb} GiB"):
            if self._is_to_be_made(name, size, commands.volumes(self.group, base.checked_name(name))):
                if self.thin:
                    commands.create_thin(self.group, name, size)
                    self._devices.await_node(name)
                else:
                    self._make_thick(name, size)

    def delete_volume(self, name: str) -> None:
        """Ensure that it is gone; a thick one is wiped as `volume_clear` says. Waits a while for a busy device.

        Raises cinder_errors.VolumeIsBusy while the volume is still whole, errors.Unavailable once it is not.
        """
        self._delete(base.checked_name(name), name)

    def extend_volume(self, name: str, size_gb: int) -> None:
        """Ensure the size. A thick volume that has snapshots must not be in use meanwhile."""
        size = size_gb * base.GIB
        with self._naming(f"extending volume {name} to {size_gb} GiB"):
            found = self._devices.existing(base.checked_name(name))
            if size <= found["size"] - found["extent"]:
                base.refuse_smaller(name, size, "what is there", found["size"])
            elif found["size"] < size:
                if self.thin:
                    commands.extend(self.group, name, size)
                else:
                    self._extend_thick(found, size)

    def create_snapshot(self, snapshot: str, volume: str) -> None:
        """Ensure the snapshot; LVM holds the volume's writes for the moment it takes."""
        lv = _snapshot_lv(snapshot)
        with self._naming(f"creating {snapshot} of {volume}"):
            origin = self._devices.existing(base.checked_name(volume))
            found = self._devices.find(lv)
            if found is None:
                if not self.thin:
                    self._devices.ensure_node(volume)
                commands.snapshot(self.group, lv, volume, self.thin, f"{commands.SIZE}{origin['size']}")
            elif found["origin"] != volume:
                raise errors.BackendError(
                    f"{self.group}/{lv} exists and is no snapshot of {volume}. Rename or remove it, then try again."
                )

    def delete_snapshot(self, snapshot: str) -> None:
        """Ensure that it is gone. The old blocks that a thick one kept are not wiped: no volume can read them."""
        self._delete(_snapshot_lv(snapshot), snapshot)

    def create_volume_from_snapshot(self, name: str, size_gb: int, snapshot: str) -> None:
        """Ensure the volume: thin, a snapshot of the snapshot; thick, a copy."""
        lv, size = _snapshot_lv(snapshot), size_gb * base.GIB
        with self._naming(f"creating volume {name} from {snapshot}"):
            rows = self._devices.rows()
            held = self._devices.existing(lv, rows)
            if held["broken"]:
                raise errors.BackendError(f"{snapshot} has become invalid and holds nothing any more. Delete it.")
            # What lvs calls a thick snapshot's size is the room for its old blocks.
            needed = next(iter(_marks(held, commands.SIZE)), held["size"])
            base.refuse_smaller(name, size, snapshot, needed)
            if self._is_to_be_made(name, size, rows):
                self._make_from(name, size, lv, needed)

    def create_cloned_volume(self, name: str, size_gb: int, source: str) -> None:
        """Ensure the volume: thin, a snapshot of the source; thick, a copy of a snapshot that lives as long."""
        size = size_gb * base.GIB
        with self._naming(f"creating volume {name} from {source}"):
            rows = self._devices.rows()
            needed = self._devices.existing(base.checked_name(source), rows)["size"]
            base.refuse_smaller(name, size, source, needed)
            if not self._is_to_be_made(name, size, rows):
                return
            if self.thin:
                self._make_from(name, size, source, needed)
                return
            moment = f"clone-snap-{name.removeprefix('volume-')}"
            if lvm_devices.named(rows, moment) is not None:
                self._devices.remove(moment)
            self._devices.ensure_node(source)
            commands.snapshot(self.group, moment, source, False, commands.TEMPORARY)
            try:
                self._make_from(name, size, moment, needed)
            finally:
                self._devices.try_to_remove(moment)

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the sizes that LVM tells, all with one command; what is half made is no volume."""
        with self._naming("looking at volumes"):
            rows = {one["name"]: one for one in self._devices.rows() if commands.UNFINISHED not in one["tags"]}
        return {name: rows[name]["size"] for name in names if name in rows}

    def local_path(self, name: str) -> str:
        """Return the path of the device node."""
        return f"/dev/{self.group}/{base.checked_name(name)}"

    def ensure_path(self, name: str) -> str:
        """Activate the volume where it is not; a node that is there is believed."""
        path = self.local_path(name)
        if not os.path.exists(path):
            with self._naming(f"activating volume {name}"):
                self._devices.existing(name)
                self._devices.ensure_node(name)
        return path

    def measure(self) -> base.Usage:
        """Thin: the pool and the sizes promised from it. Thick: the group; what is taken is what is promised."""
        with self._naming("measuring the backend"):
            volumes = commands.volumes(self.group)
            count = sum(one["name"].startswith("volume-") for one in volumes)
            if not self.thin:
                group = commands.group(self.group)
                size, free = group["size"] / base.GIB, group["free"] / base.GIB
                return base.Usage(size, free, size - free, count)
            pool = lvm_devices.named(volumes, self._pool_name)
            if pool is None:
                raise errors.Unavailable(
                    f"Backend {self.pool.name} has lost its thin pool {self.group}/{self._pool_name}. See `lvs -a`."
                )
            size = pool["size"] / base.GIB
            promised = sum(one["size"] for one in volumes if one["pool"] == pool["name"])
            return base.Usage(size, size * self._free_share(pool), promised / base.GIB, count)

    def location(self) -> str:
        """Return host, group and kind, as Cinder's LVM driver does."""
        return f"LVMVolumeDriver:{socket.gethostname()}:{self.group}:{THIN if self.thin else DEFAULT}:0"

    @property
    def _pool_name(self) -> str:
        return f"{self.group}-pool"

    def _free_share(self, pool: lvm_devices.Row) -> float:
        if pool["metadata_percent"] < _METADATA_FULL:
            return float(1 - pool["data_percent"] / 100)
        LOG.warning(
            "the metadata of %s/%s are nearly full, so it counts as full. Extend them (lvextend --poolmetadatasize).",
            self.group,
            pool["name"],
        )
        return 0.0

    def _set_up_pool(self, kernel: dict[str, Any], pool: lvm_devices.Row | None) -> None:
        if not _can_be_thin(kernel):
            raise errors.Unavailable(
                f"Backend {self.pool.name} is thin, but the kernel module dm_thin_pool or the program thin_check is "
                "missing. Run `modprobe dm_thin_pool`, install thin-provisioning-tools, or set lvm_type = default."
            )
        if pool is None:
            LOG.info("making the thin pool %s/%s", self.group, self._pool_name)
            commands.create_pool(self.group)
        elif pool["kind"] != "pool":
            raise errors.BackendError(f"{self.group}/{self._pool_name} is no thin pool. Rename it.")
        elif not pool["zeroing"]:
            raise errors.BackendError(
                f"The thin pool {self.group}/{self._pool_name} hands out blocks that hold old data. "
                f"Run `lvchange --zero y {self.group}/{self._pool_name}`."
            )

    def _is_to_be_made(self, name: str, size: int, rows: list[lvm_devices.Row]) -> bool:
        """Whether the volume is not there yet; a half-made one is removed. Raises when something else has its name."""
        found = lvm_devices.named(rows, base.checked_name(name))
        if found is None:
            return True
        if commands.UNFINISHED in found["tags"]:
            self._devices.remove(name)
            return True
        fits = size <= found["size"] < size + found["extent"]
        kinds = ("thin",) if self.thin else ("thick", "origin")
        if not fits or found["kind"] not in kinds or (self.thin and found["pool"] != self._pool_name):
            raise errors.BackendError(
                f"{self.group}/{name} exists, a {found['kind']} volume of {found['size']} bytes, where volume {name} "
                f"needs {size}. Rename or remove it, then create the volume again."
            )
        return False

    def _make_from(self, name: str, size: int, source: str, needed: int) -> None:
        """A new volume that begins with the first `needed` bytes of another logical volume."""
        if not self.thin:
            self._make_thick(name, size, lambda: self._devices.copy(source, name, needed), needed)
            return
        commands.snapshot(self.group, name, source, True, commands.UNFINISHED)
        with self._undoing(name):
            if size > needed:
                commands.extend(self.group, name, size)
            self._devices.await_node(name)
            commands.tag(self.group, name, commands.UNFINISHED, False)

    def _make_thick(self, name: str, size: int, fill: Callable[[], None] | None = None, filled: int = 0) -> None:
        """A new volume whose first `filled` bytes are written by `fill`, the others zeroed. On an error it goes."""
        commands.create_thick(self.group, name, size)
        with self._undoing(name):
            self._devices.await_node(name)
            if fill is not None:
                fill()
            self._devices.zero(name, filled)
            commands.tag(self.group, name, commands.UNFINISHED, False)

    @contextlib.contextmanager
    def _undoing(self, name: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._devices.try_to_remove(name)
            raise

    def _extend_thick(self, found: lvm_devices.Row, size: int) -> None:
        """The new extents are zeroed as a volume of their own and joined then: a host that uses the volume sees its
        new end at once, and must not read there what they held before."""
        name = found["name"]
        more = f"grow-{name.removeprefix('volume-')}"
        self._devices.remove(more)
        commands.create_thick(self.group, more, size - found["size"])
        with self._undoing(more):
            self._devices.zero(more, 0)
            if found["kind"] == "origin":
                # LVM resizes the origin of a snapshot only while it is inactive.
                commands.activate(self.group, name, False)
            try:
                commands.extend_onto(self.group, name, size, more)
            finally:
                if found["kind"] == "origin":
                    commands.activate(self.group, name)

    def _delete(self, lv: str, name: str) -> None:
        with self._naming(f"deleting {name}"):
            found = self._devices.find(lv)
            if found is None:
                return
            if found["kind"] == "origin":
                kept = [one["name"] for one in commands.volumes(self.group) if one["origin"] == lv]
                raise cinder_errors.VolumeIsBusy(
                    f"{name} cannot be deleted while {', '.join(kept)} need it. Delete those snapshots first."
                )
            if found["kind"] == "pool":
                raise errors.BackendError(f"{self.group}/{lv} is a thin pool, no volume. It is left alone.")
            self._devices.await_idle(found)
            end = found["size"] if self.settings.clear is None else min(found["size"], self.settings.clear)
            if found["kind"] != "thick" or not end:
                self._devices.remove(lv)
                return
            self._devices.zero(lv, 0, end)
            try:
                self._devices.remove(lv)
            except cinder_errors.DeviceIsBusy as err:
                # It holds nothing any more, so it must not be given back as if it had only been busy.
                raise errors.Unavailable(f"{err.message} It is wiped already and is removed later.") from err

    @contextlib.contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        with lvm_errors.naming(self.pool.name, self.group, what):
            yield


def _snapshot_lv(snapshot: str) -> str:
    return f"_{base.checked_name(snapshot)}"


def _marks(row: lvm_devices.Row, mark: str) -> list[int]:
    return [int(tag.removeprefix(mark)) for tag in row["tags"] if tag.startswith(mark)]


def _can_be_thin(kernel: dict[str, Any]) -> bool:
    return bool(kernel["targets"]["thin-pool"] and kernel["thin_check"])


def _require_kernel(backend: str, kernel: dict[str, Any]) -> None:
    if not kernel["device_mapper"]:
        raise errors.Unavailable(
            f"Backend {backend} needs the kernel's device mapper (module dm_mod), which does not answer. "
            "Run `modprobe dm_mod`; in a container, allow /dev/mapper."
        )
    if not kernel["udev"]:
        raise errors.Unavailable(
            f"Backend {backend} needs udevd, which makes the device nodes. Run `systemctl start systemd-udevd`."
        )
