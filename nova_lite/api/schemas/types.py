"""Pieces that several resources' schemas share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

# Bodies are JSON under these names too (application/json goes without saying).
MEDIA_TYPES = ("application/vnd.openstack.compute+json",)

UUID: Schema = {"type": "string", "format": "uuid"}
ANY: Schema = {}
# The spellings the Nova API reference accepts for a boolean.
TRUE = ("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
FALSE = ("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")
BOOLEAN: Schema = {"type": ["boolean", "string"], "enum": [True, False, *TRUE, *FALSE]}
# 1 to 255 characters, none of them a control character, not blank at the ends (which includes being blank altogether).
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)\Z",
}
METADATA: Schema = {
    "type": "object",
    "patternProperties": {r"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}
TAG: Schema = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": "^[^,/]*$"}
TAGS: Schema = {"type": "array", "items": TAG, "maxItems": 50}
HOST_NAME: Schema = {"type": "string", "minLength": 2, "maxLength": 63, "pattern": r"^[a-zA-Z0-9-._]*\Z"}
FULL_HOST_NAME = HOST_NAME | {"maxLength": 255}
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# Addresses, or the empty text for none.
IPV4: Schema = {"type": "string", "pattern": rf"^(({_BYTE}\.){{3}}{_BYTE})?\Z"}
IPV6: Schema = {"type": "string", "maxLength": 45, "pattern": r"^[0-9a-fA-F:.]*\Z"}

ANY_VALUES: Schema = {"type": "array"}
# The length is bound because Python refuses to read very long numbers, and no list has so many rows.
NUMBERS: Schema = {"type": "array", "items": {"type": "string", "pattern": "^[0-9]+$", "maxLength": 18}}


def closed(properties: Schema, required: Iterable[str] = ()) -> Schema:
    """A schema of an object with these members and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def query(properties: Schema, *, strict: bool = False) -> Schema:
    """A schema of a query string. Unless `strict`, parameters without a schema pass and mean nothing."""
    return {"type": "object", "properties": properties, "additionalProperties": not strict}


def is_true(value: bool | str) -> bool:
    """What a value that keeps BOOLEAN means."""
    return value is True or value in TRUE
