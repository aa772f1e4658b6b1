"""What a run of load with faults showed, as a section for docs/load-report.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def markdown(results: Mapping[str, Any]) -> str:
    """The section."""
    asked, ended = results["asked"], results["ended"]
    verdict = "nothing was wrong" if not results["wrong"] else f"**{len(results['wrong'])} wrong**"
    lines = [
        f"## {results['when']}: {verdict}",
        "",
        f"{results['clients']} clients, {results['servers']} servers, {results['minutes']:g} minutes, "
        f"{'tgtd, libvirt and guests' if results['real'] else 'twins of guests and storage'}; seed {results['seed']}; "
        f"{results['cores']} cores with a load of {results['load']:g} at the end.",
        "",
        "| | |",
        "|---|---|",
        f"| daemons killed | {sum(results['kills'].values())} ({_listed(results['kills'])}) |",
        f"| attaches asked for | {_listed(_of(asked, 'attach'))} |",
        f"| detaches asked for | {_listed(_of(asked, 'detach'))} |",
        f"| looks | {_listed(_of(asked, 'look'))} |",
        f"| attaches taken, as they ended | {_listed(_of(ended, 'attach'))} |",
        f"| detaches taken, as they ended | {_listed(_of(ended, 'detach'))} |",
        *(f"| {name}, seconds from request to end | {_times(times)} |" for name, times in results["seconds"].items()),
        f"| looks at the guests meanwhile | {results['looks']}, volumes in two guests: {results['shared']} |",
        f"| all well after the last start | {results['healed']:.0f} s |"
        if results["healed"] is not None
        else "| all well after the last start | never |",
        "| left when all was deleted | "
        + ("nothing" if not results["left"] else f"{len(results['left'])} things")
        + " |",
        "",
    ]
    if results["refused"]:
        lines += ["Refused, by reason:", "", *(f"- {count}: {what}" for what, count in results["refused"].items()), ""]
    if results["wrong"]:
        lines += ["Wrong:", "", *(f"- {one}" for one in results["wrong"][:40]), ""]
    return "\n".join(lines)


def _of(counts: Mapping[str, int], operation: str) -> dict[str, int]:
    return {what.partition(" ")[2]: n for what, n in sorted(counts.items()) if what.partition(" ")[0] == operation}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what}: {count}" for what, count in counts.items()) or "none"


def _times(times: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in times.items()) or "none"
