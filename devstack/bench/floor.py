"""The attach through the APIs against its floor: the same backend operations run bare, one after another.

Both begin with the request and end when the guest itself has the disk (or has lost it, and nothing is left on the
host). The guest looks for the disk from the beginning of both, and the API is not polled meanwhile: on an emulated
machine everything else that runs counts. They take turns in the same guest, on the same servers, so that a noisy
machine slows both.
"""

from __future__ import annotations

import statistics
import time
from concurrent import futures
from typing import Any, Protocol

from devstack.bench.client import Client, milliseconds
from devstack.guest.console import Console

# Emulated guests in emulated machines take their time.
GUEST_SECONDS = 60


class Floor(Protocol):
    """The operations of one backend with nothing around them."""

    @property
    def serial(self) -> str:
        """The serial of the disk that the guest will see."""

    def attach(self, server: str) -> None:
        """Export, connect, plug in."""

    def detach(self, server: str) -> None:
        """Plug out."""

    def take_back(self) -> None:
        """Disconnect and unexport, once the guest has lost the disk."""


def compare(client: Client, floor: Floor, guest: Console, server: str, volume: str, cycles: int) -> dict[str, Any]:
    """Medians of attach and detach through the APIs and bare, in milliseconds, and their ratios.

    One cycle of each before them is not counted.
    """
    real: dict[str, list[float]] = {"attach": [], "detach": []}
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
    client.post_attach(server, volume)
    guest.await_disk(volume, GUEST_SECONDS)
    visible = time.perf_counter() - begun
    client.await_attached(server, volume)
    begun = time.perf_counter()
    client.post_detach(server, volume)
    guest.await_gone(volume, GUEST_SECONDS)
    client.await_detached(volume)
    gone = time.perf_counter() - begun
    while client.listed(server):
        time.sleep(0.01)
    return {"attach": visible, "detach": gone}


def _bare_cycle(floor: Floor, guest: Console, server: str) -> dict[str, float]:
    with futures.ThreadPoolExecutor(1) as beside:
        begun = time.perf_counter()
        attached = beside.submit(floor.attach, server)
        guest.await_disk(floor.serial, GUEST_SECONDS)
        visible = time.perf_counter() - begun
        attached.result()
        begun = time.perf_counter()
        detached = beside.submit(floor.detach, server)
        guest.await_gone(floor.serial, GUEST_SECONDS)
        detached.result()
        floor.take_back()
    return {"attach": visible, "detach": time.perf_counter() - begun}
