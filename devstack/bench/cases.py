"""The cases: one client, many clients, the cost of one attach, growth of one server, memory and start."""

from __future__ import annotations

import time
from typing import Any

from devstack.bench import meters
from devstack.bench.client import Client, many, milliseconds
from devstack.system import System


def one_client(client: Client, cycles: int) -> dict[str, Any]:
    """Attach and detach one volume `cycles` times, after one cycle that is not counted."""
    server, volume = client.make_server("seq"), client.make_volume("seq")
    client.attach(server, volume)
    client.detach(server, volume)
    attached, detached = [], []
    for _ in range(cycles):
        attached.append(client.attach(server, volume))
        detached.append(client.detach(server, volume))
    return {
        "attach_post_ms": milliseconds([one.answer for one in attached]),
        "attach_ms": milliseconds([one.total for one in attached]),
        "detach_delete_ms": milliseconds([one.answer for one in detached]),
        "detach_ms": milliseconds([one.total for one in detached]),
    }


def many_clients(client: Client, clients: int, rounds: int) -> dict[str, Any]:
    """So many clients at once, each with a server and a volume of its own; rates over `rounds` rounds.

    One round before them is not counted: it opens the daemons' connections to database and bus.
    """
    servers = many(lambda n: client.make_server(f"conc{clients}-{n}"), range(clients), 4)
    volumes = many(lambda n: client.make_volume(f"conc{clients}-{n}"), range(clients), 4)
    spent = {"attach": 0.0, "detach": 0.0}
    totals: list[float] = []
    for turn in range(rounds + 1):
        for name, work in (("attach", client.attach), ("detach", client.detach)):
            begun = time.perf_counter()
            times = many(lambda n, work=work: work(servers[n], volumes[n]), range(clients), clients)
            if turn:
                spent[name] += time.perf_counter() - begun
                totals += [one.total for one in times] if name == "attach" else []
    return {
        "clients": clients,
        "attach_per_s": round(clients * rounds / spent["attach"], 1),
        "detach_per_s": round(clients * rounds / spent["detach"], 1),
        "attach_ms": milliseconds(totals),
    }


def cost(system: System, client: Client, attaches: int) -> dict[str, Any]:
    """What one attach costs everybody: `attaches` of them without polling, less what the idle system uses."""
    server = client.make_server("cost")
    volumes = many(lambda n: client.make_volume(f"cost-{n}"), range(attaches), 4)
    time.sleep(2)
    first = meters.read(system)
    time.sleep(10)
    idle = meters.read(system).since(first)
    begun, before = time.perf_counter(), meters.read(system)
    for volume in volumes:
        client.post_attach(server, volume)
        time.sleep(0.03)
    _settle(system)
    used, seconds = meters.read(system).since(before), time.perf_counter() - begun
    for volume in volumes:
        if client.status(volume) != "in-use":
            raise RuntimeError(f"volume {volume} is {client.status(volume)} after the cost case")
    share = seconds / 10
    cpu = {name: round((used.cpu[name] - idle.cpu[name] * share) / attaches, 4) for name in used.cpu}
    return {
        "attaches": attaches,
        "cpu_s": round(sum(cpu.values()), 4),
        "cpu_s_by_process": cpu,
        "sql_statements": round((used.statements - idle.statements * share) / attaches, 1),
        "amqp_messages": round((used.messages - idle.messages * share) / attaches, 1),
        "http_requests": round((used.requests - idle.requests * share) / attaches, 1),
    }


def growth(client: Client, steps: list[int], clients: int = 4) -> list[dict[str, Any]]:
    """Fill one server up to each step; the attach rate on the way, and the time of both lists there."""
    server = client.make_server("growth")
    have = 0
    rows: list[dict[str, Any]] = []
    for step in steps:
        volumes = many(lambda n: client.make_volume(f"growth-{n}"), range(have, step), 4)
        begun = time.perf_counter()
        many(lambda volume: client.attach(server, volume), volumes, clients)
        rate = len(volumes) / (time.perf_counter() - begun)
        have = step
        listed, detail = [], []
        for _ in range(10):
            begun = time.perf_counter()
            found = client.listed(server)
            listed.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            shown = client.call("volume", "GET", f"/volumes/detail?limit={step}")["volumes"]
            detail.append(time.perf_counter() - begun)
        if len(found) != step or len(shown) != min(step, 1000):
            raise RuntimeError(f"{step} attachments: {len(found)} listed, {len(shown)} volumes in detail")
        rows.append(
            {
                "attachments": step,
                "attach_per_s": round(rate, 1),
                "list_ms": milliseconds(listed),
                "volumes_detail_ms": milliseconds(detail),
            }
        )
    return rows


def _settle(system: System) -> None:
    """Wait until nobody in the system uses CPU to speak of."""
    for _ in range(60):
        before = meters.read(system)
        time.sleep(0.5)
        if meters.read(system).since(before).statements < 12:
            return


def at_rest(system: System) -> dict[str, Any]:
    """Memory of the five daemons and the time they took to be ready."""
    pss = meters.memory(system)
    return {
        "pss_mib": round(sum(pss.values()), 1),
        "pss_mib_by_daemon": {name: round(value, 1) for name, value in pss.items()},
        "ready_s": round(system.ready_seconds, 2),
    }
