"""Microversions: what the client asked for, whether we serve it, and the headers that tell it what it got.

Source: API-SIG guideline "Microversion Specification"; header names as Nova and Cinder use them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import microversion_parse

from lite_common import errors

Version = tuple[int, int]
# Characters of a version; nobody has one that is longer, and Python refuses to read very long numbers.
LONGEST = 32


@dataclass(frozen=True)
class ApiKind:
    """Which API this is: the service type of its version header, and the versions it serves."""

    service_type: str
    minimum: Version
    maximum: Version
    legacy_header: str | None = None

    def choose(self, environ: dict[str, Any]) -> Version:
        """The version this request is to be served at; `minimum` when it names none.

        Raises errors.Invalid for a version that cannot be read, errors.NotAcceptable for one out of range.
        """
        asked = microversion_parse.get_version(
            self._headers(environ), self.service_type, [self.legacy_header] if self.legacy_header else []
        )
        return self.minimum if asked is None else self.read(asked)

    def read(self, asked: str) -> Version:
        """The version that the text names. Raises as `choose`."""
        if asked == "latest":
            return self.maximum
        if len(asked) > LONGEST or not re.fullmatch(r"[1-9]\d*\.(0|[1-9]\d*)", asked):
            raise errors.Invalid(
                f"API Version String {asked[:100]} is of invalid format. Must be of format MajorNum.MinorNum."
            )
        major, minor = asked.split(".")
        version = (int(major), int(minor))
        if not self.minimum <= version <= self.maximum:
            raise errors.NotAcceptable(
                f"Version {asked} is not supported by the API. "
                f"Minimum is {text(self.minimum)} and maximum is {text(self.maximum)}."
            )
        return version

    def headers(self, version: Version | None) -> list[tuple[str, str]]:
        """Response headers for an answer given at `version` (None: it could not be determined)."""
        names = ["OpenStack-API-Version", *([self.legacy_header] if self.legacy_header else [])]
        told: list[tuple[str, str]] = []
        if version is not None:
            told.append((names[0], f"{self.service_type} {text(version)}"))
            told.extend((name, text(version)) for name in names[1:])
        return told + [("Vary", name) for name in names]

    def _headers(self, environ: dict[str, Any]) -> dict[str, str]:
        names = ["OpenStack-API-Version", *([self.legacy_header] if self.legacy_header else [])]
        found = ((name, environ.get("HTTP_" + name.upper().replace("-", "_"))) for name in names)
        return {name: value for name, value in found if value is not None}


def text(version: Version) -> str:
    """`(2, 89)` as `2.89`."""
    return f"{version[0]}.{version[1]}"


def parse(value: str) -> Version:
    """`2.89` as `(2, 89)`; for constants in the code, not for input."""
    major, minor = value.split(".")
    return int(major), int(minor)
