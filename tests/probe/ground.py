"""The stack that is probed: many guests, spare volumes, daemons that can be armed, and both flows in turn."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import requests

from devstack import system as systems
from devstack.guest import console
from lite_common import faults
from tests.fixtures.userspace import Answer, Stack, wait_for
from tests.probe import cells, look

LOG = logging.getLogger(__name__)

# As many attachments can be in the middle of a step at once: a server's operations queue up.
GUESTS = 10
REACH_LIMIT = 20.0
# Longer than any daemon lives that is held at a step.
HELD = 600.0
HOSTS = {"fault_injection": True, "rpc_response_timeout": 10, "rpc_workers": 32}
NOVA = {"DEFAULT": HOSTS, "cinder": {"timeout": 20, "retries": 1}, "api": {"threads": 32}}
CINDER = {"DEFAULT": {**HOSTS, "quota_volumes": 1000, "quota_gigabytes": 10000}, "api": {"threads": 32}}


class ProbeStack(Stack):
    """A `Stack` with fault injection on."""

    def __init__(self, directory: Path, images: Path) -> None:
        super().__init__(directory, images, nova=NOVA, cinder=CINDER)
        self.flow = cells.FLOWS[0]
        self.looker: look.Looker
        # What the probe has given up on: volumes, and what else was wrong. It is not held against the next cells.
        self.spoiled: set[str] = set()
        self._spare: list[str] = []
        self._lock = threading.Lock()
        (directory / "faults").mkdir()
        for name in systems.DAEMONS:
            self.system.environment[name] = {faults.FILE_VARIABLE: str(self.faults_of(name))}

    def start(self) -> None:
        """Start everything and boot the guests."""
        super().start()
        self.looker = look.Looker(self.system, self.engines)
        self.add_guests()

    def add_guests(self) -> None:
        """Have as many guests as there should be."""
        missing = GUESTS - len(self.guests)
        with futures.ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda number: self.boot(f"guest-{number}"), range(missing)))
        for server in made:
            self.guest(server).wait_ready(120)
        self.guests += made

    def faults_of(self, daemon: str) -> Path:
        """The file by which the daemon is armed."""
        return self.system.directory / "faults" / daemon

    def hold_at(self, cell: cells.Cell, what: str = faults.HANG, seconds: float = HELD) -> None:
        """Arm the cell's daemon."""
        faults.arm(self.faults_of(cell.daemon), faults.Fault(cell.when, cell.step, what, seconds))

    def await_reached(self, cell: cells.Cell) -> bool:
        """Wait until the cell's fault happens; False, and disarmed, if it does not."""
        path, end = self.faults_of(cell.daemon), time.monotonic() + REACH_LIMIT
        while faults.armed(path):
            if time.monotonic() > end:
                faults.arm(path)
                return False
            time.sleep(0.01)
        return True

    def restart(self, daemon: str) -> None:
        """Start a daemon that has died; all daemons are up when this returns."""
        self.system.processes[daemon].wait(REACH_LIMIT)
        self.system.start_daemon(daemon)
        self.await_up()

    def use_flow(self, flow: str) -> None:
        """Let nova-api begin attachments in this flow."""
        if flow == self.flow:
            return
        path = self.system.config("nova")
        path.write_text(path.read_text().replace(f"attach_flow = {self.flow}", f"attach_flow = {flow}"))
        self.system.stop_daemon(systems.NOVA_API)
        self.system.start_daemon(systems.NOVA_API)
        self.flow = flow
        self.await_up()

    def ask(self, method: str, service: str, path: str, body: object = None) -> Answer | None:
        """Ask an API that may die meanwhile; None when it did."""
        base = self.system.compute_url if service == "nova" else self.system.volume_url
        try:
            return self.call(method, base + path, body)
        except requests.RequestException as err:
            LOG.info("%s %s was not answered: %s", method, path, err)
            return None

    def post_attach(self, server: str, volume: str) -> Answer:
        """As `Stack`; a refusal that says to try again is taken at its word."""
        return self._insist(super().post_attach, server, volume)

    def delete_attachment(self, server: str, volume: str) -> Answer:
        """As `post_attach`."""
        return self._insist(super().delete_attachment, server, volume)

    def _insist(self, ask: Callable[[str, str], Answer], server: str, volume: str) -> Answer:
        # A daemon finds RabbitMQ again some seconds after it was started; until then it is not reached.
        end = time.monotonic() + REACH_LIMIT
        while (answer := ask(server, volume)).code == 503 and time.monotonic() < end:
            time.sleep(0.5)
        return answer

    def take_volume(self) -> str:
        """An available volume that nobody uses."""
        with self._lock:
            if self._spare:
                return self._spare.pop()
        return self.create_volume("spare")

    def give_back(self, volume: str) -> None:
        """It is available again."""
        with self._lock:
            self._spare.append(volume)

    def spare(self, number: int) -> None:
        """Make so many volumes in advance."""
        with futures.ThreadPoolExecutor(4) as pool:
            for volume in list(pool.map(lambda _: self.take_volume(), range(number))):
                self.give_back(volume)

    def spoil(self, volume: str | None, server: str | None) -> None:
        """Give up on a volume and the guest that may still have it."""
        with self._lock:
            self.spoiled |= {volume} if volume else set()
            if server in self.guests:
                self.guests.remove(server)

    def look(self) -> look.World:
        """The world without what is given up on."""
        world = self.looker.world()
        return look.World(
            {volume: found for volume, found in world.volumes.items() if volume not in self.spoiled},
            [stray for stray in world.strays if stray not in self.spoiled],
        )

    def await_state(self, volume: str, server: str | None, limit: float = 30.0) -> look.Found:
        """Wait until the volume is in the server (None: in none) and all agree."""

        def wrong() -> str:
            found = self.look().of(volume)
            return found.attached(server) if server else found.detached()

        wait_for(lambda: not wrong(), limit, f"{volume} is {f'in {server}' if server else 'free'}: {wrong()}")
        return self.look().of(volume)

    def write(self, server: str, volume: str, seed: str) -> str:
        """Have the guest write to the volume, and compare with the bytes on the disk; their digest."""
        guest = self.guest(server)
        guest.await_disk(volume)
        digest = guest.write(volume, 1, seed)
        assert digest == console.pattern_sha256(seed, 1) == console.file_sha256(self.backing_file(volume), 1)
        return digest

    @contextlib.contextmanager
    def logged(self) -> Iterator[dict[str, str]]:
        """Give what each daemon logs during the block, once it has ended."""
        before = {name: len(self.system.log(name)) for name in systems.DAEMONS}
        told: dict[str, str] = {}
        yield told
        told |= {name: self.system.log(name)[before[name] :] for name in systems.DAEMONS}
