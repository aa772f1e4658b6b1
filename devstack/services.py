"""Wait until services report to be up, as both APIs show them.

    python3 -m devstack.services --nova URL --cinder URL cinder-scheduler cinder-volume@HOST@BACKEND nova-compute@HOST

A name alone is satisfied by any host. Standard library only: it must not take the seconds that a client with its
libraries takes to load, again and again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence

POLL_SECONDS = 0.5
REQUEST_SECONDS = 20.0


def reported(url: str) -> set[str]:
    """The services that an API shows as up, each as `name` and as `name@host`; none where it does not answer."""
    # A proxy from the environment has no business between the hosts of one stack.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/os-services", timeout=REQUEST_SECONDS) as answer:
            rows = json.load(answer)["services"]
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return set()
    up = [(row["binary"], row["host"]) for row in rows if row["state"] == "up"]
    return {name for name, _ in up} | {f"{name}@{host}" for name, host in up}


def missing(wanted: Iterable[str], urls: Iterable[str]) -> list[str]:
    """What of `wanted` no API shows as up, in the order given."""
    found = set().union(*(reported(url) for url in urls))
    return [name for name in wanted if name not in found]


def main(argv: Sequence[str] | None = None) -> int:
    """Wait; 0 when all are up, 1 when they were not within the limit."""
    parser = argparse.ArgumentParser(prog="devstack.services", description="Wait until services are up.")
    parser.add_argument("--nova", required=True, help="root of the compute API, with its version")
    parser.add_argument("--cinder", required=True, help="root of the volume API, with its version")
    parser.add_argument("--seconds", type=float, default=90.0, help="longest wait")
    parser.add_argument("wanted", nargs="+", metavar="NAME[@HOST]")
    args = parser.parse_args(argv)
    end = time.monotonic() + args.seconds
    while absent := missing(args.wanted, (args.nova, args.cinder)):
        if time.monotonic() >= end:
            print(f"not up after {args.seconds:g} s: {', '.join(absent)}", file=sys.stderr)
            return 1
        time.sleep(POLL_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
