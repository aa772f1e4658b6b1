"""Which pools can take a volume. Each filter answers with the reason why not, or None.

The reasons make up the text of "no valid backend", so that one sees at once which condition ruled out which pool.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cinder_lite.scheduler.host_state import Pool


@dataclass(frozen=True)
class Request:
    """What is asked of a pool. `size` in GiB; no zones: any; `tried` are backends (host@name) that failed; `pool` is
    the one (host@name#pool) that has what the volume is made from."""

    size: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    availability_zones: Sequence[str] = ()
    tried: Sequence[str] = ()
    pool: str | None = None


Filter = Callable[[Pool, Request], str | None]


def availability_zone(pool: Pool, request: Request) -> str | None:
    """The pool must be in one of the zones asked for."""
    if not request.availability_zones or pool.availability_zone in request.availability_zones:
        return None
    return f"is in zone {pool.availability_zone}, not in {' or '.join(request.availability_zones)}"


def capacity(pool: Pool, request: Request) -> str | None:
    """The pool must have room, by the rules of Cinder's capacity filter: see `virtual_free`."""
    if request.size <= 0:
        return None
    total = pool.capabilities.get("total_capacity_gb", 0)
    if _is_unlimited(pool.capabilities.get("free_capacity_gb")) or _is_unlimited(total):
        return None
    if pool.number("total_capacity_gb") <= 0:
        return "reports no capacity"
    free = virtual_free(pool, request)
    if free < request.size:
        return f"has {max(free, 0):.2f} GiB left to promise, {request.size} are asked for"
    return None


def capabilities(pool: Pool, request: Request) -> str | None:
    """The pool must report what the volume type's extra specs demand; specs of other scopes are not for us."""
    for key, demand in request.extra_specs.items():
        scope, colon, name = key.rpartition(":")
        # `multiattach` has no scope and is demanded of the backend too; `provisioning:` and the like are not.
        if colon and scope != "capabilities":
            continue
        if name not in pool.capabilities:
            return f"does not report {name}"
        if not matches(pool.capabilities[name], demand):
            return f"reports {name}={pool.capabilities[name]}, asked for is {demand!r}"
    return None


def not_tried(pool: Pool, request: Request) -> str | None:
    """A backend that has already failed to make this volume is not asked again.

    Cinder leaves this to a filter that is not in its default list; here it always holds.
    """
    return "has already failed to make it" if pool.host in request.tried else None


def has_source(pool: Pool, request: Request) -> str | None:
    """What a volume is made from is on one pool only, and no bytes are carried to others."""
    if request.pool in (None, pool.name):
        return None
    return f"does not have what the volume is made from, which is on {request.pool}"


FILTERS: Mapping[str, Filter] = {
    "AvailabilityZoneFilter": availability_zone,
    "CapacityFilter": capacity,
    "CapabilitiesFilter": capabilities,
    "IgnoreAttemptedHostsFilter": not_tried,
}


def virtual_free(pool: Pool, request: Request) -> float:
    """GiB that the pool may still promise.

    Thin: (total - reserved) x ratio - provisioned. Thick: what is really free, less what is reserved.
    """
    total = pool.number("total_capacity_gb")
    usable = total - math.floor(total * pool.number("reserved_percentage") / 100)
    provisioned = pool.number("provisioned_capacity_gb")
    ratio = pool.number("max_over_subscription_ratio", 1.0)
    is_thick = request.extra_specs.get("provisioning:type") == "thick"
    if not is_thick and pool.capabilities.get("thin_provisioning_support") and ratio >= 1:
        return usable * ratio - provisioned
    return min(pool.number("free_capacity_gb"), usable - provisioned)


_NUMERIC = {"=": operator.ge, "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le}
_TEXTUAL = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}
_TRUE = ("true", "1", "yes", "on", "y", "t")


def matches(value: Any, demand: str) -> bool:
    """Whether a reported value meets an extra spec, with the operators that Cinder's types may use."""
    if isinstance(value, list | tuple):
        return any(matches(one, demand) for one in value)
    word, *rest = demand.split() or [""]
    if word == "<or>":
        return str(value) in [part.strip() for part in demand.split("<or>") if part.strip()]
    if word == "<in>":
        return " ".join(rest) in str(value)
    if word == "<is>":
        return bool(rest) and (str(value).lower() in _TRUE) == (rest[0].lower() in _TRUE)
    if word in _TEXTUAL and rest:
        return bool(_TEXTUAL[word](str(value), rest[0]))
    if word in _NUMERIC and rest:
        try:
            return bool(_NUMERIC[word](float(value), float(rest[0])))
        except (TypeError, ValueError):
            return False
    return str(value).lower() == demand.lower()


def _is_unlimited(value: Any) -> bool:
    return value in ("infinite", "unknown")
