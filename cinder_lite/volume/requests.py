"""What a user may ask of a new volume, apart from the flow that makes it (which brings taskflow along)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
