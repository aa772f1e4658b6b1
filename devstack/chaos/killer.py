"""SIGKILL for one daemon after the other, or two at once, and a new start soon or a little later."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from devstack.chaos.site import Site
from devstack.system import DAEMONS

# Seconds between two kills, and until the new start.
PAUSE = (2.0, 9.0)
DOWN = (0.0, 3.0)
TWO_AT_ONCE = 0.2


@dataclass
class Killer:
    """A thread that kills until `halt` is set; all daemons are up when it has ended."""

    site: Site
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    halt: threading.Event = field(default_factory=threading.Event)

    def run(self) -> threading.Thread:
        """Start it; the thread, to be joined."""
        thread = threading.Thread(target=self._loop)
        thread.start()
        return thread

    def _loop(self) -> None:
        chance = random.Random(f"kills-{self.seed}")
        while not self.halt.wait(chance.uniform(*PAUSE)):
            victims = chance.sample(DAEMONS, 2 if chance.random() < TWO_AT_ONCE else 1)
            for name in victims:
                self.site.signal_daemon(name, signal.SIGKILL)
                self.kills[name] += 1
            time.sleep(chance.uniform(*DOWN))
            for name in victims:
                try:
                    self.site.start_daemon(name)
                except RuntimeError as err:
                    self.failures.append(str(err))
                    return
