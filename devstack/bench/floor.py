"""The attach through the APIs against its floor: the same backend operations run bare, one after another.

Both begin with the request and end when the guest itself has the disk (or has lost it, and nothing is left on the
host). They take turns in the same guest, on the same servers, so that a noisy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Protocol

from devstack.bench.client import Client, milliseconds
from devstack.guest.console import Console

# Emulated guests in emulated machines take their time.
GUEST_SECONDS = 60


class Floor(Protocol):
    """The operations of one backend with nothing around them."""

    def attach(self, server: str) -> str:
        """Export, connect, plug in; the serial that the guest will see."""

    def detach(self, server: str) -> None:
        """Plug out."""

    def take_back(self) -> None:
        """Disconnect and unexport, once the guest has lost the disk."""


def compare(client: Client, floor: Floor, guest: Console, server: str, volume: str, cycles: int) -> dict[str, Any]:
    """Medians of attach and detach through the APIs and bare, in milliseconds, and their ratios.

    One cycle of each before them is not counted.
    """
    real: dict[str, list[float]] = {"attach": [], "detach": [], "attach_api": [], "detach_api": []}
    bare: dict[str, list[float]] = {"attach": [], "detach": []}
    for turn in range(cycles + 1):
        for name, seconds in _real_cycle(client, guest, server, volume).items():
            real[name] += [seconds] if turn else []
        for name, seconds in _bare_cycle(floor, guest, server).items():
            bare[name] += [seconds] if turn else []
    return {
        "real_ms": {name: milliseconds(values) for name, values in real.items()},
        "floor_ms": {name: milliseconds(values) for name, values in bare.items()},
        "attach_ratio": round(statistics.median(real["attach"]) / statistics.median(bare["attach"]), 2),
        "detach_ratio": round(statistics.median(real["detach"]) / statistics.median(bare["detach"]), 2),
    }


def _real_cycle(client: Client, guest: Console, server: str, volume: str) -> dict[str, float]:
    begun = time.perf_counter()
    attached = client.attach(server, volume)
    guest.await_disk(volume, GUEST_SECONDS)
    visible = time.perf_counter() - begun
    begun = time.perf_counter()
    detached = client.detach(server, volume)
    guest.await_gone(volume, GUEST_SECONDS)
    gone = time.perf_counter() - begun
    while client.listed(server):
        time.sleep(0.01)
    return {"attach": visible, "detach": gone, "attach_api": attached.total, "detach_api": detached.total}


def _bare_cycle(floor: Floor, guest: Console, server: str) -> dict[str, float]:
    begun = time.perf_counter()
    serial = floor.attach(server)
    guest.await_disk(serial, GUEST_SECONDS)
    visible = time.perf_counter() - begun
    begun = time.perf_counter()
    floor.detach(server)
    guest.await_gone(serial, GUEST_SECONDS)
    floor.take_back()
    return {"attach": visible, "detach": time.perf_counter() - begun}
