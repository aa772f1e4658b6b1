"""The five daemons as real processes on private servers: what the integration tests and the benchmark run on.

Each daemon is its console script with a `--config-file`, as an operator starts it, and can be stopped, killed, frozen
and started again by its name. Below them are twins of hypervisor and storage, or the real thing.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from devstack import server, servers

CINDER_API, SCHEDULER, VOLUME = "cinder-lite-api", "cinder-lite-scheduler", "cinder-lite-volume"
COMPUTE, NOVA_API = "nova-lite-compute", "nova-lite-api"
DAEMONS = (CINDER_API, SCHEDULER, VOLUME, COMPUTE, NOVA_API)
READY_LIMIT = 60.0
STOP_LIMIT = 20.0
READY = re.compile(r"\b(?:nova|cinder)\S* is ready$", re.MULTILINE)
Sections = Mapping[str, Mapping[str, Any]]


class System:
    """Private servers and the five daemons on them, everything below `directory` (sockets in a short one of its own).

    `database` is mariadb or sqlite, `attach_flow` attachments or legacy. `real` puts the file backend behind tgtd
    and guests under libvirt in the place of the twins; `images` is then a directory with images that boot.
    `nova` and `cinder` add to their configuration.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database: str = "mariadb",
        attach_flow: str = "attachments",
        real: bool = False,
        images: Path | None = None,
        nova: Sections | None = None,
        cinder: Sections | None = None,
    ) -> None:
        self.directory = directory
        self.images = images or directory / "images"
        self.images.mkdir(parents=True, exist_ok=True)
        # Unix sockets have short names only.
        self.short = Path(tempfile.mkdtemp(prefix="nls-"))
        self.rabbit = servers.RabbitMQ(directory / "rabbitmq")
        self.maria = servers.MariaDB(self.short / "mariadb")
        self.tgtd = servers.Tgtd(self.short / "tgtd")
        self.libvirtd = servers.Libvirtd(self.short / "libvirtd")
        self.ports = {"nova": server.free_port(), "cinder": server.free_port()}
        self.compute_url = f"http://127.0.0.1:{self.ports['nova']}/v2.1"
        self.volume_url = f"http://127.0.0.1:{self.ports['cinder']}/v3"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # By daemon: what its environment has beside this process's own.
        self.environment: dict[str, dict[str, str]] = {}
        self.database_urls: dict[str, str] = {}
        self.ready_seconds = 0.0
        self._sqlite = database == "sqlite"
        self._flow = attach_flow
        self._real = real
        self._extra = {"nova": dict(nova or {}), "cinder": dict(cinder or {})}

    def start(self) -> None:
        """Start the servers, make the schemas, start the daemons; `ready_seconds` is what the daemons took."""
        for one in self._servers():
            one.start()
        self._write_files()
        for name in ("nova", "cinder"):
            subprocess.run(
                [*_program(f"{name}-lite-manage"), "--config-file", str(self.config(name)), "db", "sync"],
                check=True,
                timeout=60,
            )
        begun = time.monotonic()
        for name in DAEMONS:
            self._spawn(name)
        self._await_all(begun)

    def stop(self) -> None:
        """Stop everything that was started and remove the sockets' directory."""
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.short, ignore_errors=True)
            for one in self._servers():
                undo.callback(one.stop)
            for process in self.processes.values():
                process.send_signal(signal.SIGCONT)
                process.terminate()
            for process in self.processes.values():
                _await_end(process)

    def add_backend(self, name: str, **options: Any) -> None:
        """Before `start`: a second backend as the first one, with other options; `enabled_backends` must name it."""
        self._extra["cinder"][name] = self._backend() | options

    def start_daemon(self, name: str) -> None:
        """Start a daemon that was stopped; returns when it says that it is ready."""
        begun, seen = time.monotonic(), len(self.log(name))
        self._spawn(name)
        while not READY.search(self.log(name)[seen:]):
            self._check_alive(name, begun)
            time.sleep(0.05)

    def stop_daemon(self, name: str) -> int:
        """Stop a daemon with SIGTERM and wait for its end; the exit code."""
        self.processes[name].terminate()
        return _await_end(self.processes[name])

    def signal_daemon(self, name: str, number: signal.Signals) -> None:
        """Send a signal: SIGKILL is a crash, SIGSTOP freezes, SIGCONT lets a frozen one run on."""
        self.processes[name].send_signal(number)
        if number == signal.SIGKILL:
            self.processes[name].wait(STOP_LIMIT)

    def log(self, name: str) -> str:
        """All that the daemon has logged."""
        return self.log_path(name).read_text(errors="replace")

    def log_path(self, name: str) -> Path:
        """Where the daemon's log is."""
        return self.directory / f"{name}.log"

    def config(self, name: str) -> Path:
        """The configuration file of `nova` or `cinder`."""
        return self.directory / f"{name}.conf"

    def pids(self) -> dict[str, int]:
        """The process ids of the daemons by name."""
        return {name: process.pid for name, process in self.processes.items()}

    def all_up(self) -> bool:
        """Whether both APIs answer and show every service as up."""
        try:
            volume = requests.get(f"{self.volume_url}/os-services", timeout=5).json()["services"]
            compute = requests.get(f"{self.compute_url}/os-services", timeout=5).json()["services"]
        except (requests.RequestException, ValueError, KeyError):
            return False
        up = {one["binary"] for one in [*volume, *compute] if one["state"] == "up"}
        return {"cinder-scheduler", "cinder-volume", "nova-compute"} <= up

    def _servers(self) -> list[server.Server]:
        databases: list[server.Server] = [] if self._sqlite else [self.maria]
        backends: list[server.Server] = [self.tgtd, self.libvirtd] if self._real else []
        return [self.rabbit, *databases, *backends]

    def _spawn(self, name: str) -> None:
        argv = [*_program(name), "--config-file", str(self.config(name.partition("-")[0]))]
        with self.log_path(name).open("ab") as log:
            env = {**os.environ, **self.environment.get(name, {})}
            self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)

    def _await_all(self, begun: float) -> None:
        """All five are ready when both APIs are healthy and every service has sent its first heartbeat."""
        while not self.all_up():
            for name in DAEMONS:
                self._check_alive(name, begun)
            time.sleep(0.05)
        self.ready_seconds = time.monotonic() - begun

    def _check_alive(self, name: str, begun: float) -> None:
        code, waited = self.processes[name].poll(), time.monotonic() - begun
        if code is not None or waited > READY_LIMIT:
            raise RuntimeError(f"{name} not ready after {waited:.0f} s (exit code {code}): {self.log(name)[-1500:]}")

    def _write_files(self) -> None:
        secret = self.directory / "service-secret"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(24))
        if not any(self.images.iterdir()):
            (self.images / "bench.raw").write_bytes(b"\0" * 512)
        for name in ("nova", "cinder"):
            own = self._nova() if name == "nova" else self._cinder()
            sections = _merge(_merge(self._common(name), own), self._extra[name])
            lines: list[str] = []
            for section, options in sections.items():
                lines += [f"[{section}]", *(f"{key} = {value}" for key, value in options.items())]
            self.config(name).touch(mode=0o600)
            self.config(name).write_text("\n".join(lines) + "\n")

    def _common(self, name: str) -> dict[str, dict[str, Any]]:
        state = self.short / f"{name}-state"
        state.mkdir(exist_ok=True)
        sqlite = f"sqlite:///{state}/{name}.sqlite"
        self.database_urls[name] = sqlite if self._sqlite else self.maria.create_database(f"{name}_lite")
        return {
            "DEFAULT": {
                "host": "bench",
                "my_ip": "127.0.0.1",
                "state_path": state,
                "transport_url": self.rabbit.url,
                "control_exchange": name,
            },
            "api": {"port": self.ports[name], "threads": 16},
            "database": {"connection": self.database_urls[name]},
            "service_auth": {"secret_file": self.directory / "service-secret"},
        }

    def _nova(self) -> dict[str, dict[str, Any]]:
        return {
            "cinder": {"endpoint": self.volume_url, "attach_flow": self._flow},
            "images": {"directory": self.images},
            "compute": {"virt_driver": "libvirt" if self._real else "fake"},
            "libvirt": {"connection_uri": self.libvirtd.uri, "virt_type": "qemu"},
        }

    def _cinder(self) -> dict[str, dict[str, Any]]:
        return {
            "DEFAULT": {"enabled_backends": "main", "quota_volumes": -1, "quota_gigabytes": -1},
            "nova": {"endpoint": self.compute_url},
            "main": self._backend(),
        }

    def _backend(self) -> dict[str, Any]:
        if not self._real:
            return {"volume_driver": "fake", "target_helper": "fake", "fake_capacity_gb": 100000}
        return {
            "volume_driver": "file",
            "target_helper": "tgt",
            "volumes_dir": self.directory / "volumes",
            "target_port": self.tgtd.port,
            "tgt_control_socket": self.tgtd.ipc_socket,
        }


def _program(name: str) -> list[str]:
    """The console script beside the running interpreter."""
    return [os.path.join(os.path.dirname(sys.executable), name)]


def _await_end(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_LIMIT)


def _merge(base: Sections, extra: Sections) -> dict[str, dict[str, Any]]:
    return {name: {**base.get(name, {}), **extra.get(name, {})} for name in {**base, **extra}}
