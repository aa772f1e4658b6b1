"""The five daemons as real processes on private servers, with twins for hypervisor and storage."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from devstack import server, servers

DAEMONS = ("cinder-lite-api", "cinder-lite-scheduler", "cinder-lite-volume", "nova-lite-compute", "nova-lite-api")
READY_LIMIT = 60.0


class System:
    """Private RabbitMQ and MariaDB and the five daemons on them, everything below `directory`.

    `nova` and `cinder` add configuration sections (for a real hypervisor and target instead of the twins).
    """

    def __init__(
        self,
        directory: Path,
        *,
        nova: Mapping[str, Mapping[str, Any]] | None = None,
        cinder: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.rabbit = servers.RabbitMQ(directory / "rabbitmq")
        self.maria = servers.MariaDB(directory / "mariadb")
        self.ports = {"nova": server.free_port(), "cinder": server.free_port()}
        self.compute_url = f"http://127.0.0.1:{self.ports['nova']}/v2.1"
        self.volume_url = f"http://127.0.0.1:{self.ports['cinder']}/v3"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ready_seconds = 0.0
        self._extra = {"nova": nova or {}, "cinder": cinder or {}}

    def start(self) -> None:
        """Start the servers, make the schemas, start the daemons; `ready_seconds` is what the daemons took."""
        self.rabbit.start()
        self.maria.start()
        self._write_files()
        for name in ("nova", "cinder"):
            subprocess.run(
                [*_program(f"{name}-lite-manage"), "--config-file", str(self.config(name)), "db", "sync"],
                check=True,
                timeout=60,
            )
        begun = time.monotonic()
        for name in DAEMONS:
            log = (self.directory / f"{name}.log").open("wb")
            argv = [*_program(name), "--config-file", str(self.config(name.partition("-")[0]))]
            self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._await_ready(begun)

    def stop(self) -> None:
        """Stop everything that was started."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.maria.stop()
        self.rabbit.stop()

    def config(self, name: str) -> Path:
        """The configuration file of `nova` or `cinder`."""
        return self.directory / f"{name}.conf"

    def pids(self) -> dict[str, int]:
        """The process ids of the daemons by name."""
        return {name: process.pid for name, process in self.processes.items()}

    def _await_ready(self, begun: float) -> None:
        """All five are ready when both APIs are healthy and every service has sent its first heartbeat."""
        while not self._all_up():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() - begun > READY_LIMIT:
                names = dead or list(self.processes)
                tails = {name: (self.directory / f"{name}.log").read_text()[-1500:] for name in names}
                raise RuntimeError(f"not ready after {time.monotonic() - begun:.0f} s: {tails}")
            time.sleep(0.05)
        self.ready_seconds = time.monotonic() - begun

    def _all_up(self) -> bool:
        try:
            volume = requests.get(f"{self.volume_url}/os-services", timeout=5).json()["services"]
            compute = requests.get(f"{self.compute_url}/os-services", timeout=5).json()["services"]
        except (requests.RequestException, ValueError, KeyError):
            return False
        up = {one["binary"] for one in [*volume, *compute] if one["state"] == "up"}
        return {"cinder-scheduler", "cinder-volume", "nova-compute"} <= up

    def _write_files(self) -> None:
        secret = self.directory / "service-secret"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(24))
        images = self.directory / "images"
        images.mkdir(exist_ok=True)
        (images / "bench.raw").write_bytes(b"\0" * 512)
        for name in ("nova", "cinder"):
            sections = _merge(_merge(self._common(name), self._twins(name)), self._extra[name])
            lines: list[str] = []
            for section, options in sections.items():
                lines += [f"[{section}]", *(f"{key} = {value}" for key, value in options.items())]
            self.config(name).touch(mode=0o600)
            self.config(name).write_text("\n".join(lines) + "\n")

    def _common(self, name: str) -> dict[str, dict[str, Any]]:
        return {
            "DEFAULT": {
                "host": "bench",
                "my_ip": "127.0.0.1",
                "state_path": self.directory / f"{name}-state",
                "transport_url": self.rabbit.url,
                "control_exchange": name,
            },
            "api": {"port": self.ports[name], "threads": 16},
            "database": {"connection": self.maria.create_database(f"{name}_bench")},
            "service_auth": {"secret_file": self.directory / "service-secret"},
        }

    def _twins(self, name: str) -> dict[str, dict[str, Any]]:
        if name == "nova":
            return {
                "cinder": {"endpoint": self.volume_url},
                "images": {"directory": self.directory / "images"},
                "compute": {"virt_driver": "fake"},
            }
        return {
            "DEFAULT": {"enabled_backends": "twin", "quota_volumes": -1, "quota_gigabytes": -1},
            "nova": {"endpoint": self.compute_url},
            "twin": {"volume_driver": "fake", "target_helper": "fake", "fake_capacity_gb": 100000},
        }


def _program(name: str) -> list[str]:
    """The console script beside the running interpreter."""
    return [str(Path(sys.executable).parent / name)]


def _merge(base: Mapping[str, Mapping[str, Any]], extra: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**base.get(name, {}), **extra.get(name, {})} for name in {**base, **extra}}
