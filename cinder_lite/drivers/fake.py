"""The in-memory twin of a storage backend: same contract, no bytes. For tests and for measuring the control plane."""

from __future__ import annotations

import threading

from cinder_lite.drivers import base
from lite_common import errors


class FakeDriver(base.VolumeDriver):
    """Keeps names and sizes. `broken` (a text) makes each operation fail with that reason until it is cleared."""

    def __init__(self, pool: base.Pool, capacity_gb: int = 1000) -> None:
        super().__init__(pool)
        self.capacity_gb = capacity_gb
        self.broken = ""
        self.volumes: dict[str, int] = {}
        self._guard = threading.Lock()

    def check_for_setup_error(self) -> None:
        """Return unless `broken`."""
        self._fail("setting up the backend")

    def create_volume(self, name: str, size_gb: int) -> None:
        """Remember the volume; refuses what a file driver refuses."""
        self._fail(f"creating volume {name} of {size_gb} GiB")
        with self._guard:
            found = self.volumes.setdefault(base.checked_name(name), size_gb)
        if found != size_gb:
            raise errors.BackendError(f"Volume {name} exists with {found} GiB, not {size_gb}. Delete it first.")

    def delete_volume(self, name: str) -> None:
        """Forget the volume."""
        self._fail(f"deleting volume {name}")
        with self._guard:
            self.volumes.pop(base.checked_name(name), None)

    def local_path(self, name: str) -> str:
        """Return a path at which nothing is."""
        return f"/dev/fake/{base.checked_name(name)}"

    def measure(self) -> base.Usage:
        """Return the configured capacity and what is promised of it; no bytes are ever used."""
        self._fail("measuring the backend")
        with self._guard:
            sizes = list(self.volumes.values())
        return base.Usage(float(self.capacity_gb), float(self.capacity_gb), float(sum(sizes)), len(sizes))

    def location(self) -> str:
        """Return that this is memory."""
        return f"FakeDriver:{self.pool.name}"

    def _fail(self, what: str) -> None:
        if self.broken:
            raise errors.BackendError(f"Backend {self.pool.name} failed at {what}: {self.broken}. Repair it.")
