"""What a user may ask of a new volume, apart from the flow that makes it (which brings taskflow along)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cinder_lite import errors

MAX_SIZE = 2147483647


@dataclass(frozen=True)
class Defaults:
    """What holds where the request says nothing, from the options of the same names."""

    volume_type: str
    availability_zone: str
    zone_fallback: bool


@dataclass(frozen=True)
class CreateRequest:
    """What the user asked for; `size` in GiB, `volume_type` an id or a name."""

    size: int | str | None
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    scheduler_hints: Mapping[str, Any] = field(default_factory=dict)
    snapshot_id: str | None = None
    source_volid: str | None = None


def check_size(size: int | str | None) -> int:
    """The size as a number of GiB. Raises errors.InvalidInput when it is none from 1 to 2147483647."""
    # Python refuses to read very long numbers, and none of them is a size.
    readable = isinstance(size, str) and len(size) <= 20 and size.isascii() and size.isdigit()
    number = int(size) if readable and size is not None else size
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_SIZE:
        raise errors.InvalidInput(reason=f"Volume size '{size!s:.40}' must be an integer and greater than 0")
    return number
