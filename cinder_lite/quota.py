"""Limits on what a project may have: reserve before something is made, settle once it is there or will never be.

Usage is counted from the volumes themselves (see `db/quotas.py`), so to commit and to roll back a reservation are the
same act: the reservation ends, and whether its volume exists shows in the count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cinder_lite import errors
from cinder_lite.db import quota_classes, quotas, types
from lite_common import db

UNLIMITED = -1
VOLUMES, GIGABYTES, PER_VOLUME = quotas.VOLUMES, quotas.GIGABYTES, "per_volume_gigabytes"
SNAPSHOTS = quotas.SNAPSHOTS
# Resources of Cinder that this service does not have: none can be made, so none are allowed.
ABSENT = ("backups", "backup_gigabytes", "groups")


@dataclass(frozen=True)
class Entry:
    """One resource of one project: its limit (-1: none) and how much is used."""

    limit: int
    usage: quotas.Usage


class QuotaEngine:
    """The quotas of all projects. `defaults` are limits by resource where a project has none of its own;
    `reservation_expire` is how long (seconds) a reservation that nobody settles counts."""

    def __init__(self, database: db.Database, defaults: Mapping[str, int], reservation_expire: int) -> None:
        self._db = database
        self._defaults = dict(defaults)
        self._expire = reservation_expire

    def reserve(self, project_id: str, size: int, volume_type: str) -> list[str]:
        """Set aside one volume of `size` GiB; the reservations, to be settled.

        Raises errors of the TooLarge family, which name the quota, when a limit would be exceeded.
        """
        deltas = {
            VOLUMES: 1,
            GIGABYTES: size,
            f"{VOLUMES}_{volume_type}": 1,
            f"{GIGABYTES}_{volume_type}": size,
        }

        def work(conn: Any) -> list[str]:
            counted = self.admit(conn, project_id, deltas, volume_size=size)
            return quotas.reserve(conn, project_id, deltas, counted, self._expire)

        return self._db.run(work)

    def admit(
        self, conn: Any, project_id: str, deltas: Mapping[str, int], *, volume_size: int = 0
    ) -> dict[str, quotas.Usage]:
        """Return the project's usage when it may have so much more, of each resource, and a volume of that size.

        The usage is held until the transaction `conn` ends; one that goes on to make what was admitted calls
        `quotas.recount` then, and needs no reservation. Raises errors of the TooLarge family.
        """
        quotas.lock(conn, project_id)
        limits = self._defaults | quota_classes.limits(conn) | quotas.limits(conn, project_id)
        per_volume = limits.get(PER_VOLUME, UNLIMITED)
        if 0 <= per_volume < volume_size:
            raise errors.VolumeSizeExceedsLimit(size=volume_size, limit=per_volume)
        counted = quotas.count(conn, project_id)
        for resource, delta in deltas.items():
            _check(resource, delta, limits.get(resource, UNLIMITED), counted.get(resource, quotas.Usage()))
        return counted

    def settle(self, project_id: str, reservations: list[str]) -> None:
        """End the reservations, whatever became of what they were for. May be repeated."""
        self._db.run(lambda conn: quotas.settle(conn, project_id, reservations))

    def describe(self, project_id: str, *, defaults_only: bool = False) -> dict[str, Entry]:
        """Limit and usage of every resource, those of single volume types included where there are any."""
        with self._db.connection() as conn:
            own = quota_classes.limits(conn) | ({} if defaults_only else quotas.limits(conn, project_id))
            counted = {} if defaults_only else quotas.count(conn, project_id)
            limits = self._known(conn) | own
        return {
            name: Entry(limits.get(name, UNLIMITED), counted.get(name, quotas.Usage()))
            for name in {**limits, **counted}
        }

    def set_limits(self, project_id: str, values: Mapping[str, int]) -> None:
        """Give the project limits of its own. Raises errors.InvalidInput for an unknown resource or a limit below
        what is in use."""
        known = self.describe(project_id)
        _refuse_unknown(values, known)
        for name, limit in values.items():
            used = known[name].usage.in_use
            if 0 <= limit < used:
                raise errors.InvalidInput(reason=f"Quota limit {limit} of {name} is below the {used} in use.")
        self._db.run(lambda conn: quotas.set_limits(conn, project_id, values))

    def class_limits(self, class_name: str) -> dict[str, int]:
        """The limits of a quota class by resource; those of `default` hold where a project has none of its own."""
        with self._db.connection() as conn:
            return self._known(conn) | quota_classes.limits(conn, class_name)

    def set_class_limits(self, class_name: str, values: Mapping[str, int]) -> None:
        """Set limits of a quota class. Raises errors.InvalidInput for an unknown resource."""
        with self._db.connection() as conn:
            _refuse_unknown(values, self._known(conn))
        self._db.run(lambda conn: quota_classes.set_limits(conn, class_name, values))

    def _known(self, conn: Any) -> dict[str, int]:
        """Every resource with the limit that the configuration gives it; volume types have none there."""
        per_type = [f"{what}_{name}" for name in types.names(conn) for what in (VOLUMES, GIGABYTES, SNAPSHOTS)]
        fixed = {SNAPSHOTS: UNLIMITED} | dict.fromkeys(ABSENT, 0)
        return dict.fromkeys(per_type, UNLIMITED) | fixed | self._defaults

    def drop_limits(self, project_id: str) -> None:
        """Let the defaults hold for the project again."""
        with self._db.connection() as conn:
            quotas.drop_limits(conn, project_id)


def _refuse_unknown(values: Mapping[str, int], known: Collection[str]) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise errors.InvalidInput(reason=f"Quota resource {unknown[0]!s:.300} is unknown.")


def _check(resource: str, delta: int, limit: int, usage: quotas.Usage) -> None:
    taken = usage.in_use + usage.reserved
    if limit == UNLIMITED or taken + delta <= limit:
        return
    if resource.startswith(VOLUMES):
        raise errors.VolumeLimitExceeded(allowed=limit, name=resource)
    if resource.startswith(SNAPSHOTS):
        raise errors.SnapshotLimitExceeded(allowed=limit, name=resource)
    raise errors.GigabytesExceeded(name=resource, requested=delta, quota=limit, consumed=taken)
