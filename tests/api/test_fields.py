"""Every member of every body: absent, null, of each other type, empty, blank, too long, at and beyond each bound.

The schema that a request is checked with says which of these are wrong: those must be 400. The others
must get an answer that clients are told of, and none may be a 5xx. Members that no schema knows are tried in
every object. The bodies are the same in each run; what is random is in test_documents.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from lite_common.wsgi import expose, microversion
from tests.api.test_documents import APIS
from tests.fixtures import contract
from tests.fixtures import stack as stacks
from tests.functional.world import NOBODY, World

Path = tuple[str | int, ...]
Body = dict[str, Any]

# Of which some keep any pattern or format there is.
TEXTS = ("a", "aa", "1", NOBODY, "/dev/vdb", "2026-01-01T00:00:00", "127.0.0.1", "AUTO", "80%", "")
# What is put in the place of every member.
NUMBERS = (0, -1, 1, 1.5, 2**31, 2**63, -(2**63), 1e300)
WORDS = ("", " ", "x", "\0", "\x7f", "ä", "💾" * 300, "\u202e", "../x", "%s", "{0}", "'; --", "True", NOBODY.upper())
OTHERS = (None, True, False, NOBODY, [], [None], ["x"], [[]], {}, {"": ""}, {"a": "b"}, {"a": None}, {"ä" * 300: "x"})
ANYTHING = (*NUMBERS, *WORDS, *OTHERS)


def example(schema: Any) -> Any:
    """A value that keeps the schema, with every member that objects may have."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "object":
        return {name: example(one) for name, one in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"])] if "items" in schema else []
    if kind == "string":
        checker = jsonschema.Draft202012Validator(schema, format_checker=expose.FORMATS)
        return next(text for text in TEXTS if checker.is_valid(text))
    return {"integer": max(1, schema.get("minimum", 1)), "number": 1, "boolean": True, "null": None}[kind]


def bodies(route: Any, schema: Any) -> Iterator[Body]:
    """Whole bodies to begin with: one, or one for each action."""
    if route.path.endswith("/action") and schema.get("properties"):
        for name, one in schema["properties"].items():
            yield {name: example(one)}
    else:
        yield example(schema)


def bent(whole: Body, schema: Any) -> Iterator[Body]:
    """The body with each member in turn left out or replaced, and with one more in each object."""
    yield whole
    for path in places(whole):
        for value in (*ANYTHING, *bounds(schema, path)):
            yield put(whole, path, value)
        if isinstance(path[-1], str):
            yield put(whole, path, ...)
    for path in [(), *(path for path in places(whole) if isinstance(get(whole, path), dict))]:
        yield put(whole, (*path, "colour"), "red")


def places(told: Any, path: Path = ()) -> Iterator[Path]:
    """Where members and items are."""
    inner = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    for name, value in inner:
        yield (*path, name)
        yield from places(value, (*path, name))


def bounds(schema: Any, path: Path) -> Iterator[Any]:
    """Values at and beyond the bounds of the member."""
    for name in path:
        schema = schema.get("items", {}) if isinstance(name, int) else schema.get("properties", {}).get(name, {})
    if "maxLength" in schema:
        for length in (schema["maxLength"], schema["maxLength"] + 1):
            yield "a" * length
            yield "1" * length
            yield "💾" * length
    for key in ("minimum", "maximum"):
        if key in schema:
            for step in (-1, 0, 1):
                yield schema[key] + step
                yield str(schema[key] + step)


def get(told: Any, path: Path) -> Any:
    for name in path:
        told = told[name]
    return told


def put(whole: Body, path: Path, value: Any) -> Body:
    """A copy with the value there; `...` takes away what is there."""
    made = copy.deepcopy(whole)
    parent = get(made, path[:-1])
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return made


def operations() -> list[tuple[str, str, str, str]]:
    """API, microversion, method and path of every operation with a body, with its first and with its last body."""
    found = []
    for name, build in APIS.items():
        api = build()
        for route, versioned in api.routes():
            told = expose.declared(route.handler)
            firsts = [max(first, told.since or api.kind.minimum) for first, _ in told.bodies if versioned]
            ends = sorted({*firsts[:1], *firsts[-1:]})
            found += [(name, microversion.text(first), route.method, route.path) for first in ends]
    return found


@pytest.mark.parametrize("operation", operations(), ids=" ".join)
def test_every_field(operation: tuple[str, str, str, str], stack: stacks.FunctionalStack) -> None:
    name, version, method, path = operation
    api = APIS[name]()
    route = next(one for one, _ in api.routes() if (one.method, one.path) == (method, path))
    schema = expose.pick(expose.declared(route.handler).bodies, microversion.parse(version))
    checker = jsonschema.Draft202012Validator(schema or {}, format_checker=expose.FORMATS)
    world = World(stack, "admin:fields")
    # What is right in its form shall find nothing that it could have an effect on.
    assert world.volumes("PUT", "/os-quota-sets/fields", {"quota_set": {"volumes": 0}}).status_code == 200
    ask = world.compute if name == "compute" else world.volumes
    where = "/".join(NOBODY if one.startswith("{") else one for one in path.removeprefix(api.prefix).split("/"))
    wrong = []
    with contract.watched() as broken:
        for whole in bodies(route, schema):
            for body in bent(whole, schema):
                answer = ask(method, where, body, OpenStack_API_Version=f"{name} {version}")
                if answer.status_code >= 500 and answer.status_code != 501:
                    wrong.append(f"{answer.status_code} for {body}: {answer.text}")
                # What is too long for its member may be too long for the service.
                elif not checker.is_valid(body) and answer.status_code not in (400, 413):
                    wrong.append(f"{answer.status_code} for {body}, which is not allowed")
    assert not wrong, "\n".join(one[:500] for one in wrong[:10])
    assert not broken, "\n".join(broken[:10])
