"""One operation of one cell: got ready, asked for, cut off by the trouble, judged by the world, and done again."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from devstack.guest import console
from tests.fixtures.userspace import Answer, wait_for
from tests.probe import cells, look
from tests.probe.ground import ProbeStack

IN_USE, AVAILABLE, GONE = "in-use", "available", "gone"


@dataclass
class Attempt:
    """`healed` is seconds from everything being up again to the world being right, None while it is not."""

    stack: ProbeStack
    cell: cells.Cell
    number: int
    server: str | None = None
    volume: str | None = None
    answer: Answer | None = None
    reached: bool = False
    outcome: str = ""
    healed: float | None = None
    wrong: str = ""
    digest: str = ""
    _thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What a created volume is called."""
        return f"probe-{self.number}"

    def prepare(self) -> None:
        """Make what the operation needs."""
        if self.cell.operation != cells.CREATE:
            self.volume = self.stack.take_volume()
        if self.cell.operation == cells.DETACH:
            assert self.server
            self.stack.attach(self.server, self.volume or "")
            self.digest = self.stack.write(self.server, self.volume or "", self.name)

    def begin(self) -> None:
        """Ask, on a thread of its own."""
        self._thread = threading.Thread(target=self._ask, name=str(self.cell), daemon=True)
        self._thread.start()

    def judge(self, world: look.World, elapsed: float) -> None:
        """What the world is like so long after everything was up."""
        self.outcome, self.wrong = self._state(world)
        if self.wrong:
            self.healed = None
        elif self.healed is None:
            self.healed = elapsed

    def blame(self, wrong: str) -> None:
        """Something is wrong that this operation may have done."""
        self.wrong = f"{self.wrong}, {wrong}" if self.wrong else wrong
        self.healed = None

    def repeat(self) -> None:
        """What is in the guest can be used; the operation, and the way back, can simply be done again."""
        stack, volume, server = self.stack, self.volume or "", self.server or ""
        if self.outcome == IN_USE:
            if self.digest:
                assert stack.guest(server).read(volume, 1) == self.digest, "bytes were lost"
            stack.write(server, volume, f"again-{self.name}")
            self._detach()
        elif self.cell.operation == cells.DETACH:
            assert console.file_sha256(stack.backing_file(volume), 1) == self.digest, "bytes were lost"
            stack.give_back(volume)
        elif self.cell.operation == cells.ATTACH:
            stack.attach(server, volume)
            stack.await_state(volume, server)
            stack.write(server, volume, f"again-{self.name}")
            self._detach()
        elif self.cell.operation == cells.CREATE:
            stack.give_back(self.volume or stack.create_volume(self.name))
        elif self.outcome == AVAILABLE:
            stack.delete_volume(volume)
            wait_for(lambda: not stack.look().of(volume).gone(), 10, f"nothing is left of {volume}")

    def result(self) -> dict[str, Any]:
        """The cell and what became of it, for the report."""
        found = {"answer": self.answer.code if self.answer else None, "outcome": self.outcome, "wrong": self.wrong}
        healed = None if self.healed is None else round(self.healed, 1)
        return {**asdict(self.cell), "daemon": cells.DAEMONS[self.cell.daemon], **found, "healed": healed}

    def _ask(self) -> None:
        ask, operation = self.stack.ask, self.cell.operation
        if operation == cells.ATTACH:
            body: Any = {"volumeAttachment": {"volumeId": self.volume}}
            self.answer = ask("POST", "nova", f"/servers/{self.server}/os-volume_attachments", body)
        elif operation == cells.DETACH:
            self.answer = ask("DELETE", "nova", f"/servers/{self.server}/os-volume_attachments/{self.volume}")
        elif operation == cells.CREATE:
            self.answer = ask("POST", "cinder", "/volumes", {"volume": {"size": 1, "name": self.name}})
        else:
            self.answer = ask("DELETE", "cinder", f"/volumes/{self.volume}")

    def _detach(self) -> None:
        volume, server = self.volume or "", self.server or ""
        self.stack.detach(server, volume)
        self.stack.await_state(volume, None)
        self.stack.guest(server).await_gone(volume)
        self.stack.give_back(volume)

    def _state(self, world: look.World) -> tuple[str, str]:
        """The outcome and what is wrong with it, one of them empty."""
        if not self.reached:
            return "", f"the step was not reached; the answer was {self.answer}"
        if self._thread is not None and self._thread.is_alive():
            return "", "the client still waits for its answer"
        accepted = self.answer is not None and self.answer.code < 300
        if self.cell.operation == cells.CREATE:
            made = world.named(self.name)
            if not made:
                return (GONE, "") if not accepted else ("", "what was promised is not there")
            self.volume = made[0]
            wrong = world.of(made[0]).detached() if len(made) == 1 else f"{len(made)} volumes for one request"
            return (AVAILABLE, "") if not wrong else ("", wrong)
        found = world.of(self.volume or "")
        free = found.detached()
        if self.cell.operation == cells.DELETE:
            gone = found.gone()
            if not gone:
                return GONE, ""
            return (AVAILABLE, "") if not (free or accepted) else ("", f"not gone: {gone}")
        used = found.attached(self.server or "")
        if used and free:
            return "", f"not in use: {used}; not available: {free}"
        return (AVAILABLE if used else IN_USE), ""
