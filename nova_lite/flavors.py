"""The sizes a server can have: a fixed table, because a small site needs a few and a database table of them needs care.

Called by the API, which copies the size into the server's row; nothing after that looks here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lite_common import errors


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size: memory in MiB, virtual CPUs, disks in GB (0: the disk is as large as the image)."""

    id: str
    name: str
    memory_mb: int
    vcpus: int
    root_gb: int = 0
    ephemeral_gb: int = 0
    swap_mb: int = 0
    description: str | None = None
    extra_specs: dict[str, str] = field(default_factory=dict)


BUILT_IN = (
    Flavor("1", "m1.tiny", 512, 1),
    Flavor("2", "m1.small", 2048, 1),
    Flavor("3", "m1.medium", 4096, 2),
    Flavor("4", "m1.large", 8192, 4),
    Flavor("5", "m1.xlarge", 16384, 8),
    Flavor("42", "m1.nano", 128, 1),
    Flavor("84", "m1.micro", 192, 1),
)


class FlavorTable:
    """The flavors of one API, in the order in which lists show them: by memory, then by id."""

    def __init__(self, flavors: Iterable[Flavor] = BUILT_IN) -> None:
        self._flavors = tuple(sorted(flavors, key=lambda flavor: (flavor.memory_mb, flavor.id)))
        self._by_id = {flavor.id: flavor for flavor in self._flavors}

    def all(self) -> tuple[Flavor, ...]:
        """Every flavor, smallest first."""
        return self._flavors

    def get(self, flavor_id: str) -> Flavor:
        """The flavor with this id. Raises errors.NotFound."""
        flavor = self._by_id.get(flavor_id)
        if flavor is None:
            raise errors.NotFound(f"Flavor {flavor_id} could not be found.")
        return flavor
