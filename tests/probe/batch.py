"""Many cells in one restart of a daemon: each operation is held at its step, and then they die together.

That is sound because operations on different volumes and servers share nothing but the process: to each of them it
is a death at its own step. The last one of a batch is not held; it is the one that dies, and takes the others along.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from concurrent import futures

from lite_common import faults
from tests.fixtures.userspace import wait_for
from tests.probe import cells
from tests.probe.attempt import Attempt
from tests.probe.ground import ProbeStack

LOG = logging.getLogger(__name__)

HEAL_LIMIT = 60.0
# Right is what stays right so long.
STEADY = 1.0
PAUSE = 0.2
LAST_LINE = 0.5
_numbers = itertools.count(1)


def dry_run(stack: ProbeStack, operations: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Do each operation once, undisturbed; which daemon took which steps."""
    volume, server = stack.create_volume("dry"), stack.guests[0]
    taken = {}
    for operation in operations:
        subject = stack.create_volume("dry") if operation == cells.DELETE else volume
        # The last line of the log comes after the status that was awaited.
        time.sleep(LAST_LINE)
        with stack.logged() as told:
            if operation == cells.ATTACH:
                stack.attach(server, subject)
            elif operation == cells.DETACH:
                stack.detach(server, subject)
            elif operation == cells.CREATE:
                stack.give_back(stack.create_volume("dry"))
            else:
                stack.delete_volume(subject)
            time.sleep(LAST_LINE)
        taken[operation] = {name: steps for name, log in told.items() if (steps := cells.steps_in(log))}
    stack.give_back(volume)
    return taken


def killed(stack: ProbeStack, group: Sequence[cells.Cell]) -> list[Attempt]:
    """Kill the daemon of these cells at all their steps, start it, and see what becomes of each.

    With cells of several daemons these die and are started one after the other, and the watch begins after the last.
    """
    attempts = prepared(stack, group)
    for daemon in dict.fromkeys(cell.daemon for cell in group):
        _die(stack, daemon, [attempt for attempt in attempts if attempt.cell.daemon == daemon])
    return healed(stack, attempts)


def prepared(stack: ProbeStack, group: Sequence[cells.Cell]) -> list[Attempt]:
    """The attempts, with a guest for each that needs one, ready to begin."""
    begun = time.monotonic()
    stack.add_guests()
    stack.spare(sum(cell.operation != cells.CREATE for cell in group))
    guests = iter(stack.guests)
    attempts = [
        Attempt(stack, cell, next(_numbers), server=next(guests) if cell.needs_guest else None) for cell in group
    ]
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(Attempt.prepare, attempts))
    LOG.info("%d prepared in %.1f s", len(attempts), time.monotonic() - begun)
    return attempts


def healed(stack: ProbeStack, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Everything is up: watch the world until it is right, then do everything again."""
    begun = right_since = time.monotonic()
    while (now := time.monotonic()) - begun < HEAL_LIMIT and now - right_since < STEADY:
        if _judged(stack, attempts, time.monotonic() - begun):
            time.sleep(PAUSE)
        else:
            time.sleep(PAUSE)
            right_since = time.monotonic()
    LOG.info("watched for %.1f s", time.monotonic() - begun)
    right = [attempt for attempt in attempts if not attempt.wrong]
    stack.spoiled |= set(stack.look().strays)
    for attempt in attempts:
        if attempt.wrong:
            LOG.error("%s: %s", attempt.cell, attempt.wrong)
            stack.spoil(attempt.volume, attempt.server)
    with futures.ThreadPoolExecutor(4) as pool:
        for attempt, error in zip(right, pool.map(_repeated, right), strict=True):
            if error:
                LOG.error("%s: %s", attempt.cell, error)
                attempt.wrong, attempt.healed = error, None
                stack.spoil(attempt.volume, attempt.server)
    LOG.info("done again after %.1f s", time.monotonic() - begun)
    return list(attempts)


def _judged(stack: ProbeStack, attempts: Sequence[Attempt], elapsed: float) -> bool:
    """Whether all is right. What is wrong beside these volumes is blamed on the operations that may have done it."""
    world = stack.look()
    for attempt in attempts:
        attempt.judge(world, elapsed)
    mine = {attempt.volume for attempt in attempts}
    others = ((volume, found.detached()) for volume, found in world.volumes.items() if volume not in mine)
    strays = [*world.strays, *(f"volume {volume}: {wrong}" for volume, wrong in others if wrong)]
    if strays:
        makers = [attempt for attempt in attempts if attempt.cell.operation == cells.CREATE]
        for attempt in makers or attempts:
            attempt.blame(", ".join(strays))
    return not any(attempt.wrong for attempt in attempts)


def _repeated(attempt: Attempt) -> str:
    """What went wrong when it was done again, if anything did."""
    try:
        attempt.repeat()
    except Exception as err:  # whatever it is, it belongs to this cell and not to the others of the batch
        return f"when it was done again: {type(err).__name__}: {err}"
    return ""


def _die(stack: ProbeStack, daemon: str, attempts: Sequence[Attempt]) -> None:
    """The daemon dies at the steps of these, all at once, and is started again."""
    begun = time.monotonic()
    for attempt in attempts:
        last = attempt is attempts[-1]
        stack.hold_at(attempt.cell, faults.DIE if last else faults.HANG)
        attempt.begin()
        attempt.reached = stack.await_reached(attempt.cell)
    held = time.monotonic()
    if not attempts[-1].reached:
        stack.system.processes[daemon].kill()
    wait_for(lambda: stack.system.processes[daemon].poll() is not None, 10, f"{daemon} dies")
    faults.arm(stack.faults_of(daemon))
    stack.restart(daemon)
    again = time.monotonic() - held
    LOG.info("%s: %d held in %.1f s, restarted in %.1f s", daemon, len(attempts), held - begun, again)
