"""The attach through the APIs against its floor: the same backend operations run bare, one after another.

An attach begins with the request and ends when the guest itself has the disk; a detach ends when the guest has let it
go, nothing of it is left on the host and the volume is available. While the guest is at work nothing is polled but what
both sides poll: on an emulated machine everything that runs counts. They take turns in the same guest, on the same
servers, so that a noisy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
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
        """Disconnect and unexport."""


def compare(
    client: Client,
    floor: Floor,
    guest: Console,
    server: str,
    volume: str,
    cycles: int,
    exported: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Medians of attach and detach through the APIs and bare, in milliseconds, and their ratios.

    One cycle of each before them is not counted. The API is asked for the end of a detach only once `exported`, a look
    that costs nothing, says that the volume is not exported any more.
    """
    real: dict[str, list[float]] = {"attach": [], "detach": []}
    bare: dict[str, list[float]] = {"attach": [], "detach": []}
    for turn in range(cycles + 1):
        for name, seconds in _real_cycle(client, guest, server, volume, exported).items():
            real[name] += [seconds] if turn else []
        for name, seconds in _bare_cycle(floor, guest, server).items():
            bare[name] += [seconds] if turn else []
    return {
        "real_ms": {name: milliseconds(values) for name, values in real.items()},
        "floor_ms": {name: milliseconds(values) for name, values in bare.items()},
        "attach_ratio": round(statistics.median(real["attach"]) / statistics.median(bare["attach"]), 2),
        "detach_ratio": round(statistics.median(real["detach"]) / statistics.median(bare["detach"]), 2),
    }


def _real_cycle(
    client: Client, guest: Console, server: str, volume: str, exported: Callable[[], bool]
) -> dict[str, float]:
    begun = time.perf_counter()
    client.post_attach(server, volume)
    guest.await_disk(volume, GUEST_SECONDS)
    visible = time.perf_counter() - begun
    client.await_attached(server, volume)
    begun = time.perf_counter()
    client.post_detach(server, volume)
    while exported() and time.perf_counter() - begun < GUEST_SECONDS:
        time.sleep(0.01)
    client.await_detached(volume)
    gone = time.perf_counter() - begun
    guest.await_gone(volume, GUEST_SECONDS)
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
    floor.detach(server)
    floor.take_back()
    gone = time.perf_counter() - begun
    guest.await_gone(floor.serial, GUEST_SECONDS)
    return {"attach": visible, "detach": gone}
