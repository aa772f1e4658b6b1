"""The kernel path's benchmark in a virtual machine: all roles on one host, installed as an operator would.

The machine is a fresh one of `devstack/vm`, with Debian's kernel; its figures say how the attach compares with its
floor in the same machine, not how fast either is on hardware.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from devstack.vm import environment, hosts, image, private

HOST = "controller"
INSTALL_SECONDS = 900
MEASURE_SECONDS = 1800
RESULT = "/run/bench-kernel.json"


def measure(cycles: int, say: Callable[[str], None]) -> dict[str, Any]:
    """What `devstack.bench.kernel` measured in a machine made for it and gone afterwards; VmError if it cannot."""
    state = private.PrivateState()
    world = environment.Environment(state.path, image.cache_directory(), say)
    try:
        return _measure(world, cycles)
    finally:
        world.down()
        state.remove()


def _measure(world: environment.Environment, cycles: int) -> dict[str, Any]:
    (host,) = hosts.chosen([HOST])
    (machine,) = world.up([HOST])
    shell = machine.shell()
    stack = f"{environment.SOURCE}/devstack/stack.sh --role all --my-ip {host.address} --disk /dev/vdb --no-story"
    shell.run(stack, timeout=INSTALL_SECONDS)
    world.say("installed; measuring")
    bench = f"-m devstack.bench.kernel --address {host.address} --cycles {cycles} --json {RESULT}"
    shell.run(f"cd {environment.SOURCE} && /opt/nlite/venv/bin/python {bench}", timeout=MEASURE_SECONDS)
    found: dict[str, Any] = json.loads(shell.run(["cat", RESULT]).stdout)
    return found
