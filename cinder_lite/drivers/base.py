"""What cinder-volume asks of the thing that keeps the bytes.

Every operation is an *ensure*: asked twice, it does its work once, so a daemon that was killed in the middle simply
asks again. What is half made is never taken for a volume. A driver knows names and sizes, never rows: who owns a
volume and in which state it is stays above.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from lite_common import errors

GIB = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")


@dataclass(frozen=True)
class Pool:
    """What the options say about the one pool of a backend: its name and how much of it may be promised."""

    name: str
    max_over_subscription_ratio: float = 20.0
    reserved_percentage: int = 0


@dataclass(frozen=True)
class Usage:
    """What a driver measured, in GiB. `provisioned` is the sum of the sizes promised, `free` what is really left."""

    total: float
    free: float
    provisioned: float
    volumes: int


class VolumeDriver(abc.ABC):
    """One backend's storage. Called from several threads; the caller holds the locks of the volumes it names.

    Volumes and snapshots are named apart (`volume-ID`, `snapshot-ID`). Sizes are GiB. What a volume was not given by
    its source reads as zeros: no byte of another volume, living or deleted, can be read.

    What goes wrong is raised as errors.BackendError that names the volume, the place and what to do. Where trying
    again later is right it is an errors.Unavailable. cinder_lite.errors.VolumeIsBusy means that somebody uses what
    was to be changed; its subclass DeviceIsBusy, that the user is a program of this host and will soon be done.
    """

    vendor = "nova-lite"
    version = "1.0"

    @property
    def thin(self) -> bool:
        """Whether a volume takes space only for what was written to it."""
        return True

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @abc.abstractmethod
    def check_for_setup_error(self) -> None:
        """Return when the backend can work. Raises errors.LiteError that says what to repair."""

    @abc.abstractmethod
    def create_volume(self, name: str, size_gb: int) -> None:
        """Ensure that a volume `name` of `size_gb` GiB exists; a new one reads as zeros."""

    @abc.abstractmethod
    def delete_volume(self, name: str) -> None:
        """Ensure that no volume `name` exists. Refused, with VolumeIsBusy, while its snapshots need it."""

    @abc.abstractmethod
    def extend_volume(self, name: str, size_gb: int) -> None:
        """Ensure that the volume has `size_gb` GiB; what is added reads as zeros. A smaller size is refused."""

    @abc.abstractmethod
    def create_snapshot(self, snapshot: str, volume: str) -> None:
        """Ensure a snapshot that keeps what `volume` holds at one moment, in use or not."""

    @abc.abstractmethod
    def delete_snapshot(self, snapshot: str) -> None:
        """Ensure that no such snapshot exists. Volumes made from it stay."""

    @abc.abstractmethod
    def create_volume_from_snapshot(self, name: str, size_gb: int, snapshot: str) -> None:
        """Ensure a volume that begins with what the snapshot holds. A size smaller than that is refused."""

    @abc.abstractmethod
    def create_cloned_volume(self, name: str, size_gb: int, source: str) -> None:
        """Ensure a volume that begins with what the volume `source` holds at one moment. A size smaller than the
        source's is refused."""

    @abc.abstractmethod
    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the bytes that each of these volumes has; one that does not exist is left out."""

    @abc.abstractmethod
    def local_path(self, name: str) -> str:
        """Return the path by which a program on this host opens the volume. Costs nothing."""

    def ensure_path(self, name: str) -> str:
        """Return `local_path` once the volume can be opened there, for instance after a reboot of the host."""
        return self.local_path(name)

    @abc.abstractmethod
    def measure(self) -> Usage:
        """Return what the backend holds now."""

    def get_stats(self) -> dict[str, Any]:
        """Return the capabilities that are reported to the scheduler, with the field names of Cinder's reports."""
        usage = self.measure()
        return {
            "volume_backend_name": self.pool.name,
            "vendor_name": self.vendor,
            "driver_version": self.version,
            "storage_protocol": "iSCSI",
            "shared_targets": False,
            "sparse_copy_volume": self.thin,
            "pools": [
                {
                    "pool_name": self.pool.name,
                    "total_capacity_gb": round(usage.total, 2),
                    "free_capacity_gb": round(usage.free, 2),
                    "provisioned_capacity_gb": round(usage.provisioned, 2),
                    "max_over_subscription_ratio": self.pool.max_over_subscription_ratio,
                    "reserved_percentage": self.pool.reserved_percentage,
                    "thin_provisioning_support": self.thin,
                    "thick_provisioning_support": not self.thin,
                    "total_volumes": usage.volumes,
                    "location_info": self.location(),
                    "QoS_support": False,
                    "multiattach": False,
                    "backend_state": "up",
                    "filter_function": None,
                    "goodness_function": None,
                }
            ],
        }

    @abc.abstractmethod
    def location(self) -> str:
        """Return where the pool is, for people."""


def refuse_smaller(name: str, size: int, source: str, needed: int) -> None:
    """Return when `size` bytes hold the `needed` ones. Raises errors.BackendError that names both ends."""
    if size < needed:
        raise errors.BackendError(
            f"{name} cannot have {size} bytes: {source} needs {needed}. Ask for {-(-needed // GIB)} GiB or more."
        )


def checked_name(name: str) -> str:
    """Return `name`. Raises errors.BackendError when it could lead outside the backend's directory."""
    if not _NAME.fullmatch(name):
        raise errors.BackendError(f"{name!r} cannot be the name of a volume.")
    return name
