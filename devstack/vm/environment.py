"""A set of machines in one directory: brought up, kept up to date with the checkout, looked into, taken down.

Two directories are two environments that do not know of each other.  One `up`, `sync` or `down` works on an
environment at a time.  A crash at any moment leaves a state that the next `up` or `down` clears.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path

from devstack.guest import build
from devstack.vm import accel, hosts, image, shell
from devstack.vm.hosts import Host, VmError
from devstack.vm.machine import Machine, processors

SOURCE = "/opt/nlite/src"
LOCK_SECONDS = 5.0
SYNC_SECONDS = 180.0
PACKAGES = ("lite_common", "nova_lite", "cinder_lite", "devstack", "tests")
Report = Callable[[str], None]


def state_directory() -> Path:
    """Return where the machines live: NLITE_VM_STATE, else /var/lib/nlite-vm, else (not root) the user's own place."""
    wanted = os.environ.get("NLITE_VM_STATE")
    if wanted:
        return Path(wanted).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/nlite-vm")
    return Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "nlite-vm"


class Environment:
    """The machines of one directory; `report` gets a line about every step. So many of others run `beside` them."""

    def __init__(self, state: Path, cache: Path, report: Report = print, *, beside: int = 0) -> None:
        self.state = state
        self.cache = cache
        self.beside = beside
        self._report = report
        self._begun = time.monotonic()
        self._held: list[Machine] = []  # as long as they are, what was started here runs

    def machine(self, name: str) -> Machine:
        """Return the machine with this name, whether it runs or not; VmError for a name that is none."""
        (host,) = hosts.chosen([name])
        return Machine(host, self.state)

    def machines(self) -> list[Machine]:
        """Return the machines that run."""
        return [machine for machine in (Machine(host, self.state) for host in hosts.HOSTS) if machine.running()]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Work on the environment alone; VmError if somebody else does."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        with (self.state / "lock").open("w") as lock:
            end = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise VmError(f"another up, sync or down works on {self.state}: try again later") from None
                    time.sleep(0.2)
            yield

    def say(self, text: str) -> None:
        """Report with the seconds since the beginning."""
        self._report(f"[{time.monotonic() - self._begun:4.0f}s] {text}")

    def up(self, names: Iterable[str] | None = None, *, sync: bool = True) -> list[Machine]:
        """Start the machines that do not run yet, wait for all, bring the checkout into them; return them.

        They end with this process until `release` is called on each.  If one fails, those started here are stopped.
        """
        wanted = hosts.chosen(names)
        with self.locked():
            made = image.ensure(self.cache, self.say)
            machines = [Machine(host, self.state) for host in wanted]
            fresh = [machine for machine in machines if not machine.running()]
            self._check_images(made, [machine for machine in machines if machine not in fresh])
            self._bring_up(machines, fresh, made, sync=sync)
        return machines

    def _bring_up(self, machines: list[Machine], fresh: list[Machine], made: image.Image, *, sync: bool) -> None:
        """Start those of the machines that are to be fresh, wait for all; if one fails, the fresh ones are stopped."""
        try:
            self._start(fresh, made, accel.choose(made, self.cache))
            for _ in _each(machines, Machine.wait):
                pass
            self.say(f"ready: {', '.join(machine.host.name for machine in machines)}")
            if sync:
                self._sync(machines)
        except BaseException:
            for machine in fresh:
                machine.stop()
            raise

    def _check_images(self, made: image.Image, running: list[Machine]) -> None:
        for machine in running:
            if machine.image(self.cache) != made:
                self.say(
                    f"{machine.host.name} runs with an older image (dependencies or recipe have changed since): "
                    "`down` and `up` give it the new one"
                )

    def _start(self, machines: list[Machine], made: image.Image, accelerator: str) -> None:
        if not machines:
            return
        self.say(f"starting {', '.join(machine.host.name for machine in machines)} ({accelerator})")
        self._make_keys()
        for machine in machines:
            machine.prepare(made, self._identity(machine.host))
        for machine in machines:
            self._held.append(machine)
            machine.start(made, accelerator, processors(accelerator, machine.host, len(machines) + self.beside))

    def _make_keys(self) -> None:
        """Make the keys of this environment: one to come in by, one that all its machines show."""
        for name in ("key", "host-key"):
            path = self.state / name
            if not (path.exists() and path.with_suffix(".pub").exists()):
                path.unlink(missing_ok=True)
                build.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "nlite-vm", "-f", str(path)])
        public = (self.state / "host-key.pub").read_text()
        (self.state / "known_hosts").write_text(f"{shell.ALIAS} {public}")

    def _identity(self, host: Host) -> dict[str, tuple[int, str]]:
        pair = ((self.state / "host-key").read_text(), (self.state / "host-key.pub").read_text())
        return hosts.identity(
            host,
            environment=hashlib.sha256(pair[1].encode()).hexdigest(),
            public_key=(self.state / "key.pub").read_text(),
            host_key=pair,
        )

    def sync(self, names: Iterable[str] | None = None, *, restart: bool = False) -> None:
        """Bring the checkout into the machines that run (or those named); with `restart` restart their daemons."""
        with self.locked():
            machines = [self.machine(name) for name in names] if names else self.machines()
            if not machines:
                raise VmError("no machine runs: ./devstack/vm/up starts them")
            current = image.Image(self.cache / image.key())
            self._check_images(current, machines)
            self._sync(machines)
            if restart:
                for _ in _each(machines, _restart):
                    pass
                self.say("daemons restarted")

    def _sync(self, machines: list[Machine]) -> None:
        for machine, changed in _each(machines, _send):
            self.say(f"{machine.host.name}: {changed} changed files" if changed else f"{machine.host.name}: up to date")

    def down(self) -> None:
        """Stop the machines and remove them with their disks; keys stay."""
        with self.locked():
            for host in hosts.HOSTS:
                machine = Machine(host, self.state)
                machine.stop()
                shutil.rmtree(machine.directory, ignore_errors=True)


def _each(machines: list[Machine], action: Callable[[Machine], object]) -> Iterator[tuple[Machine, object]]:
    """Do it on all machines at once; the first failure is raised when all have ended."""
    with futures.ThreadPoolExecutor(max_workers=max(len(machines), 1)) as pool:
        running = [(machine, pool.submit(action, machine)) for machine in machines]
        futures.wait([one for _, one in running])
    for machine, future in running:
        yield machine, future.result()


def _send(machine: Machine) -> int:
    """Copy what differs, byte-compile it where it is, return the number of changed files.

    Compared by content, and without times: what is equal stays untouched with its compiled form.
    """
    own = machine.shell()
    exclude = f"--exclude-from={image.HERE / 'not-copied.txt'}"
    options = ("--checksum", "--delete", "--itemize-changes", exclude)
    listing = own.copy([f"{image.ROOT}/"], f"host:{SOURCE}/", *options, timeout=SYNC_SECONDS)
    changed = [line.split(None, 1)[1] for line in listing.splitlines() if line.startswith(("<", "*deleting"))]
    if any(name.endswith(".py") for name in changed):
        compile_all = f"cd {SOURCE} && /opt/nlite/venv/bin/python -m compileall -q {' '.join(PACKAGES)}"
        own.run(compile_all, check=False, timeout=SYNC_SECONDS)  # a syntax error is for its own author to meet
    return len(changed)


def _restart(machine: Machine) -> None:
    machine.shell().run("systemctl try-restart 'nova-lite-*' 'cinder-lite-*'", timeout=SYNC_SECONDS)
