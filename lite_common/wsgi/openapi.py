"""The API told as an OpenAPI 3.1 document, made of the table of paths and of what `expose` was told of each operation.

The schemas in it are the ones that requests are checked with, so it cannot say anything else than the code does. What
an operation may answer is derived from its kind (`STATUSES`); the shape of an answer is told where it is declared.

One document describes one microversion. Source of the form: OpenAPI Specification 3.1.0, whose schemas are JSON Schema
2020-12 as ours are.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lite_common.wsgi import expose, faults, microversion
from lite_common.wsgi.microversion import Version
from lite_common.wsgi.routing import Route

JSON = "application/json"
# What any operation may answer, and what only some kinds of it do.
EVERY = (400, 401, 403, 404, 413, 500, 503)
VERSIONED = (406,)
WRITES = (409, 501)
WITH_BODY = (415,)
REASONS = {
    200: "Done.",
    202: "Accepted; the work goes on after the answer.",
    204: "Done; there is nothing to tell.",
    300: "The versions that there are.",
    400: "The request cannot be read, asks for what makes no sense, or the state of a thing does not allow it.",
    401: "The caller did not say who they are, or could not prove it.",
    403: "The caller is known and may not do this.",
    404: "There is no such thing, or not for this caller, or not at this microversion.",
    406: "The microversion asked for is not served.",
    409: "The state of a thing, or somebody who uses it, rules this out now.",
    413: "The body is too long, or a quota would be exceeded.",
    415: "The body is of a content type that is not read.",
    500: "A part below failed, or there is a bug; the log has the details under the request id.",
    501: "The original service has this operation, this one has not.",
    503: "A part that is needed is down, and the text names it. Try again later.",
}
QUERY: expose.Schema = {
    "type": "object",
    "properties": {
        "microversion": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^(latest|[1-9][0-9]{0,3}\.[0-9]{1,4})$"},
            "description": "The microversion to describe, `latest` when there is none.",
        }
    },
    "additionalProperties": True,
}
ANSWER: expose.Schema = {
    "type": "object",
    "properties": {"openapi": {"const": "3.1.0"}, "info": {"type": "object"}, "paths": {"type": "object"}},
    "required": ["openapi", "info", "paths"],
}


@dataclass(frozen=True)
class Api:
    """What is described: `routes` are by their full path, the versioned ones below `prefix`."""

    title: str
    description: str
    kind: microversion.ApiKind
    prefix: str
    roots: Sequence[Route]
    versioned: Sequence[Route]

    def routes(self) -> Iterator[tuple[Route, bool]]:
        """Every route by its full path, with whether it has microversions."""
        yield from ((route, False) for route in self.roots)
        yield from ((Route(one.method, self.prefix + one.path, one.handler), True) for one in self.versioned)


class DocumentController:
    """Serves the document of an API, for the newest microversion or the one asked for."""

    def __init__(self, api: Callable[[], Api]) -> None:
        self._api = api
        # A few, not all: a hundred of them would be some megabytes of a daemon.
        self._made = functools.lru_cache(maxsize=2)(lambda version: document(self._api(), version))

    @expose.expose(query=QUERY, answer=ANSWER, also=VERSIONED)
    def show(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The API as an OpenAPI document.

        It describes the newest microversion, or the one that `microversion` names.
        """
        version = self._api().kind.read(request.value("microversion") or "latest")
        return {**self._made(version), "servers": [{"url": request.base_url}]}


def with_document(
    title: str,
    description: str,
    kind: microversion.ApiKind,
    prefix: str,
    roots: Sequence[Route],
    versioned: Sequence[Route],
) -> Api:
    """The API with the routes that serve its own document: `/openapi.json`, and the same below the prefix."""
    controller = DocumentController(lambda: api)
    own = [Route("GET", "/openapi.json", controller.show), Route("GET", f"{prefix}/openapi.json", controller.show)]
    api = Api(title, description, kind, prefix, [*roots, *own], versioned)
    return api


def document(api: Api, version: Version) -> dict[str, Any]:
    """The document of the API at one microversion. Operations that do not exist at it are left out."""
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, str] = {}
    names: set[str] = set()
    for route, versioned in api.routes():
        declared = expose.declared(route.handler)
        if versioned and not declared.serves(version):
            continue
        tag, text = resource(route.handler)
        tags.setdefault(tag, text)
        told = _operation(api.kind, route, declared, version, versioned=versioned)
        told = {"tags": [tag], "operationId": _name(route, names), **told}
        paths.setdefault(route.path, {})[route.method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": api.title, "description": api.description, "version": microversion.text(version)},
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
            "responses": {str(code): _fault(code) for code in sorted({*EVERY, *VERSIONED, *WRITES, *WITH_BODY})},
            "parameters": {"version": _version_header(api.kind)},
        },
    }


def resource(handler: Callable[..., Any]) -> tuple[str, str]:
    """What the handler's controller is about: `VolumeAttachmentsController` is "volume attachments"; its docstring."""
    # A handler is a bound method, perhaps wrapped into a plain function.
    owner = getattr(handler, "__self__", None)
    name = type(owner).__name__ if owner is not None else handler.__qualname__.split(".")[0]
    words = re.findall(r"[A-Z][a-z0-9]*", name.removesuffix("Controller"))
    return " ".join(words).capitalize(), inspect.getdoc(type(owner)) or "" if owner is not None else ""


def _operation(
    kind: microversion.ApiKind, route: Route, declared: expose.Operation, version: Version, *, versioned: bool
) -> dict[str, Any]:
    summary, _, rest = (inspect.getdoc(route.handler) or "").partition("\n")
    told: dict[str, Any] = {"summary": summary, "description": " ".join(rest.split())}
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", route.path)]
    parameters += _query_parameters(expose.pick(declared.queries, version))
    if versioned:
        parameters.append({"$ref": "#/components/parameters/version"})
    told["parameters"] = parameters
    body = expose.pick(declared.bodies, version)
    if body is not None:
        content = {media: {"schema": portable(body)} for media in (JSON, *declared.media_types)}
        told["requestBody"] = {"required": True, "content": content}
    told["responses"] = _responses(route.method, declared, version, versioned=versioned)
    if versioned:
        told["x-openstack"] = _bounds(kind, declared)
    return told


def statuses(method: str, declared: expose.Operation, version: Version, *, versioned: bool) -> list[int]:
    """Every status that the operation may answer with at this microversion."""
    usual = expose.pick(declared.statuses, version)
    found = {*EVERY, *declared.also, *([usual] if usual else [])}
    found |= {*VERSIONED} if versioned else set()
    found |= {*WRITES} if method != "GET" else set()
    found |= {*WITH_BODY} if declared.bodies else set()
    return sorted(found)


def _responses(method: str, declared: expose.Operation, version: Version, *, versioned: bool) -> dict[str, Any]:
    usual = expose.pick(declared.statuses, version)
    shape = expose.pick(declared.answers, version)
    told: dict[str, Any] = {}
    for code in statuses(method, declared, version, versioned=versioned):
        if code >= 400:
            told[str(code)] = {"$ref": f"#/components/responses/{code}"}
            continue
        told[str(code)] = {"description": REASONS.get(code, "Done.")}
        if code == usual and shape is not None:
            told[str(code)]["content"] = {JSON: {"schema": portable(shape)}}
    return told


def _bounds(kind: microversion.ApiKind, declared: expose.Operation) -> dict[str, Any]:
    born = declared.since or kind.minimum
    told = (declared.bodies, declared.queries, declared.answers, declared.statuses)
    changes = {first for pairs in told for first, _ in pairs}
    return {
        "min-ver": microversion.text(born),
        "max-ver": microversion.text(declared.until or kind.maximum),
        # The document of each of these differs from that of the one before.
        "changed": [microversion.text(first) for first in sorted(changes) if first > born],
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(schema: expose.Schema | None) -> list[dict[str, Any]]:
    """The members of a query schema, each a list of texts as `?name=a&name=b` gives them."""
    told = []
    for name, found in (schema or {}).get("properties", {}).items():
        shape = {"type": "array", **portable(found)}
        shape.setdefault("items", {"type": "string"})
        parameter = {"name": name, "in": "query", "required": False, "style": "form", "explode": True}
        if text := shape.pop("description", None):
            parameter["description"] = text
        told.append(parameter | {"schema": shape})
    return told


def _version_header(kind: microversion.ApiKind) -> dict[str, Any]:
    low, high = microversion.text(kind.minimum), microversion.text(kind.maximum)
    return {
        "name": "OpenStack-API-Version",
        "in": "header",
        "required": False,
        "description": f"The microversion, {kind.service_type} {low} to {kind.service_type} {high}; without it {low}.",
        "schema": {"type": "string", "pattern": rf"^{kind.service_type} (latest|{kind.minimum[0]}\.[0-9]{{1,3}})$"},
    }


def _fault(code: int) -> dict[str, Any]:
    """An error in the form of both APIs: the name that the status has there, and in it code and text."""
    ((name, sample),) = orjson.loads(faults.body(code, "")).items()
    members = {key: {"type": "string"} if value == "" else {"const": value} for key, value in sample.items()}
    inner = {"type": "object", "properties": members, "required": [*members], "additionalProperties": False}
    schema = {"type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": False}
    return {"description": REASONS[code], "content": {JSON: {"schema": schema}}}


def _name(route: Route, taken: set[str]) -> str:
    """`GET /v3/volumes/{volume_id}` is volumes.show; two routes of one handler are told apart by a number."""
    name = f"{resource(route.handler)[0].replace(' ', '_').lower()}.{route.handler.__name__}"
    number = 1
    while name in taken:
        number += 1
        name = f"{name.partition('#')[0]}#{number}"
    taken.add(name)
    return name


def portable(schema: Any) -> Any:
    """The schema with patterns that any reader of OpenAPI understands: ECMA 262 knows no \\Z, its $ is the very end."""
    if isinstance(schema, Mapping):
        return {
            key.replace(r"\Z", "$"): value.replace(r"\Z", "$") if _is_pattern(key, value) else portable(value)
            for key, value in schema.items()
        }
    return [portable(value) for value in schema] if isinstance(schema, list | tuple) else schema


def _is_pattern(key: str, value: Any) -> bool:
    return key == "pattern" and isinstance(value, str)
