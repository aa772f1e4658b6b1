"""Write docs/api/*.md, the API reference, from the tables that the services use: `python -m devstack.api_doc`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from devstack import apis
from lite_common.wsgi import expose, faults, microversion, openapi
from lite_common.wsgi.routing import Route

DOCS = Path(__file__).parents[1] / "docs" / "api"
PAGES = {"compute.md": apis.compute, "volume.md": apis.volume}
# Enumerations longer than this are cut: the document has them whole.
MOST_WORDS = 8
# Paths without microversions never answer 406; that is not worth a column.
ANY = sorted({*openapi.EVERY, *openapi.VERSIONED})


def page(api: openapi.Api) -> str:
    """One API as Markdown."""
    low, high = microversion.text(api.kind.minimum), microversion.text(api.kind.maximum)
    parts = [
        f"# {api.title}\n",
        f"{api.description}\n",
        f"Microversions {low} to {high}, asked for with `OpenStack-API-Version: {api.kind.service_type} {high}`; "
        f"without it a request is served at {low}. The service tells all of this itself, for programs, at "
        "`/openapi.json` (OpenAPI 3.1; the newest microversion, or the one in `?microversion=`). This page is made "
        "from the same tables by `python -m devstack.api_doc`; a test compares.\n",
        "## Errors\n",
        "An error is `{name: {code, message}}`, the name by the status. Any operation may answer with those of the "
        "first table, and those of the second where it says so.\n",
        *_errors(),
    ]
    shown = ""
    for route, versioned in sorted(api.routes(), key=lambda pair: openapi.resource(pair[0].handler)[0]):
        name, text = openapi.resource(route.handler)
        if name != shown:
            shown = name
            parts.append(f"## {name}\n\n{' '.join(text.split())}\n")
        parts.append(_operation(api, route, versioned=versioned))
    return "\n".join(parts)


def _errors() -> Iterator[str]:
    for codes in (ANY, sorted({*openapi.WRITES, *openapi.WITH_BODY})):
        yield "| status | name | when |\n|---|---|---|"
        for code in codes:
            yield f"| {code} | `{next(iter(json.loads(faults.body(code, ''))))}` | {openapi.REASONS[code]} |"
        yield ""
    yield "A method that a path has not is 405 `badMethod`, and `Allow` names those it has.\n"


def _operation(api: openapi.Api, route: Route, *, versioned: bool) -> str:
    told = expose.declared(route.handler)
    newest = told.until or api.kind.maximum
    summary, _, rest = (route.handler.__doc__ or "").strip().partition("\n")
    lines = [f"### {route.method} {route.path}\n", " ".join([summary, *rest.split()]), ""]
    if told.since or told.until:
        bounds = [f"from {microversion.text(told.since)} on"] if told.since else []
        bounds += [f"up to {microversion.text(told.until)}"] if told.until else []
        lines.append(f"Microversions: {', '.join(bounds)}.\n")
    lines += _table("query", told.queries, api)
    lines += _table("body", told.bodies, api)
    lines.append(f"Answers: {_answers(route, told, newest, versioned=versioned)}.\n")
    lines += _table("answer", told.answers, api)
    return "\n".join(lines)


def _answers(route: Route, told: expose.Operation, newest: microversion.Version, *, versioned: bool) -> str:
    codes = openapi.statuses(route.method, told, newest, versioned=versioned)
    usual = [f"{code} from {microversion.text(first)} on" if first > (0, 0) and len(told.statuses) > 1 else str(code)
             for first, code in reversed(told.statuses)]  # fmt: skip
    others = [str(code) for code in codes if code not in ANY and code not in dict(told.statuses).values()]
    return "; ".join([", ".join(usual), ", ".join(others)] if others else usual)


def _table(what: str, told: expose.ByVersion[expose.Schema | None], api: openapi.Api) -> list[str]:
    """The members of the newest schema and the version each came with; nothing for a schema without members."""
    schemas = [(first, schema) for first, schema in told if schema is not None]
    if not schemas:
        return []
    since: dict[str, microversion.Version] = {}
    for first, schema in reversed(schemas):
        for name, _, _ in _members(schema):
            since.setdefault(name, first)
    newest = schemas[0][1]
    rows = [
        f"| `{name}` | {'yes' if required else ''} | {_since(since[name], api)} | {_words(schema, what == 'query')} |"
        for name, schema, required in _members(newest)
    ]
    if not rows:
        return []
    closed = [first for first, schema in schemas if _is_closed(schema)]
    text = f"Others are refused{_from(closed[-1], api)}." if closed and what != "answer" else ""
    return [f"| {what} | required | since | |\n|---|---|---|---|", *rows, "", *([text, ""] if text else [])]


def _is_closed(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is False


def _from(first: microversion.Version, api: openapi.Api) -> str:
    return f" from {microversion.text(first)} on" if first > api.kind.minimum else ""


def _since(first: microversion.Version, api: openapi.Api) -> str:
    return microversion.text(first) if first > api.kind.minimum else ""


def _members(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Every member of an object, and of the objects in it, by its dotted name; `[]` is an item of a list."""
    required = schema.get("required", ())
    for name, found in schema.get("properties", {}).items():
        yield prefix + name, found, name in required
        if name.endswith("links"):
            continue
        yield from _members(found, f"{prefix}{name}.")
        for one in (found, *found.get("anyOf", ())):
            if isinstance(one.get("items"), Mapping):
                yield from _members(one["items"], f"{prefix}{name}[].")


def _words(schema: Mapping[str, Any], in_query: bool) -> str:
    """What a value may be, in words."""
    if in_query:
        schema = {"description": schema.get("description", ""), **schema.get("items", {"type": "string"})}
    kinds = schema.get("type", ())
    found = [" or ".join([kinds] if isinstance(kinds, str) else kinds)]
    if "format" in schema:
        found.append(schema["format"])
    if "enum" in schema:
        words = [json.dumps(one) for one in schema["enum"]]
        found.append("one of " + ", ".join(words[:MOST_WORDS]) + (", ..." if len(words) > MOST_WORDS else ""))
    for key, text in (("minLength", "at least {} characters"), ("maxLength", "at most {} characters"),
                      ("minimum", "from {}"), ("maximum", "to {}"), ("minProperties", "at least {} members"),
                      ("maxProperties", "at most {} members")):  # fmt: skip
        if key in schema:
            found.append(text.format(schema[key]))
    if "pattern" in schema:
        found.append(f"`{_cell(openapi.portable(schema)['pattern'])}`")
    if "anyOf" in schema:
        found.append(" or ".join(filter(None, (_words(one, False) for one in schema["anyOf"]))))
    text = ", ".join(filter(None, found))
    return f"{schema['description']} {text}".strip() if schema.get("description") else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the pages; the exit code."""
    DOCS.mkdir(exist_ok=True)
    for name, build in PAGES.items():
        (DOCS / name).write_text(page(build()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
