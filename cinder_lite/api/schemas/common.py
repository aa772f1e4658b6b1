"""Values that several bodies have in common. Limits as in Cinder's API reference."""

from __future__ import annotations

from typing import Any

UUID = {"type": "string", "format": "uuid"}
NAME = {"type": ["string", "null"], "maxLength": 255}
REQUIRED_NAME = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\S"}
TEXT = {"type": ["string", "null"]}
METADATA = {
    "type": "object",
    "patternProperties": {r"^[a-zA-Z0-9\-_:. /]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}
SPECS = {
    "type": "object",
    "patternProperties": {r"^[a-zA-Z0-9\-_:.]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with null allowed, too (a schema by alternatives would not say which rule was broken)."""
    return schema | {"type": [schema["type"], "null"]}


def wrapped(key: str, inner: dict[str, Any], *, extra: bool = False) -> dict[str, Any]:
    """The schema of `{key: inner}`; `extra` allows keys beside it."""
    return {"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": extra}


def record(properties: dict[str, Any], *required: str, extra: bool = False, least: int = 0) -> dict[str, Any]:
    """The schema of an object with these properties; `extra` allows others, `least` is how many there must be."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": extra,
        "minProperties": least,
    }
