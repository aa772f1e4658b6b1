"""The in-memory twin of a storage backend: same contract, no bytes. For tests and for measuring the control plane."""

from __future__ import annotations

import threading
from collections.abc import Collection

from cinder_lite.drivers import base
from lite_common import errors


class FakeDriver(base.VolumeDriver):
    """Keeps names and sizes. `broken` (a text) makes each operation fail with that reason until it is cleared."""

    def __init__(self, pool: base.Pool, capacity_gb: int = 1000) -> None:
        super().__init__(pool)
        self.capacity_gb = capacity_gb
        self.broken = ""
        self.volumes: dict[str, int] = {}
        self.snapshots: dict[str, int] = {}
        self._guard = threading.Lock()

    def check_for_setup_error(self) -> None:
        """Return unless `broken`."""
        self._fail("setting up the backend")

    def create_volume(self, name: str, size_gb: int) -> None:
        """Remember the volume; refuses what a file driver refuses."""
        self._fail(f"creating volume {name} of {size_gb} GiB")
        self._create(name, size_gb)

    def delete_volume(self, name: str) -> None:
        """Forget the volume."""
        self._fail(f"deleting volume {name}")
        with self._guard:
            self.volumes.pop(base.checked_name(name), None)

    def extend_volume(self, name: str, size_gb: int) -> None:
        """Remember the new size."""
        self._fail(f"extending volume {name} to {size_gb} GiB")
        with self._guard:
            found = _known(self.volumes, name)
            base.refuse_smaller(name, size_gb * base.GIB, "what is there", found * base.GIB)
            self.volumes[name] = size_gb

    def create_snapshot(self, snapshot: str, volume: str) -> None:
        """Remember the snapshot, with the volume's size."""
        self._fail(f"creating {snapshot} of {volume}")
        with self._guard:
            size = _known(self.volumes, volume)
            self.snapshots.setdefault(base.checked_name(snapshot), size)

    def delete_snapshot(self, snapshot: str) -> None:
        """Forget the snapshot."""
        self._fail(f"deleting {snapshot}")
        with self._guard:
            self.snapshots.pop(base.checked_name(snapshot), None)

    def create_volume_from_snapshot(self, name: str, size_gb: int, snapshot: str) -> None:
        """Remember the volume, if the snapshot is known and not larger."""
        self._fail(f"creating volume {name} from {snapshot}")
        self._copy(name, size_gb, self.snapshots, snapshot)

    def create_cloned_volume(self, name: str, size_gb: int, source: str) -> None:
        """Remember the volume, if the source is known and not larger."""
        self._fail(f"creating volume {name} from {source}")
        self._copy(name, size_gb, self.volumes, source)

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the remembered sizes."""
        self._fail("looking at volumes")
        with self._guard:
            return {name: self.volumes[name] * base.GIB for name in names if name in self.volumes}

    def local_path(self, name: str) -> str:
        """Return a path at which nothing is."""
        return f"/dev/fake/{base.checked_name(name)}"

    def measure(self) -> base.Usage:
        """Return the configured capacity and what is promised of it; no bytes are ever used."""
        self._fail("measuring the backend")
        with self._guard:
            volumes, promised = len(self.volumes), sum(self.volumes.values()) + sum(self.snapshots.values())
        return base.Usage(float(self.capacity_gb), float(self.capacity_gb), float(promised), volumes)

    def location(self) -> str:
        """Return that this is memory."""
        return f"FakeDriver:{self.pool.name}"

    def _copy(self, name: str, size_gb: int, sources: dict[str, int], source: str) -> None:
        with self._guard:
            needed = _known(sources, source)
        base.refuse_smaller(name, size_gb * base.GIB, source, needed * base.GIB)
        self._create(name, size_gb)

    def _create(self, name: str, size_gb: int) -> None:
        with self._guard:
            found = self.volumes.setdefault(base.checked_name(name), size_gb)
        if found != size_gb:
            raise errors.BackendError(f"Volume {name} exists with {found} GiB, not {size_gb}. Delete it first.")

    def _fail(self, what: str) -> None:
        if self.broken:
            raise errors.BackendError(f"Backend {self.pool.name} failed at {what}: {self.broken}. Repair it.")


def _known(sizes: dict[str, int], name: str) -> int:
    found = sizes.get(base.checked_name(name))
    if found is None:
        raise errors.BackendError(f"{name} does not exist on this backend. Check its state and where it belongs.")
    return found
