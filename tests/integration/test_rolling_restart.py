"""All daemons are restarted in turn, as an upgrade does, while volumes are attached and detached without a pause.

What was answered 2xx comes true, nothing is answered 500, and in the end everything is as it was.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.fixtures.userspace import Answer, Stack, wait_for

RESTARTED = ("nova-lite-compute", "cinder-lite-volume", "cinder-lite-api", "cinder-lite-scheduler", "nova-lite-api")
# What an API that is going down or coming up may answer, and what another daemon's absence may be told as.
AWAY = frozenset((409, 503, 504))
REST_LIMIT = 60.0
EXIT_LIMIT = 45.0


@pytest.fixture(scope="module", params=["attachments", "legacy"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, guest_images: Path
) -> Iterator[Stack]:
    """Give the stack with two booted guests."""
    made = Stack(tmp_path_factory.mktemp("stack"), guest_images, attach_flow=request.param)
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        yield made


@dataclass
class Worker:
    """Attaches and detaches one volume over and over; `broken` are promises that were not kept."""

    stack: Stack
    server: str
    volume: str
    done: int = 0
    answered: dict[int | str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def run(self, halt: threading.Event) -> None:
        """Until told to stop; the volume is free then."""
        try:
            while not halt.is_set():
                self._turn()
            self._ask(lambda: self.stack.delete_attachment(self.server, self.volume))
            self._rest()
        except Exception as err:  # outermost frame of the thread; the test reads it
            self.broken.append(f"{type(err).__name__}: {err}")

    def _turn(self) -> None:
        if self._rest() == "available":
            answer = self._ask(lambda: self.stack.post_attach(self.server, self.volume))
            good, wanted = 200, "in-use"
        else:
            answer = self._ask(lambda: self.stack.delete_attachment(self.server, self.volume))
            good, wanted = 202, "available"
        if answer is None or answer.code != good:
            time.sleep(0.2)
            return
        found = self._rest()
        if found != wanted:
            self.broken.append(f"answered {good}, and then the volume was {found}: {self.stack.fault(self.server)}")
        self.done += 1

    def _ask(self, request: object) -> Answer | None:
        """The answer; None when the API was not there, or went away before it had answered."""
        try:
            answer: Answer = request()  # type: ignore[operator]
        except requests.RequestException as err:
            key: int | str = type(err).__name__
            self.answered[key] = self.answered.get(key, 0) + 1
            return None
        self.answered[answer.code] = self.answered.get(answer.code, 0) + 1
        # 400 and 404: the request before had no answer and was done all the same.
        if answer.code not in AWAY | {200, 202, 400, 404}:
            self.broken.append(f"{answer.code}: {answer.body}")
        return answer

    def _rest(self) -> str:
        """The volume's status once nothing is being done to it."""
        query = "SELECT status FROM volumes WHERE id = :volume"

        def status() -> str:
            ((found,),) = self.stack.sql("cinder", query, volume=self.volume)
            return str(found)

        wait_for(lambda: status() in ("available", "in-use"), REST_LIMIT, f"volume {self.volume} is at rest")
        if status() == "available":
            self.stack.await_released(self.volume)
        return status()


def test_what_was_answered_comes_true_whatever_is_restarted(stack: Stack) -> None:
    before = stack.world()
    workers = [Worker(stack, server, stack.create_volume()) for server in stack.guests]
    halt = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(halt,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for name in RESTARTED:
            counted = sum(worker.done for worker in workers)
            begun = time.monotonic()
            assert stack.system.stop_daemon(name) == 0, stack.system.log(name)[-2000:]
            assert time.monotonic() - begun < EXIT_LIMIT
            stack.system.start_daemon(name)
            stack.await_up()
            # It is used before the next one goes.
            wait_for(lambda: sum(one.done for one in workers) >= counted + 2, REST_LIMIT, f"work goes on after {name}")  # noqa: B023
    finally:
        halt.set()
        for thread in threads:
            thread.join(3 * REST_LIMIT)
    told = [(worker.done, worker.answered, worker.broken) for worker in workers]
    assert not [broken for worker in workers for broken in worker.broken], told
    for worker in workers:
        stack.delete_volume(worker.volume)
    stack.await_world(before)
