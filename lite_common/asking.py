"""Ask many daemons at the same time, within one limit, and keep who did not answer apart from what the others said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Hashable
from concurrent import futures
from typing import TypeVar

from lite_common import errors

LOG = logging.getLogger(__name__)

# So many are asked at the same time; each question waits on the network and costs no CPU.
WIDTH = 16
# Seconds that a daemon gets for a look at what it has, and all of them together.
LIMIT = 8.0
TOTAL = 20.0

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def ask_all(keys: Collection[K], ask: Callable[[K], V], total: float = TOTAL) -> tuple[dict[K, V], dict[K, str]]:
    """What each key was answered, and for each other key the reason why it was not.

    `ask` must end by itself within a limit; after `total` seconds those not yet answered count as silent.
    """
    if not keys:
        return {}, {}
    answers: dict[K, V] = {}
    silent: dict[K, str] = {}
    pool = futures.ThreadPoolExecutor(min(WIDTH, len(keys)), thread_name_prefix="asking")
    try:
        asked = {pool.submit(ask, key): key for key in keys}
        done, late = futures.wait(asked, timeout=total)
        silent |= {asked[one]: f"it did not answer within {total:g} s" for one in late}
        for one in done:
            try:
                answers[asked[one]] = one.result()
            except errors.LiteError as err:
                silent[asked[one]] = err.message
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return answers, silent
