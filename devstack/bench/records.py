"""What the records of steps cost: the same system with and without them, side by side, measured in turn."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devstack.bench import meters
from devstack.bench.client import Client, many
from devstack.system import System

WITH, WITHOUT = "with", "without"
OFF = {"trace": {"records": "false"}}
CLIENTS = 8


def measure(directory: Path, cycles: int, rounds: int) -> dict[str, Any]:
    """Means of `cycles` attaches by one client and rates of eight over `rounds` rounds, each in turn with and without.

    `attach_ratio` is the time with records by the time without; `rate_ratio` the rate without by the rate with;
    `cpu_ratio` the CPU of everything during the rounds, with by without.
    """
    with contextlib.ExitStack() as running:
        sides = {
            WITH: running.enter_context(_side(directory / WITH)),
            WITHOUT: running.enter_context(_side(directory / WITHOUT, nova=OFF, cinder=OFF)),
        }
        attach = _one_client({name: side.client for name, side in sides.items()}, cycles)
        rates, cpu = _many_clients(sides, rounds)
    return {
        "attach_ms": attach,
        "attach_per_s": rates,
        "cpu_s": cpu,
        "attach_ratio": round(attach[WITH] / attach[WITHOUT], 2),
        "rate_ratio": round(rates[WITHOUT] / rates[WITH], 2),
        "cpu_ratio": round(cpu[WITH] / cpu[WITHOUT], 2),
    }


class _Side:
    def __init__(self, system: System, client: Client) -> None:
        self.system = system
        self.client = client


@contextlib.contextmanager
def _side(directory: Path, **options: Any) -> Iterator[_Side]:
    """A running system of its own. Its client polls often: a poll of 20 ms would hide a difference of 10."""
    directory.mkdir(parents=True)
    system = System(directory, **options)
    try:
        system.start()
        yield _Side(system, Client(system.compute_url, system.volume_url, poll=0.002))
    finally:
        system.stop()


def _one_client(clients: dict[str, Client], cycles: int) -> dict[str, float]:
    things = {name: (one.make_server("one"), one.make_volume("one")) for name, one in clients.items()}
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for turn in range(cycles + 3):
        for name, client in clients.items():
            seconds = client.attach(*things[name]).total
            client.detach(*things[name])
            # The first few open connections.
            taken[name] += [seconds] if turn >= 3 else []
    return {name: round(statistics.mean(seconds) * 1e3, 2) for name, seconds in taken.items()}


def _many_clients(sides: dict[str, _Side], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    things = {}
    for name, side in sides.items():
        servers = many(lambda n, client=side.client: client.make_server(f"many-{n}"), range(CLIENTS), 4)
        volumes = many(lambda n, client=side.client: client.make_volume(f"many-{n}"), range(CLIENTS), 4)
        things[name] = list(zip(servers, volumes, strict=True))
    spent, cpu = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0)
    for turn in range(rounds + 1):
        for name, side in sides.items():
            before, begun = meters.read(side.system), time.perf_counter()
            many(lambda pair, client=side.client: client.attach(*pair), things[name], CLIENTS)
            seconds = time.perf_counter() - begun
            many(lambda pair, client=side.client: client.detach(*pair), things[name], CLIENTS)
            # What is written after the fact counts as well.
            time.sleep(1)
            used = sum(meters.read(side.system).since(before).cpu.values())
            if turn:
                spent[name] += seconds
                cpu[name] += used
    return {name: round(CLIENTS * rounds / spent[name], 1) for name in sides}, {
        name: round(cpu[name] / (CLIENTS * rounds), 4) for name in sides
    }
