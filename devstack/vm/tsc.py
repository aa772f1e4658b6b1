"""How fast this processor's time-stamp counter runs.

An emulated machine sees the host's counter, and its kernel measures the speed while it boots: on a busy host it can be
off by a factor of twenty, and the machine's clock with it. So it is measured here, against the host's clock, and told.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import time
from collections.abc import Callable

MEASURE_SECONDS = 0.25
LOOKS = 50
# rdtsc; shl rdx, 32; or rax, rdx; ret
_CODE = bytes.fromhex("0f3148c1e2204809d0c3")


@functools.cache
def kilohertz() -> int | None:
    """Return the counter's speed, or None where there is none or where it cannot be read."""
    if platform.machine() != "x86_64":
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # a system that allows no page to be both written and run
        return None
    page.write(_CODE)
    counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    begun, first = _together(counter)
    time.sleep(MEASURE_SECONDS)
    ended, last = _together(counter)
    ticks: int = last - first
    return round(ticks * 1_000_000 / (ended - begun))


def _together(counter: Callable[[], int]) -> tuple[int, int]:
    """The clock in nanoseconds and the counter at one moment: of several looks the one that was disturbed least."""
    looks = [(time.monotonic_ns(), counter(), time.monotonic_ns()) for _ in range(LOOKS)]
    before, ticks, after = min(looks, key=lambda look: look[2] - look[0])
    return (before + after) // 2, ticks
