"""Run the benchmark: `python -m devstack.bench [--quick] [--only PART] [--auth keystone] [--vm] [--json FILE]`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devstack import keystone as keystones
from devstack import keystone_system
from devstack.bench import cases, pages, records, report, vm
from devstack.bench.client import Client
from devstack.servers import MariaDB
from devstack.system import System
from devstack.vm.hosts import VmError

PARTS = ("control", "pages", "records", "userspace")
KEYSTONE_SECONDS = 600


@contextlib.contextmanager
def site(directory: Path, auth: str) -> Iterator[tuple[System, Client]]:
    """The five daemons with real HTTP, RabbitMQ and MariaDB and twins below, and a client; with or without keystone."""
    with contextlib.ExitStack() as running:
        system, token = System(directory), ""
        if auth == "keystone":
            scratch = running.enter_context(tempfile.TemporaryDirectory(prefix="nlk-"))
            database = running.enter_context(MariaDB(Path(scratch) / "mariadb"))
            keystone = keystones.Keystone(
                directory / "keystone",
                programs=Path(sys.executable).parent,
                database=database.create_database("keystone"),
            )
            running.callback(keystone.stop)
            keystone.start(KEYSTONE_SECONDS)
            system = keystone_system.KeystoneSystem(directory, keystone)
        running.callback(system.stop)
        system.start()
        if auth == "keystone":
            token = keystone.token("admin", "demo")
        yield system, Client(system.compute_url, system.volume_url, token=token)


def control_plane(directory: Path, auth: str, quick: bool) -> dict[str, Any]:
    """All cases on the control plane alone."""
    results: dict[str, Any] = {}
    with site(directory, auth) as (system, client):
        say("at rest")
        results["at_rest"] = cases.at_rest(system)
        say("one client")
        results["one_client"] = cases.one_client(client, 20 if quick else 50)
        say("cost of one attach")
        results["cost"] = cases.cost(system, client, 30 if quick else 100)
        results["many_clients"] = []
        for count in (8, 32):
            say(f"{count} clients")
            results["many_clients"].append(cases.many_clients(client, count, (64 if quick else 160) // count))
        say("growth")
        results["growth"] = cases.growth(client, [10, 100] if quick else [10, 100, 1000])
        results["at_rest_after"] = cases.at_rest(system)
    return results


def many_pages(directory: Path, auth: str) -> dict[str, Any]:
    """10,000 volumes, page by page."""
    say("10,000 volumes")
    with site(directory, auth) as (system, client):
        return pages.measure(system, client)


def main() -> int:
    """Run what was asked for, print the table, write the JSON; 0 also when a limit was missed (the table says so)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no server with 1000 volumes")
    parser.add_argument("--only", choices=PARTS, help="one part of the benchmark")
    parser.add_argument("--auth", choices=("noauth", "keystone"), default="noauth", help="of control and pages")
    parser.add_argument("--vm", action="store_true", help="the kernel path, in a virtual machine, and nothing else")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write the results")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave it, logs and all")
    asked = parser.parse_args()
    results: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "auth": asked.auth,
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
        wanted = (asked.only,) if asked.only else PARTS
        if "control" in wanted:
            results |= control_plane(directory / "control", asked.auth, asked.quick)
        if "pages" in wanted:
            results["pages"] = many_pages(directory / "pages", asked.auth)
        if "records" in wanted:
            say("with and without records")
            results["records"] = records.measure(directory / "records", *((30, 10) if asked.quick else (100, 30)))
        if "userspace" in wanted:
            from devstack.bench import userspace

            say("userspace attach over the bare floor")
            results["userspace"] = userspace.measure(directory / "userspace", cycles)
    return results


def say(what: str) -> None:
    """Progress, on standard error so that the table can be redirected."""
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
