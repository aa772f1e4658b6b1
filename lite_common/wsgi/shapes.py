"""Words in which both APIs tell what their answers look like (`expose(answer=...)`).

Members may come with later microversions that are not told, so every object is open.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
PAIRS: Schema = {"type": "object", "additionalProperties": TEXT}
NUMBERS: Schema = {"type": "object", "additionalProperties": NUMBER}
ANY: Schema = {"type": "object"}


def record(properties: Schema, **optional: Schema) -> Schema:
    """An object that always has these members, and may have the optional ones."""
    return {"type": "object", "properties": properties | optional, "required": list(properties)}


def listed(item: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": item}


LINKS = listed(record({"rel": TEXT, "href": TEXT}))


def page(key: str, item: Schema, **optional: Schema) -> Schema:
    """A page of a list, with the link to the next one where there is one."""
    return record({key: listed(item)}, **{f"{key}_links": LINKS}, **optional)
