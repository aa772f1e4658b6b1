"""One written table of method and path per service, served by a Pecan application.

Pecan finds controllers by attribute names; here the table is asked instead, so that a reader (and a test) sees the
whole API on one page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from lite_common import errors, service

# Pecan loads what it finds of template engines and their helpers: 6 MiB for each API daemon, and we answer in JSON.
with service.without("jinja2", "genshi", "kajiki", "pygments", "paste"):
    import pecan

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Route:
    """`method` and `path` (segments in braces are handed to the handler in order, as text)."""

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True)
class Match:
    """What the table says of a request: the handler and its path arguments, or the error to answer with."""

    handler: Handler | None = None
    arguments: tuple[str, ...] = ()
    project_id: str | None = None
    versioned: bool = False
    error: errors.LiteError | None = None
    route: Route | None = None


@dataclass
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    handlers: dict[str, Route] = field(default_factory=dict)

    def add(self, route: Route) -> None:
        node = self
        for segment in _segments(route.path):
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.fixed.setdefault(segment, _Node())
        if route.method in node.handlers:
            raise ValueError(f"{route.method} {route.path} stands twice in the table")
        node.handlers[route.method] = route

    def allowed(self) -> str:
        """The methods of this path, as the Allow header names them."""
        return ", ".join(sorted({*self.handlers, *(["HEAD"] if "GET" in self.handlers else [])}))

    def find(self, segments: Sequence[str]) -> tuple[_Node, tuple[str, ...]] | None:
        if not segments:
            return (self, ()) if self.handlers else None
        child = self.fixed.get(segments[0])
        found = child.find(segments[1:]) if child else None
        if found is None and self.variable is not None and segments[0]:
            below = self.variable.find(segments[1:])
            found = (below[0], (segments[0], *below[1])) if below else None
        return found


class Router:
    """Finds the handler for a request.

    `roots` are routes by their full path; `prefixes` maps a version prefix (`/v3`) to routes below it, each of which
    may also be asked for with a project id between prefix and path. `routes` are all of them.
    """

    def __init__(
        self,
        roots: Iterable[Route],
        prefixes: dict[str, Sequence[Route]],
        project_id_pattern: str = r"[0-9a-zA-Z_-]{1,64}",
    ) -> None:
        self._roots = _Node()
        self.routes: list[Route] = []
        for route in roots:
            self._roots.add(route)
            self.routes.append(route)
        self._trees: dict[str, _Node] = {}
        for prefix, routes in prefixes.items():
            tree = self._trees[prefix.strip("/")] = _Node()
            for route in routes:
                tree.add(route)
                self.routes.append(route)
        self._project_id = re.compile(project_id_pattern)

    def match(self, method: str, path: str) -> Match:
        """What to do with the request; never raises: an unknown path or method is an `error` in the match."""
        segments = _segments(path)
        found = self._roots.find(segments)
        if found:
            return _pick(found, method, None, False)
        tree = self._trees.get(segments[0]) if segments else None
        if tree is None:
            return Match(error=errors.NotFound())
        if len(segments) > 1 and path.endswith("/"):
            # A client that has lost the id of a thing must not meet the list of all of them.
            return Match(error=errors.NotFound(), versioned=True)
        found = tree.find(segments[1:])
        if found:
            return _pick(found, method, None, True)
        if len(segments) > 1 and self._project_id.fullmatch(segments[1]):
            found = tree.find(segments[2:])
            if found:
                return _pick(found, method, segments[1], True)
        return Match(error=errors.NotFound(), versioned=True)


def _pick(found: tuple[_Node, tuple[str, ...]], method: str, project_id: str | None, versioned: bool) -> Match:
    node, arguments = found
    route = node.handlers.get(method) or (node.handlers.get("GET") if method == "HEAD" else None)
    error = None if route else errors.MethodNotAllowed(allowed=node.allowed())
    return Match(route.handler if route else None, arguments, project_id, versioned, error, route)


def _segments(path: str) -> list[str]:
    return [segment for segment in path.strip("/").split("/") if segment]


class _Root:
    """Pecan wants a root controller; the table decides before it would be asked."""


class _TableApplication(pecan.Pecan):
    """Pecan with the table in place of its walk through controller attributes.

    The walk, and the matching of JSON bodies to argument names that follows it, inspect signatures on every request;
    here the handler is known and takes the path's arguments in order.
    """

    def find_controller(self, state: Any) -> tuple[Handler, list[str], dict[str, Any]]:
        """The handler that the pipeline found, with its path arguments. Raises what the match says."""
        pecan.core.state.request, pecan.core.state.response = state.request, state.response
        match: Match = state.request.environ["lite.match"]
        if match.error is not None:
            raise match.error
        handler = cast(Handler, match.handler)
        pecan.core.state.controller = state.controller = handler
        state.arguments = pecan.core.state.arguments = None
        return handler, list(match.arguments), {}

    def invoke_controller(self, controller: Handler, args: list[str], kwargs: dict[str, Any], state: Any) -> None:
        """Put the response that the handler makes where Pecan looks for it."""
        state.response = controller(*args)

    def _handle_empty_response_body(self, state: Any) -> None:
        """Keep the status the operation declares: Pecan would turn 200 without a body, as some have, into 204."""


def application() -> Any:
    """The Pecan application; it serves requests for which the pipeline has put a Match into the environment."""
    return _TableApplication(_Root(), default_renderer="json", guess_content_type_from_ext=False, force_canonical=False)
