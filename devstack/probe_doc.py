"""Draw the page about reliability: `python -m devstack.probe_doc FILE > docs/reliability.md`.

FILE is the JSON that a run of the probe writes where NLITE_PROBE_REPORT says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DIES = "dies"
WHENS = ("before", "after")
Cell = dict[str, Any]

INTRO = """# Reliability: what becomes of work when anything dies

Drawn by `python -m devstack.probe_doc` from a run of `./devstack/test.sh probe --all`: real daemons on RabbitMQ,
MariaDB, tgtd, libvirtd and guests under QEMU, on one machine. Each cell is one operation that is cut off at one step
([attach-path.md](attach-path.md)). Then everything is started again, and within 60 s the world has to be right:

- *in-use*: exactly one disk, in exactly the right guest, live and stored; rows, target and session agree; the guest
  reads what it had written, and writes;
- *available*: no row, no target, no access, no session, no disk in any guest, no secret, nothing reserved; the bytes
  that a guest had flushed are there;
- *gone*: nothing at all, and the quota says so.

That is read from the databases, from tgtd, from libvirt and from the file system, not asked of an API. Then what was
asked is asked again, and has to work. The number is how many seconds after everything was up again the world was right.
"""
NOT_RUN = (
    "The kernel backend (LVM, LIO, the host's initiator): `./devstack/test.sh vm --all` does it in virtual machines, "
    "with nova-compute and cinder-volume at ten steps, iscsid and libvirtd in an attach, and the controller's power.",
    "Snapshots, growing and retyping volumes; the steps that only undo (`os_unreserve`, `os_roll_detaching`, "
    "`withdraw_access`).",
    "A death in the middle of a step, between two of its writes: tests of single modules do that.",
    "Several daemons dead at once, messages delivered twice, late or in another order: tests/machine.",
)


def page(report: dict[str, Any]) -> str:
    """The page as Markdown."""
    cells: list[Cell] = report["cells"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    run = "the whole matrix" if report["whole"] else "a sample: one cell for each step"
    run += " but for what is named at the end" if report["notes"] else ""
    minutes, seconds = divmod(int(report["seconds"]), 60)
    parts = [
        INTRO,
        f"Run of {report['date']}: {run}, in {minutes} min {seconds} s. {versions}.\n",
        f"{_total(cells)}\n",
    ]
    kills = [cell for cell in cells if cell["trouble"] == DIES]
    for flow in _in_order(cell["flow"] for cell in kills):
        parts.append(f"## A daemon dies, {flow} flow\n")
        parts.append(_kills([cell for cell in kills if cell["flow"] == flow]))
    others = [cell for cell in cells if cell["trouble"] != DIES]
    if others:
        parts.append("## A server below is away for 3 s while the step is taken\n")
        parts.append(_troubles(others))
    broken = [cell for cell in cells if cell["wrong"]]
    if broken:
        parts.append("## Not right after 60 s\n")
        parts += [f"- {_name(cell)}: {cell['wrong']}" for cell in broken] + [""]
    parts.append("## Not run\n")
    parts += [f"- {line}" for line in [*report["notes"], *NOT_RUN]]
    return "\n".join(parts) + "\n"


def _total(cells: Sequence[Cell]) -> str:
    """One line for all."""
    times = sorted(cell["healed"] for cell in cells if cell["healed"] is not None)
    broken = sum(bool(cell["wrong"]) for cell in cells)
    if not times:
        return f"**{len(cells)} cells, none of them right.**"
    verdict = f"{broken} not" if broken else "all of them"
    return (
        f"**{len(cells)} cells: {len(times)} right within 60 s, {verdict}; half of them within "
        f"{statistics.median(times):.1f} s, the slowest after {times[-1]:.1f} s.**"
    )


def _kills(cells: Sequence[Cell]) -> str:
    lines = ["| operation | daemon | step | dies before | dies after |", "|---|---|---|---|---|"]
    found = {(cell["operation"], cell["daemon"], cell["step"], cell["when"]): cell for cell in cells}
    for operation, daemon, step in _in_order((one[0], one[1], one[2]) for one in found):
        told = [_cell(found.get((operation, daemon, step, when))) for when in WHENS]
        lines.append(f"| {operation} | {daemon} | {step} | {told[0]} | {told[1]} |")
    return "\n".join(lines) + "\n"


def _troubles(cells: Sequence[Cell]) -> str:
    names = _in_order(cell["trouble"] for cell in cells)
    lines = [f"| operation | daemon | step | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    found = {(cell["operation"], cell["daemon"], cell["step"], cell["trouble"]): cell for cell in cells}
    for operation, daemon, step in _in_order((one[0], one[1], one[2]) for one in found):
        told = " | ".join(_cell(found.get((operation, daemon, step, name))) for name in names)
        lines.append(f"| {operation} | {daemon} | {step} | {told} |")
    return "\n".join(lines) + "\n"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return "**no**" if cell["wrong"] else f"{cell['outcome']}, {cell['healed']:.1f} s"


def _name(cell: Cell) -> str:
    return f"{cell['trouble']}, {cell['flow']}: {cell['operation']}, {cell['daemon']} {cell['when']} {cell['step']}"


def _in_order(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page of the run whose JSON is named; the exit code."""
    parser = argparse.ArgumentParser(prog="devstack.probe_doc", description="Draw docs/reliability.md from a run.")
    parser.add_argument("report", type=Path, help="the JSON of the run")
    args = parser.parse_args(argv)
    print(page(json.loads(args.report.read_text())), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
