"""Run the benchmark: `python -m devstack.bench [--quick] [--only control|userspace] [--vm] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from devstack.bench import cases, report, vm
from devstack.bench.client import Client
from devstack.system import System
from devstack.vm.hosts import VmError


def control_plane(directory: Path, quick: bool) -> dict[str, Any]:
    """All cases on the control plane alone: real HTTP, RabbitMQ and MariaDB, twins below."""
    system = System(directory)
    results: dict[str, Any] = {}
    try:
        system.start()
        client = Client(system.compute_url, system.volume_url, _image(system))
        say("at rest")
        results["at_rest"] = cases.at_rest(system)
        say("one client")
        results["one_client"] = cases.one_client(client, 20 if quick else 50)
        say("cost of one attach")
        results["cost"] = cases.cost(system, client, 30 if quick else 100)
        results["many_clients"] = []
        for count in (8, 32):
            say(f"{count} clients")
            results["many_clients"].append(cases.many_clients(client, count, 2 if quick else 5))
        say("growth")
        results["growth"] = cases.growth(client, [10, 100] if quick else [10, 100, 1000])
        results["at_rest_after"] = cases.at_rest(system)
    finally:
        system.stop()
    return results


def main() -> int:
    """Run what was asked for, print the table, write the JSON; 0 also when a limit was missed (the table says so)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no server with 1000 volumes")
    parser.add_argument("--only", choices=("control", "userspace"), help="one half of the benchmark")
    parser.add_argument("--vm", action="store_true", help="the kernel path, in a virtual machine, and nothing else")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write the results")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave it, logs and all")
    asked = parser.parse_args()
    results: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
    }
    try:
        results |= _measure(asked)
    except VmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    asked.json.write_text(json.dumps(results, indent=2) + "\n")
    print(report.table(results))
    print(f"\nAll results: {asked.json}")
    return 0


def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    cycles = 5 if asked.quick else 15
    if asked.vm:
        return vm.measure(cycles, lambda text: print(text, file=sys.stderr, flush=True))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="nlite-bench-") as scratch:
        directory = asked.keep or Path(scratch)
        if asked.only != "userspace":
            results |= control_plane(directory / "control", asked.quick)
        if asked.only != "control":
            from devstack.bench import userspace

            results["userspace"] = userspace.measure(directory / "userspace", cycles)
    return results


def say(what: str) -> None:
    """Progress, on standard error so that the table can be redirected."""
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def _image(system: System) -> str:
    url = system.compute_url.replace("/v2.1", "/image/v2/images")
    return str(requests.get(url, timeout=10).json()["images"][0]["id"])


if __name__ == "__main__":
    sys.exit(main())
