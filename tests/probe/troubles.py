"""A server below the daemons is away while operations are at their steps: stopped or frozen, and back 3 s later.

Every operation is held at its step until the server is gone, and then runs into that. What it was held for differs
from cell to cell, so that all go on at the same moment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fixtures.servers import Server
from tests.fixtures.userspace import wait_for
from tests.probe import cells
from tests.probe.attempt import Attempt
from tests.probe.batch import healed, prepared
from tests.probe.ground import ProbeStack

AWAY = 3.0
# What it takes to get one more operation to its step, on a busy machine.
STEP_SECONDS = 0.5
MARGIN = 1.0


@dataclass(frozen=True)
class Trouble:
    """How a server goes away, and how it comes back."""

    name: str
    begin: Callable[[ProbeStack], None]
    end: Callable[[ProbeStack], None]


def _stopped(server: str) -> Trouble:
    return Trouble(f"{server} stops", lambda stack: _server(stack, server).kill(), lambda stack: _start(stack, server))


def _frozen(server: str) -> Trouble:
    return Trouble(
        f"{server} hangs", lambda stack: _server(stack, server).freeze(), lambda stack: _server(stack, server).thaw()
    )


def _crash_libvirtd(stack: ProbeStack) -> None:
    """Its launcher starts it at once, so it is frozen first: 3 s later it dies."""
    stack.system.libvirtd.freeze()


def _respawn_libvirtd(stack: ProbeStack) -> None:
    before = stack.system.libvirtd.pid
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: stack.system.libvirtd.pid != before and stack.system.libvirtd.answers(), 30, "libvirtd is back")


TROUBLES = (
    _stopped("rabbitmq"),
    _stopped("mariadb"),
    _stopped("tgtd"),
    Trouble("libvirtd stops", _crash_libvirtd, _respawn_libvirtd),
    _frozen("tgtd"),
    _frozen("libvirtd"),
)


def met(stack: ProbeStack, trouble: Trouble, group: Sequence[cells.Cell]) -> list[Attempt]:
    """Let the operations of these cells meet the trouble, and see what becomes of each."""
    attempts = prepared(stack, group)
    go_on = time.monotonic() + STEP_SECONDS * len(attempts) + MARGIN
    for attempt in attempts:
        stack.hold_at(attempt.cell, seconds=max(0.1, go_on - time.monotonic()))
        attempt.begin()
        attempt.reached = stack.await_reached(attempt.cell)
    trouble.begin(stack)
    try:
        time.sleep(max(0.0, go_on - time.monotonic()) + AWAY)
    finally:
        trouble.end(stack)
    stack.looker.forget()
    stack.await_up()
    return healed(stack, attempts)


def _server(stack: ProbeStack, name: str) -> Server:
    servers: dict[str, Server] = {
        "rabbitmq": stack.system.rabbit,
        "mariadb": stack.system.maria,
        "tgtd": stack.system.tgtd,
        "libvirtd": stack.system.libvirtd,
    }
    return servers[name]


def _start(stack: ProbeStack, name: str) -> None:
    _server(stack, name).start()
