"""One line per step of the path: `step=NAME outcome=... ms=...`, with the ids of what it works on.

The step's name is the function's name, the log's name and the heading in docs/attach-path.md.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

LOG = logging.getLogger("step")


@contextlib.contextmanager
def step(name: str, **ids: Any) -> Iterator[None]:
    """Log the begin (debug) and the end (info) of the named step; an error is named and goes on up."""
    told = " ".join(f"{key}={value}" for key, value in ids.items())
    begun = time.monotonic()
    LOG.debug("step=%s begin %s", name, told)
    try:
        yield
    except BaseException as err:
        LOG.warning("step=%s outcome=error ms=%.1f %s error=%s: %s", name, _ms(begun), told, type(err).__name__, err)
        raise
    LOG.info("step=%s outcome=ok ms=%.1f %s", name, _ms(begun), told)


def _ms(begun: float) -> float:
    return (time.monotonic() - begun) * 1e3
