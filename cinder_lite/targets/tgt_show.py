"""Read tgtd's listing of targets (`show target`) into records. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cinder_lite.targets import base

_TARGET = re.compile(r"Target (\d+): (\S+)")
_INITIATOR = re.compile(r"Initiator: (\S+)")


@dataclass
class Target:
    """One target as tgtd lists it. `units` maps LUN to backing path."""

    tid: int
    iqn: str
    units: dict[int, str] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    acl: set[str] = field(default_factory=set)
    sessions: list[base.Session] = field(default_factory=list)


def find(text: str, iqn: str) -> Target | None:
    """Return the one target of that IQN without reading the others: a listing may hold thousands."""
    match = re.search(rf"^Target \d+: {re.escape(iqn)}$", text, re.MULTILINE)
    if match is None:
        return None
    end = text.find("\nTarget ", match.end())
    return parse(text[match.start() : end if end >= 0 else len(text)])[iqn]


def name_of(text: str, tid: int) -> str | None:
    """Return the name of the target of that number."""
    match = re.search(rf"^Target {tid}: (\S+)$", text, re.MULTILINE)
    return match[1] if match else None


def portals(text: str) -> list[str]:
    """Return the portals ("address:port") of tgtd's listing of portals."""
    return re.findall(r"^Portal: (\S+),\d+$", text, re.MULTILINE)


def numbers(text: str) -> list[int]:
    """Return the numbers of all targets."""
    return [int(number) for number in re.findall(r"^Target (\d+): ", text, re.MULTILINE)]


def parse(text: str) -> dict[str, Target]:
    """Return the targets by IQN."""
    found: dict[str, Target] = {}
    target: Target | None = None
    section = ""
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        if indent == 0:
            match = _TARGET.match(line)
            if match:
                target = found[match[2]] = Target(int(match[1]), match[2])
        elif indent == 4:
            section = line.strip()
        elif target is not None:
            _READERS.get(section, _ignore)(target, indent, line.strip())
    return found


def _nexus(target: Target, indent: int, line: str) -> None:
    match = _INITIATOR.match(line)
    if match:
        target.sessions.append(base.Session(match[1]))
    elif line.startswith("IP Address:") and target.sessions:
        last = target.sessions.pop()
        target.sessions.append(base.Session(last.initiator, line.partition(":")[2].strip()))


def _unit(target: Target, indent: int, line: str) -> None:
    key, _, value = line.partition(":")
    if key == "LUN":
        target.units[int(value)] = ""
    elif key == "Backing store path" and target.units:
        target.units[next(reversed(target.units))] = value.strip()


def _account(target: Target, indent: int, line: str) -> None:
    target.accounts.add(line.split(" ")[0])


def _acl(target: Target, indent: int, line: str) -> None:
    target.acl.add(line)


def _ignore(target: Target, indent: int, line: str) -> None:
    return


_READERS = {
    "I_T nexus information:": _nexus,
    "LUN information:": _unit,
    "Account information:": _account,
    "ACL information:": _acl,
}
