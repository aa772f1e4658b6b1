"""The two lists: which tests are wanted (`include.txt`) and which of them are not run, and why (`exclude.txt`).

Both are lists as tempest itself reads them: a regular expression a line, what follows `#` is no part of it. Here each
line of the second must tell its reason there, and a line that leaves out nothing is an error: it is out of date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE / "include.txt"
EXCLUDE = HERE / "exclude.txt"
# What every run of all tests includes: attachments, and what is done to volumes. The whole list takes ten minutes more.
SUBSET = "|".join(
    (
        r"compute\.volumes",
        "server_volume_attachment",
        "test_volumes_actions",
        "VolumesExtend",
        "VolumesSnapshotTestJSON",
        "InstanceActions",
    )
)


class ListError(Exception):
    """A list cannot be used; the message names the line."""


@dataclass(frozen=True)
class Line:
    """An expression and what is said about it."""

    pattern: str
    reason: str

    def matches(self, test: str) -> bool:
        """Whether it means that test."""
        return re.search(self.pattern, test) is not None


def read(path: Path) -> list[Line]:
    """The lines that have an expression. Raises ListError for one that is none."""
    found = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        pattern, _, reason = (part.strip() for part in text.partition("#"))
        if not pattern:
            continue
        try:
            re.compile(pattern)
        except re.error as error:
            raise ListError(f"{path.name}:{number}: {pattern} is no regular expression: {error}") from error
        found.append(Line(pattern, reason))
    return found


def left_out(tests: Iterable[str], excluded: Iterable[Line]) -> dict[Line, list[str]]:
    """The tests that each line leaves out, each test under the first line that means it.

    Raises ListError for a line without a reason and for one that leaves out nothing.
    """
    remaining = list(tests)
    found: dict[Line, list[str]] = {}
    for line in excluded:
        if not line.reason:
            raise ListError(f"{line.pattern}: say after # why it is not run")
        found[line] = [test for test in remaining if line.matches(test)]
        if not found[line]:
            raise ListError(f"{line.pattern}: no test that is wanted has such a name (any more): remove the line")
        gone = set(found[line])
        remaining = [test for test in remaining if test not in gone]
    return found


def expression(text: str) -> re.Pattern[str]:
    """The compiled expression. Raises ValueError for one that is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{text} is no regular expression: {error}") from error
