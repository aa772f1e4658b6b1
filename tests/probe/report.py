"""What the run found, as JSON for `devstack/probe_doc.py`: every cell, and what was not run."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.probe.attempt import Attempt

VERSIONS = {
    "libvirt": ["libvirtd", "--version"],
    "QEMU": ["qemu-system-x86_64", "--version"],
    "MariaDB": ["mariadbd", "--version"],
    "RabbitMQ": ["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"],
    "tgt": ["dpkg-query", "-W", "-f", "${Version}", "tgt"],
}


@dataclass
class Report:
    """Collects the cells of a run; `whole` says that it was meant to be all of them. With a `path` it is written there
    after each batch: a run that is broken off leaves what it has found."""

    whole: bool
    path: Path | None = None
    begun: float = field(default_factory=time.monotonic)
    cells: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, attempts: Iterable[Attempt]) -> list[str]:
        """Keep these; what is wrong with them."""
        results = [(attempt, attempt.result()) for attempt in attempts]
        self.cells += [result for _, result in results]
        if self.path is not None:
            self._write(self.path)
        return [f"{attempt.cell}: {attempt.wrong}" for attempt, _ in results if attempt.wrong]

    def _write(self, path: Path) -> None:
        told = {
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "whole": self.whole,
            "seconds": round(time.monotonic() - self.begun),
            "versions": {
                "Python": platform.python_version(),
                **{name: _version(argv) for name, argv in VERSIONS.items()},
            },
            "notes": self.notes,
            "cells": self.cells,
        }
        path.write_text(json.dumps(told, indent=1) + "\n")


def _version(argv: list[str]) -> str:
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return "?"
    return next((word.strip("(),") for word in said.split() if word[:1].isdigit()), "?")
