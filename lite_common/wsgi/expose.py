"""Turn a method of a controller into an HTTP operation: version bounds, body and query validation, JSON out.

A handler gets an `ApiRequest` and the path's arguments and returns plain data (or a Reply); it never sees HTTP
objects, and raises errors of `lite_common.errors`.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib import parse

import jsonschema
import orjson
import webob

from lite_common import context, errors, policy
from lite_common.wsgi import microversion
from lite_common.wsgi.routing import pecan

Schema = Mapping[str, Any]
T = TypeVar("T")
# What holds from which microversion on, the newest first.
ByVersion = tuple[tuple[microversion.Version, T], ...]

READABLE = ("", "application/json", "text/plain")
# How deep a body may nest (what is read must also be shown in an error, kept and written), and how many query
# parameters there may be.
MAX_DEPTH, MAX_PARAMETERS = 64, 200


@dataclass(frozen=True)
class ApiRequest:
    """One request as a handler sees it.

    `body` is the decoded and validated JSON body (None for an operation without one), `query` the query string's
    values by name, `base_url` scheme, host and version prefix without a slash at the end, `path_url` the URL without
    the query string.
    """

    context: context.RequestContext
    version: microversion.Version
    body: Any
    query: dict[str, list[str]]
    base_url: str
    path_url: str
    rules: policy.Policy

    def may(self, rule: str) -> bool:
        """Whether this rule of the service's policies lets the caller through."""
        return self.rules.allows(self.context, rule)

    def require(self, rule: str, *, project_id: str | None = None) -> None:
        """Return when the rule lets the caller through, for that project (None: its own); else errors.Forbidden."""
        self.rules.check(self.context, rule, project_id=project_id)

    def at_least(self, version: str) -> bool:
        """Whether the client asked for this microversion or a later one."""
        return self.version >= microversion.parse(version)

    def value(self, name: str) -> str | None:
        """The last value of a query parameter, or None."""
        values = self.query.get(name)
        return values[-1] if values else None


@dataclass(frozen=True)
class Reply:
    """An answer that is more than data with the operation's usual status. `body` None sends no body."""

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """What `expose` was told of an operation; every operation has it as `declared`, for who describes the API.

    `statuses` is the usual success code, `also` are the others; `answers` is the shape of the usual answer's body.
    """

    statuses: ByVersion[int]
    also: tuple[int, ...]
    bodies: ByVersion[Schema]
    queries: ByVersion[Schema]
    answers: ByVersion[Schema | None]
    since: microversion.Version | None
    until: microversion.Version | None
    media_types: tuple[str, ...]

    def serves(self, version: microversion.Version) -> bool:
        """Whether the operation exists at this microversion."""
        return (self.since is None or version >= self.since) and (self.until is None or version <= self.until)


def expose(
    *,
    status: int | Mapping[str, int] = 200,
    also: tuple[int, ...] = (),
    body: Schema | Mapping[str, Schema] | None = None,
    query: Schema | Mapping[str, Schema] | None = None,
    answer: Schema | Mapping[str, Schema | None] | None = None,
    since: str | None = None,
    until: str | None = None,
    media_types: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make `method(self, request, *path_arguments)` an operation.

    `status` is the usual success code, `also` are others that a Reply may carry. `body` and `query` are JSON schemas,
    or schemas by the microversion from which they hold (`{"2.1": ..., "2.49": ...}`), and so may `status` be given; a
    query schema sees each parameter as a list of strings, and parameters it does not name are dropped unless it
    forbids additional ones. `answer` describes the body of the usual answer (None from a microversion on: there is
    none); it is told to clients and checked by tests, not at run time. Outside `since`..`until` the operation does not
    exist (404). Without a `body` schema a body is not read.
    """
    told = Operation(
        statuses=_by_version(status if isinstance(status, Mapping) else {"0.0": status}),
        also=also,
        bodies=_by_version(_schemas(body)),
        queries=_by_version(_schemas(query)),
        answers=_by_version(_schemas(answer)),
        since=microversion.parse(since) if since else None,
        until=microversion.parse(until) if until else None,
        media_types=media_types,
    )
    bodies, queries = _validators(told.bodies), _validators(told.queries)

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @pecan.expose(content_type="application/json")
        @functools.wraps(method)
        def operation(self: Any, *arguments: str) -> webob.Response:
            raw = pecan.request
            version = raw.environ["lite.version"]
            if not told.serves(version):
                raise errors.NotFound()
            request = ApiRequest(
                context=raw.environ["lite.context"],
                version=version,
                body=_read_body(raw.environ, pick(bodies, version), media_types) if bodies else None,
                query=_read_query(raw.environ.get("QUERY_STRING", ""), pick(queries, version)),
                base_url=raw.environ["lite.base_url"],
                path_url=raw.path_url,
                rules=raw.environ["lite.policy"],
            )
            # After the schemas, as upstream: a body that makes no sense is 400 for everybody.
            request.rules.check_route(request.context, raw.environ["lite.match"].route, request.body)
            return _respond(method(self, request, *arguments), pick(told.statuses, version) or 200)

        operation.declared = told
        return operation

    return decorate


def declared(handler: Any) -> Operation:
    """What `expose` was told of the handler of a route."""
    found: Operation = handler.declared
    return found


def page_links(request: ApiRequest, key: str, items: list[Any], limit: int | None) -> list[dict[str, str]]:
    """The `next` link for a full page of `items` (each with an `id`), or an empty list."""
    if not limit or len(items) < limit:
        return []
    query = {name: values for name, values in request.query.items() if name != key} | {key: [items[-1]["id"]]}
    return [{"rel": "next", "href": f"{request.path_url}?{parse.urlencode(query, doseq=True)}"}]


def _respond(result: Any, status: int) -> webob.Response:
    reply = result if isinstance(result, Reply) else Reply(result)
    response = webob.Response(status=reply.status or status, content_type="application/json", charset="UTF-8")
    if reply.body is not None:
        response.body = orjson.dumps(reply.body)
    else:
        response.content_type = None
    response.headers.update(reply.headers)
    return response


def _read_body(
    environ: dict[str, Any], validator: jsonschema.Draft202012Validator | None, media: tuple[str, ...]
) -> Any:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in READABLE + media:
        raise errors.UnsupportedMediaType()
    raw = environ["lite.body"]
    try:
        decoded = orjson.loads(raw)
    except orjson.JSONDecodeError as err:
        raise errors.Invalid("Malformed request body") from err
    if not isinstance(decoded, dict):
        raise errors.Invalid("Malformed request body")
    # Few bodies have so many brackets that it is worth a look at how they nest.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _nests(decoded, MAX_DEPTH):
        raise errors.Invalid(f"Malformed request body: it nests deeper than {MAX_DEPTH} levels")
    if validator is not None:
        _refuse(next(iter(validator.iter_errors(decoded)), None), "field/attribute")
    return decoded


def _nests(value: Any, levels: int) -> bool:
    """Whether there are more than so many objects and lists in one another."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_nests(one, levels - 1) for one in inner)


def _read_query(text: str, validator: jsonschema.Draft202012Validator | None) -> dict[str, list[str]]:
    if text.count("&") >= MAX_PARAMETERS:
        raise errors.Invalid(f"There are more than {MAX_PARAMETERS} query parameters.")
    found = parse.parse_qs(text, keep_blank_values=True, errors="replace") if text else {}
    if validator is not None:
        _refuse(next(iter(validator.iter_errors(found)), None), "query parameters")
    return found


def _refuse(problem: jsonschema.ValidationError | None, what: str) -> None:
    if problem is None:
        return
    if problem.path:
        names = [part for part in problem.path if isinstance(part, str)]
        raise errors.Invalid(
            f"Invalid input for {what} {names[-1] if names else problem.path[0]}. "
            f"Value: {problem.instance}. {problem.message}"
        )
    raise errors.Invalid(problem.message)


FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("uuid")
def is_uuid(value: Any) -> bool:
    """Whether the text reads as a UUID, with or without dashes."""
    try:
        return not isinstance(value, str) or str(uuid.UUID(value)).replace("-", "") == value.replace("-", "").lower()
    except ValueError:
        return False


def _schemas(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Schemas by microversion, also of one schema for all of them."""
    if given is None:
        return {}
    return given if all(key[:1].isdigit() for key in given) else {"0.0": given}


def _by_version(given: Mapping[str, T]) -> ByVersion[T]:
    pairs = ((microversion.parse(first), value) for first, value in given.items())
    return tuple(sorted(pairs, key=lambda pair: pair[0], reverse=True))


def _validators(schemas: ByVersion[Schema]) -> ByVersion[jsonschema.Draft202012Validator]:
    return tuple((first, jsonschema.Draft202012Validator(schema, format_checker=FORMATS)) for first, schema in schemas)


def pick(pairs: ByVersion[T], version: microversion.Version) -> T | None:
    """What holds at `version`, or None."""
    return next((found for first, found in pairs if first <= version), None)
