"""What a stretch of work cost: CPU by process, SQL statements, AMQP messages, HTTP requests, and memory at rest.

Each is read from the one who did the work (the kernel, MariaDB, RabbitMQ, the daemons' access logs), not from
counters of our own.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.system import System


@dataclass(frozen=True)
class Reading:
    """Counters at one moment. CPU in seconds by process name."""

    cpu: dict[str, float]
    statements: int
    messages: int
    requests: int

    def since(self, earlier: Reading) -> Reading:
        """What was used between the two."""
        return Reading(
            {name: self.cpu[name] - earlier.cpu.get(name, 0.0) for name in self.cpu},
            self.statements - earlier.statements,
            self.messages - earlier.messages,
            self.requests - earlier.requests,
        )


def read(system: System) -> Reading:
    """The counters now."""
    pids = system.pids() | {"mariadbd": system.maria.pid, "rabbitmq": system.rabbit.pid}
    return Reading(
        {name: _cpu_of_tree(pid) for name, pid in pids.items()},
        statements(system),
        _messages(system),
        sum(_requests(system.directory / f"{name}.log") for name in ("nova-lite-api", "cinder-lite-api")),
    )


def memory(system: System) -> dict[str, float]:
    """Proportional set size of each daemon, in MiB."""
    return {name: _pss(pid) for name, pid in system.pids().items()}


def _cpu_of_tree(pid: int) -> float:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:2]) for process in family))


def statements(system: System) -> int:
    """Statements that clients have sent to MariaDB so far, this question among them."""
    told = system.maria.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
    return int(told.split()[-1])


def _messages(system: System) -> int:
    """Messages that clients have published so far, over all protocols."""
    counters = "rabbit_global_counters:overview()"
    asked = f"maps:fold(fun(_, M, A) -> A + maps:get(messages_received_total, M, 0) end, 0, {counters})."
    done = subprocess.run(
        ["/usr/lib/rabbitmq/bin/rabbitmqctl", "--quiet", "eval", asked],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **system.rabbit.env()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout.split()[-1])


def _requests(log: Path) -> int:
    return len(re.findall(r" access \[.*\] (?:GET|POST|PUT|DELETE) ", log.read_text()))


def _pss(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) / 1024 if found else 0.0
