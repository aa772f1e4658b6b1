"""Run load with faults: `python -m devstack.chaos [--minutes 10] [--clients 32] [--real] [--seed N] ...`."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from devstack.chaos import killer, load, report, verify
from devstack.chaos.site import Site

# The promise is 60 s; a machine that is short of processors gets to say by how much it was missed.
HEAL_LIMIT = 240.0
DELETE_LIMIT = 120.0
GUESTS = 4
CACHE = Path("~/.cache").expanduser() / "nova-lite" / "guest"


def main() -> int:
    """Run it; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--servers", type=int, help="how many servers they share (with --real: guests)")
    parser.add_argument("--real", action="store_true", help="tgtd, libvirt and guests in the place of the twins")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path, default=Path("chaos.json"), help="where to write the results")
    parser.add_argument("--report", type=Path, help="write the section for docs/load-report.md here")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave it, logs and all")
    asked = parser.parse_args()
    say(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="nlite-chaos-") as scratch:
        results = run(asked.keep or Path(scratch), asked)
    asked.json.write_text(json.dumps(results, indent=2) + "\n")
    text = report.markdown(results)
    if asked.report:
        asked.report.write_text(text)
    print(text)
    return 1 if results["wrong"] else 0


def run(directory: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Start, load, kill, heal, look, delete, look again; what was seen."""
    images = None
    if asked.real:
        from devstack.guest import build

        images = directory / "images"
        build.build(images, CACHE)
    site = Site(directory, real=asked.real, images=images)
    servers = asked.servers or (GUESTS if asked.real else max(2, asked.clients // 4))
    results: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "seed": asked.seed,
        "minutes": asked.minutes,
        "clients": asked.clients,
        "servers": servers,
        "real": asked.real,
        "cores": os.cpu_count(),
    }
    try:
        site.start()
        clients = load.Clients(site, asked.clients, servers, asked.seed)
        clients.await_ready()
        say("load begins")
        with verify.Watch(site, 5.0 if asked.real else 0.5) as watch:
            kills = _storm(site, clients, asked)
            say("load has ended; all are up")
            healed, wrong = _heal(site)
        say(f"all well after {healed} s" if healed is not None else f"not well: {wrong[:3]}")
        left = _clear(site, clients) if healed is not None else []
    finally:
        site.stop()
    tally = clients.tally
    return results | {
        "load": round(os.getloadavg()[0], 1),
        "kills": dict(kills.kills),
        "asked": dict(sorted(tally.asked.items())),
        "ended": dict(sorted(tally.ended.items())),
        "refused": dict(tally.refused.most_common(20)),
        "seconds": {name: _spread(times) for name, times in tally.seconds.items()},
        "looks": watch.looks,
        "shared": len(watch.shared),
        "healed": healed,
        "left": left,
        "wrong": [*kills.failures, *tally.wrong, *wrong, *left, *(f"{one} was in two guests" for one in watch.shared)],
    }


def _storm(site: Site, clients: load.Clients, asked: argparse.Namespace) -> killer.Killer:
    kills = killer.Killer(site, asked.seed)
    begun = time.monotonic()
    threads: list[threading.Thread] = [*clients.run(), kills.run()]
    while time.monotonic() - begun < asked.minutes * 60 and not kills.failures:
        time.sleep(5)
        done = sum(number for what, number in clients.tally.ended.items() if what.endswith("done"))
        print(
            f"\r{time.monotonic() - begun:5.0f} s, {sum(kills.kills.values())} kills, {done} ended well",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    kills.halt.set()
    threads[-1].join()
    clients.halt.set()
    for thread in threads:
        thread.join()
    return kills


def _heal(site: Site) -> tuple[float | None, list[str]]:
    """Seconds until all was well, or None and what was not."""
    begun = time.monotonic()
    while wrong := verify.problems(site):
        if time.monotonic() - begun > HEAL_LIMIT:
            return None, wrong
        time.sleep(1)
    return round(time.monotonic() - begun, 1), []


def _clear(site: Site, clients: load.Clients) -> list[str]:
    """Delete everything; what is left of it."""
    for server in clients.servers:
        clients.ask("DELETE", f"/servers/{server}", None, "delete server")
    end, waiting = time.monotonic() + DELETE_LIMIT, list(clients.volumes)
    while waiting and time.monotonic() < end:
        for volume in list(waiting):
            code, body = clients.ask("GET", f"/volumes/{volume}", None, "clear")
            if code == 404:
                waiting.remove(volume)
            elif code == 200 and body["volume"]["status"] == "available":
                clients.ask("DELETE", f"/volumes/{volume}", None, "delete volume")
        time.sleep(0.5)
    return [*verify.problems(site), *(f"volume {volume} was not deleted" for volume in waiting)]


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[round(0.95 * (len(ordered) - 1))], 2),
        "max": round(ordered[-1], 2),
    }


def say(what: str) -> None:
    """Progress, on standard error so that the report can be redirected."""
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
