"""The system under load: five real daemons that can be killed and started quickly, and a look at its whole world."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cinder_lite.targets import tgt_control, tgt_show
from devstack import system as systems
from devstack.chaos import twins

READY_LIMIT = 120.0
# A caller of a daemon that was killed waits this long for its answer; heartbeats allow for a loaded machine.
QUICK = {"rpc_response_timeout": 10, "report_interval": 2, "service_down_time": 30}
IQN = re.compile(r"volume-([0-9a-f-]{36})$")


class Site(systems.System):
    """A `System` whose twins outlive their daemons (or, `real`, with tgtd, libvirt and guests)."""

    def __init__(self, directory: Path, *, real: bool, images: Path | None = None) -> None:
        super().__init__(directory, real=real, images=images, nova={"DEFAULT": QUICK}, cinder={"DEFAULT": QUICK})
        self.real = real
        self.state = directory / "twins"
        self.state.mkdir(parents=True, exist_ok=True)
        self._engines: dict[str, sa.Engine] = {}

    def start_daemon(self, name: str) -> None:
        """As the base, but a log of many megabytes is not read again and again."""
        seen = self.log_path(name).stat().st_size
        self._spawn(name)
        end = time.monotonic() + READY_LIMIT
        while True:
            with self.log_path(name).open("rb") as log:
                log.seek(seen)
                if systems.READY.search(log.read().decode(errors="replace")):
                    return
            if self.processes[name].poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{name} did not start (exit code {self.processes[name].poll()})")
            time.sleep(0.1)

    def rows(self, database: str, query: str) -> list[dict[str, Any]]:
        """Rows of a database, past the daemons."""
        if database not in self._engines:
            self._engines[database] = sa.create_engine(self.database_urls[database], pool_pre_ping=True)
        with self._engines[database].connect() as conn:
            return [dict(row) for row in conn.execute(sa.text(query)).mappings()]

    def guests(self) -> dict[str, set[str]]:
        """The volumes in each guest, live and stored."""
        if not self.real:
            found = twins.read(twins.GUESTS, self.state).get("_guests", {})
            return {server: {*guest.live, *guest.stored} for server, guest in found.items()}
        virsh = self.libvirtd.virsh
        return {
            server: _serials(virsh("dumpxml", server)) | _serials(virsh("dumpxml", "--inactive", server))
            for server in virsh("list", "--all", "--uuid").split()
        }

    def exports(self) -> set[str]:
        """The volumes that are exported."""
        if not self.real:
            names = twins.read(twins.TARGETS, self.state).get("_targets", {})
        else:
            control = tgt_control.Control(str(self.tgtd.ipc_socket))
            names = tgt_show.parse(control.request(tgt_control.Mode.TARGET, tgt_control.Op.SHOW))
        return {found.group(1) for name in names if (found := IQN.search(name))}

    def stored(self) -> set[str]:
        """The volumes whose bytes are there."""
        if not self.real:
            names = twins.read(twins.STORAGE, self.state).get("volumes", {})
        else:
            names = [path.name for path in (self.directory / "volumes").glob("volume-*")]
        return {name.removeprefix("volume-") for name in names}

    def stop(self) -> None:
        """See the base."""
        for engine in self._engines.values():
            engine.dispose()
        super().stop()

    def _spawn(self, name: str) -> None:
        if self.real or name not in (systems.COMPUTE, systems.VOLUME):
            super()._spawn(name)
            return
        argv = [sys.executable, "-m", "devstack.chaos.twins", name, "--state", str(self.state)]
        argv += ["--config-file", str(self.config(name.partition("-")[0]))]
        root = str(Path(__file__).parents[2])
        with self.log_path(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=root, env={**os.environ, "PYTHONPATH": root}
            )


def _serials(description: str) -> set[str]:
    return {one.text or "" for one in ET.fromstring(description).iterfind("./devices/disk/serial")}
