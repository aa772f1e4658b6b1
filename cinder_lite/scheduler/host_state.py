"""What the scheduler knows of the backends: their last report, how old it is, and what it gave them since.

Reports arrive over the bus and live in memory only; at its start the scheduler asks all backends for theirs.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Member:
    """A backend that is alive and enabled, as the services table tells."""

    host: str
    availability_zone: str


@dataclass(frozen=True)
class Pool:
    """One pool as it is now thought to be. `host` is host@backend, `name` host@backend#pool."""

    name: str
    host: str
    availability_zone: str
    capabilities: Mapping[str, Any]

    def number(self, key: str, default: float = 0.0) -> float:
        """A capability as a number; `default` where it is none (as "unknown" and "infinite" are)."""
        value = self.capabilities.get(key, default)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


@dataclass
class _Report:
    common: dict[str, Any]
    pools: dict[str, dict[str, Any]]
    received: float
    given: dict[str, tuple[str, int]] = field(default_factory=dict)


class HostStates:
    """The reports by backend. `stale_after` seconds without one, a backend is no longer chosen."""

    def __init__(self, stale_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_after = stale_after
        self._clock = clock
        self._guard = threading.Lock()
        self._reports: dict[str, _Report] = {}

    def update(self, host: str, capabilities: Mapping[str, Any]) -> None:
        """Take a report. It was measured by the backend, so what was only subtracted here no longer counts."""
        common = {key: value for key, value in capabilities.items() if key != "pools"}
        pools = {f"{host}#{pool['pool_name']}": dict(pool) for pool in capabilities.get("pools", [])}
        with self._guard:
            self._reports[host] = _Report(common, pools, self._clock())

    def has_reports(self) -> bool:
        """Whether any backend has reported yet."""
        with self._guard:
            return bool(self._reports)

    def pools(self, members: Iterable[Member]) -> list[Pool]:
        """The pools of those backends that have reported lately."""
        oldest = self._clock() - self._stale_after
        found = []
        with self._guard:
            for member in members:
                report = self._reports.get(member.host)
                if report is None or report.received < oldest:
                    continue
                found += [
                    Pool(name, member.host, member.availability_zone, report.common | pool)
                    for name, pool in report.pools.items()
                ]
        return found

    def consume(self, pool_name: str, volume_id: str, size: int) -> None:
        """Count a volume that was just given to the pool, until the pool's next report."""
        with self._guard:
            report = self._reports.get(_host(pool_name))
            if report is not None and pool_name in report.pools:
                report.given[volume_id] = (pool_name, size)
                _add(report.pools[pool_name], size)

    def give_back(self, host: str, volume_id: str) -> None:
        """Undo `consume` for a volume that the backend could not make, if no report came in between."""
        with self._guard:
            report = self._reports.get(host)
            given = report.given.pop(volume_id, None) if report is not None else None
            if report is not None and given is not None:
                _add(report.pools[given[0]], -given[1])

    def snapshot(self) -> list[dict[str, Any]]:
        """Every pool that ever reported, as {"name", "capabilities"}, for get_pools."""
        with self._guard:
            return [
                {"name": name, "capabilities": copy.deepcopy(report.common | pool)}
                for report in self._reports.values()
                for name, pool in report.pools.items()
            ]


def _host(pool_name: str) -> str:
    return pool_name.partition("#")[0]


def _add(pool: dict[str, Any], size: int) -> None:
    for key, sign in (("allocated_capacity_gb", 1), ("provisioned_capacity_gb", 1), ("free_capacity_gb", -1)):
        value = pool.get(key)
        if isinstance(value, int | float):
            pool[key] = value + sign * size
