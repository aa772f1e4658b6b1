"""Which of the pools that can take a volume is best."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cinder_lite.scheduler import filters
from cinder_lite.scheduler.host_state import Pool


def by_capacity(pools: Sequence[Pool], request: filters.Request, multiplier: float = 1.0) -> list[Pool]:
    """The pools, best first: most left to promise, or least where `multiplier` is negative.

    Pools of unlimited or unknown capacity come last, as in Cinder, and equal ones in random order, so that
    schedulers that know the same do not all choose the same.
    """
    shuffled = random.sample(list(pools), len(pools))
    known = {pool.name: filters.virtual_free(pool, request) for pool in shuffled if _is_known(pool)}
    sign = -1 if multiplier >= 0 else 1
    return sorted(shuffled, key=lambda pool: (pool.name not in known, sign * known.get(pool.name, 0.0)))


def _is_known(pool: Pool) -> bool:
    values = (pool.capabilities.get("total_capacity_gb"), pool.capabilities.get("free_capacity_gb"))
    return all(isinstance(value, int | float) for value in values)
