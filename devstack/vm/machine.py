"""One machine: its directory, its QEMU command, its start, its end, and how long to wait for it.

A machine starts with a fresh disk on top of the image, and the disk lives until the machine is taken down; a reboot
inside keeps it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from devstack.guest import build
from devstack.vm import accel, hosts, initrd, keeper, qmp, tsc
from devstack.vm.hosts import Host, VmError
from devstack.vm.image import ROOT, Image
from devstack.vm.shell import CommandFailed, Shell

PROCESSORS = 2
# Not all that QEMU can emulate: what copies and compares memory fast on real processors (rep movsb, AVX) is slow
# when emulated, and programs choose it where they find it. Processes start in seven eighths of the time without, a fork
# and exec in five sixths. A machine's random numbers come from the processor.
EMULATED = "Nehalem,+rdrand"
# A unix socket's path must not be longer.
SOCKET_PATH = 107
BOOT_SECONDS = 420.0
STOP_SECONDS = 20.0
START_SECONDS = 20.0
CONSOLE_LINES = 25
# No mitigations and no randomization: nobody attacks these machines, and both cost much under emulation.
CMDLINE = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off nokaslr norandmaps nowatchdog audit=0 "
    "random.trust_cpu=on raid=noautodetect systemd.show_status=0 quiet "
    # A machine that gets no turn while its kernel tries out the timer takes that for a broken one, and panics.
    "no_timer_check"
)


class Machine:
    """One machine of the environment in the directory `state`; `port` is where its ssh is while it runs."""

    def __init__(self, host: Host, state: Path) -> None:
        self.host = host
        self.state = state
        self.directory = state / host.name
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port of its ssh on 127.0.0.1; VmError when it does not run."""
        if not self.running():
            raise VmError(f"{self.host.name} does not run: ./devstack/vm/up starts it")
        try:
            return int((self.directory / "port").read_text())
        except FileNotFoundError:
            raise VmError(f"{self.host.name} is being started or stopped: try again") from None

    def shell(self) -> Shell:
        """Return the way in."""
        return Shell(self.host.name, self.port, self.state)

    def running(self) -> bool:
        """Say whether its QEMU runs."""
        return keeper.holder(self.directory) is not None

    def console_tail(self) -> str:
        """Return the end of what it wrote to its serial console, and of QEMU's own messages."""
        parts = []
        for name in ("qemu.log", "console.log"):
            with contextlib.suppress(FileNotFoundError):
                lines = (self.directory / name).read_text(errors="replace").splitlines()[-CONSOLE_LINES:]
                if lines:
                    parts.append("\n".join([f"the end of {self.directory / name}:", *lines]))
        return "\n".join(parts)

    def image(self, cache: Path) -> Image | None:
        """Return the image it was made from, if that is still there."""
        try:
            found = Image(cache / (self.directory / "image").read_text())
        except FileNotFoundError:
            return None
        return found if found.disk.exists() else None

    def prepare(self, image: Image, identity: dict[str, tuple[int, str]]) -> None:
        """Make its directory anew: disk on top of the image, spare disk, initramfs; it must not run."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        (self.directory / "image").write_text(image.key)
        longest = len(os.fsencode(self.directory / "net-compute1.sock.and-ssh's-own-suffix"))
        if longest > SOCKET_PATH:
            raise VmError(f"{self.state} is too long a path for unix sockets: set NLITE_VM_STATE to a shorter one")
        argv = [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            str(image.disk),
            "-F",
            "raw",
            str(self.directory / "disk"),
        ]
        build.run(argv, limit=60)
        for number, size in enumerate(self.host.disks):
            with (self.directory / f"spare{number}").open("wb") as spare:
                spare.truncate(size << 30)
        personal = initrd.personal(identity, hosts.network_script(self.host))
        (self.directory / "initrd").write_bytes(image.initrd.read_bytes() + personal)

    def start(self, image: Image, accelerator: str, processors: int = PROCESSORS) -> None:
        """Start QEMU; it ends with this process until `release` is called.  VmError if it does not come up."""
        for _attempt in range(3):  # the free port may be taken by somebody else before QEMU has it
            port = _free_port()
            self._spawn(self.command(image, accelerator, port, processors))
            if self._started(port):
                (self.directory / "port").write_text(f"{port}\n")
                return
            self.stop()
        raise VmError(f"QEMU of {self.host.name} does not start\n{self.console_tail()}")

    def _spawn(self, command: list[str]) -> None:
        with (self.directory / "qemu.log").open("wb") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "devstack.vm.keeper", str(self.directory), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    def _started(self, port: int) -> bool:
        """Wait until QEMU listens; False if it ended instead."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._keeper is not None and self._keeper.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            time.sleep(0.05)
        return False

    def command(self, image: Image, accelerator: str, port: int, processors: int = PROCESSORS) -> list[str]:
        """Return the QEMU command."""
        disk = f"file={self.directory / 'disk'},format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap"
        argv = [accel.QEMU, "-name", self.host.name, "-M", "q35", "-accel", accelerator]
        argv += ["-cpu", "host" if accelerator == accel.KVM else EMULATED, "-smp", str(processors)]
        argv += ["-m", str(self.host.memory), "-nodefaults", "-no-user-config", "-display", "none"]
        argv += [
            "-kernel",
            str(image.kernel),
            "-initrd",
            str(self.directory / "initrd"),
            "-append",
            _cmdline(accelerator),
        ]
        argv += ["-serial", f"file:{self.directory / 'console.log'}"]
        argv += ["-qmp", f"unix:{self.directory / 'qmp.sock'},server=on,wait=off"]
        argv += ["-drive", disk, "-device", "virtio-blk-pci,drive=disk"]
        for number in range(len(self.host.disks)):
            # Raw, so that what a guest flushed is in the host's file even if QEMU is killed.
            place = self.directory / f"spare{number}"
            spare = f"file={place},format=raw,if=none,id=spare{number},cache=writeback,discard=unmap"
            argv += ["-drive", spare, "-device", f"virtio-blk-pci,drive=spare{number},serial=nlite-spare{number}"]
        argv += ["-netdev", f"user,id=eth0,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:22"]
        argv += ["-device", f"virtio-net-pci,netdev=eth0,mac={self.host.mac(0)},romfile="]
        argv += self._private_network()
        return [*argv, "-device", f"virtio-net-pci,netdev=eth1,mac={self.host.mac(1)},romfile="]

    def _private_network(self) -> list[str]:
        """The first host is the hub; every other one has a pair of datagram sockets with it.

        Unix sockets: nothing of the network can be seen or reached from outside, and a full queue makes the sender
        wait where UDP would lose the packet.
        """
        hub, *others = hosts.HOSTS
        if self.host is not hub:
            return ["-netdev", _datagram("eth1", self._socket(self.host, "hub"), self._socket(hub, self.host.name))]
        argv = ["-netdev", "hubport,id=eth1,hubid=0"]
        for other in others:
            local, remote = self._socket(hub, other.name), self._socket(other, "hub")
            argv += ["-netdev", _datagram(f"to-{other.name}", local, remote)]
            argv += ["-netdev", f"hubport,id=port-{other.name},hubid=0,netdev=to-{other.name}"]
        return argv

    def _socket(self, host: Host, peer: str) -> Path:
        return self.state / host.name / f"net-{peer}.sock"

    def wait(self, seconds: float = BOOT_SECONDS) -> None:
        """Return once it is booted and lets commands in; VmError with the end of its console after `seconds`."""
        end = time.monotonic() + seconds
        self._wait_for_banner(end)
        shell = self.shell()
        while time.monotonic() < end:
            try:
                shell.run("systemctl is-system-running --wait >/dev/null; true", timeout=max(end - time.monotonic(), 1))
                return
            except CommandFailed:
                time.sleep(0.5)  # sshd of a machine that is going down, or not quite up
        raise VmError(f"{self.host.name} did not let ssh in within {seconds:g} s\n{self.console_tail()}")

    def _wait_for_banner(self, end: float) -> None:
        """Wait until sshd greets: QEMU itself accepts connections from the beginning."""
        while time.monotonic() < end:
            if not self.running():
                raise VmError(f"QEMU of {self.host.name} ended while it booted\n{self.console_tail()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as link:
                link.settimeout(5)
                if link.recv(4) == b"SSH-":
                    return
            time.sleep(0.3)
        raise VmError(f"{self.host.name} did not boot in time\n{self.console_tail()}")

    def boots(self) -> int:
        """Return how often its kernel has got as far as starting systemd."""
        try:
            return (self.directory / "console.log").read_bytes().count(b"systemd starts after")
        except FileNotFoundError:
            return 0

    def reboot(self, *, hard: bool = False, seconds: float = BOOT_SECONDS) -> None:
        """Boot it anew, in good order or (`hard`) as if power had failed; return once it lets commands in."""
        before = self.boots()
        own = self.shell()
        if hard:
            qmp.command(self.directory / "qmp.sock", "system_reset")
        else:
            own.run("systemctl --no-block reboot", check=False, timeout=60)
        own.forget()
        end = time.monotonic() + seconds
        while self.boots() == before:
            if time.monotonic() > end:
                raise VmError(f"{self.host.name} did not boot anew within {seconds:g} s\n{self.console_tail()}")
            time.sleep(0.2)
        own.forget()  # somebody may have come in while it went down
        self.wait(end - time.monotonic())

    def release(self) -> None:
        """Let it outlive this process."""
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.write(keeper.STAY)
                self._keeper.stdin.flush()

    def stop(self) -> None:
        """End QEMU and forget the connection; the directory stays."""
        pid = keeper.holder(self.directory)
        if pid is not None and (self.directory / "port").exists():
            self.shell().forget()
        end = time.monotonic() + STOP_SECONDS
        number = signal.SIGTERM
        while (pid := keeper.holder(self.directory)) is not None:
            if time.monotonic() > end:
                if number is signal.SIGKILL:
                    raise VmError(f"QEMU of {self.host.name} (keeper {pid}) does not end")
                number, end = signal.SIGKILL, time.monotonic() + STOP_SECONDS
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.1)
        if self._keeper is not None:
            self._keeper.wait(STOP_SECONDS)
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
            self._keeper = None
        (self.directory / "port").unlink(missing_ok=True)


def _datagram(name: str, local: Path, remote: Path) -> str:
    return f"dgram,id={name},local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processors(accelerator: str, host: Host, machines: int) -> int:
    """Return how many processors that host gets, as one of so many machines.

    An emulated one that spins, for a lock or for work, spends what a small host needs for the one it waits for: all
    together have no more than the host, but for those that are said to need them.
    """
    if accelerator == accel.KVM:
        return PROCESSORS
    here = os.cpu_count() or 1
    return max(1, min(PROCESSORS, here // machines), min(host.processors, here))


def _cmdline(accelerator: str) -> str:
    """The kernel's parameters. Emulated, its clock is told the speed of the counter and is made to believe it: what a
    kernel measures on a busy host is wrong, and the clock that it then falls back to costs a trap at each look.
    """
    speed = tsc.kilohertz() if accelerator != accel.KVM else None
    return CMDLINE if speed is None else f"{CMDLINE} tsc=reliable tsc_early_khz={speed}"
