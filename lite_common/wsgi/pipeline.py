"""What happens to every request, in one list: health, ids and log, faults, body limit, path, caller, version, app.

Order: the ids come first so that every answer carries them; faults are caught inside them so that the log line tells
the real status; the path is looked up before the caller because the URL may name the project, and because version
documents are told to everybody.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lite_common import context, errors, policy
from lite_common.wsgi import faults, microversion, routing

LOG = logging.getLogger("access")

Environ = dict[str, Any]
Authenticate = Callable[[Environ, str | None], context.RequestContext]

GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Pipeline:
    """A WSGI application around the service's Pecan application."""

    def __init__(
        self,
        kind: microversion.ApiKind,
        router: routing.Router,
        authenticate: Authenticate,
        *,
        rules: policy.Policy,
        max_body: int,
        healthy: Callable[[], None],
    ) -> None:
        """Raises errors.Invalid when a route has no rule."""
        rules.require_complete(router.routes)
        self._kind = kind
        self._router = router
        self._authenticate = authenticate
        self._rules = rules
        self._max_body = max_body
        self._healthy = healthy
        self._app = routing.application()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/healthcheck":
            return self._healthcheck(start_response)
        begun = time.monotonic()
        _identify(environ)
        told = {"status": "500"}

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            told["status"] = status[:3]
            return start_response(status, headers + self._own_headers(environ), exc_info)

        try:
            return self._serve(environ, start)
        except Exception as err:  # noqa: BLE001 - outermost frame of a request
            code, message = faults.describe(err)
            return _send(start, code, faults.body(code, message), environ, getattr(err, "headers", {}))
        finally:
            spent = (time.monotonic() - begun) * 1e3
            LOG.info("%s %s %s %.1f ms", environ["REQUEST_METHOD"], environ.get("PATH_INFO"), told["status"], spent)

    def _serve(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        self._read_body(environ)
        match = self._router.match(environ["REQUEST_METHOD"], _path(environ))
        environ["lite.match"] = match
        prefix = environ.get("PATH_INFO", "/").strip("/").partition("/")[0] if match.versioned else ""
        environ["lite.base_url"] = f"{_host_url(environ)}/{prefix}".rstrip("/")
        environ["lite.context"] = self._caller(environ, match)
        environ["lite.policy"] = self._rules
        environ["lite.version"] = self._kind.minimum
        if match.versioned:
            environ["lite.shown_version"] = None
            environ["lite.version"] = environ["lite.shown_version"] = self._kind.choose(environ)
        # What the client accepts is not negotiated: every answer is JSON, as upstream's.
        environ["HTTP_ACCEPT"] = "application/json"
        return self._app(environ, start)

    def _caller(self, environ: Environ, match: routing.Match) -> context.RequestContext:
        if self._is_public(match):
            return context.RequestContext(
                request_id=environ["lite.request_id"], global_request_id=environ["lite.global_request_id"]
            )
        caller = self._authenticate(environ, match.project_id)
        caller.is_admin = False
        caller.is_admin = self._rules.allows(caller, policy.ADMIN_RULE)
        return caller

    def _is_public(self, match: routing.Match) -> bool:
        """Version documents, and paths outside the versions that lead nowhere."""
        return self._rules.is_public(match.route) if match.route else not match.versioned

    def _read_body(self, environ: Environ) -> None:
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit():
            raise errors.Invalid("The Content-Length header is not a number.")
        if int(length) > self._max_body:
            raise errors.TooLarge(f"Request is too large: {length} bytes, the limit is {self._max_body}.")
        environ["lite.body"] = environ["wsgi.input"].read(int(length)) if int(length) else b""
        # Pecan would decode the body a second time to look for arguments in it.
        environ["CONTENT_LENGTH"] = "0"

    def _own_headers(self, environ: Environ) -> list[tuple[str, str]]:
        request_id = environ["lite.request_id"]
        told = [("x-openstack-request-id", request_id), ("x-compute-request-id", request_id)]
        if "lite.shown_version" in environ:
            told += self._kind.headers(environ["lite.shown_version"])
        return told

    def _healthcheck(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            self._healthy()
        except errors.LiteError as err:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain; charset=UTF-8")])
            return [f"DOWN: {err.message}\n".encode()]
        start_response("200 OK", [("Content-Type", "text/plain; charset=UTF-8")])
        return [b"OK\n"]


def _identify(environ: Environ) -> None:
    """Give the request its id and keep the caller's, if that has the form of one (it goes into log lines)."""
    environ["lite.request_id"] = f"req-{uuid.uuid4()}"
    asked = environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
    environ["lite.global_request_id"] = asked if GLOBAL_ID.fullmatch(asked) else None
    # Until the caller is known, log lines of this thread belong to this request and nobody.
    context.RequestContext(request_id=environ["lite.request_id"], global_request_id=environ["lite.global_request_id"])


def _path(environ: Environ) -> str:
    """The path as text: WSGI hands its bytes over as if they were Latin-1. Raises errors.Invalid for other bytes."""
    try:
        return str(environ.get("PATH_INFO", "/")).encode("latin-1").decode()
    except UnicodeError as err:
        raise errors.Invalid("The path of the URL is not UTF-8.") from err


def _host_url(environ: Environ) -> str:
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ['wsgi.url_scheme']}://{host}"


def _send(
    start: Callable[..., Any], code: int, body: bytes, environ: Environ, more: Mapping[str, str]
) -> Iterable[bytes]:
    reason = {401: "Unauthorized", 406: "Not Acceptable", 413: "Request Entity Too Large"}.get(code, "Error")
    headers = [
        ("Content-Type", "application/json; charset=UTF-8"),
        ("Content-Length", str(len(body))),
        *more.items(),
    ]
    if code == 413:
        headers.append(("Retry-After", "0"))
    start(f"{code} {reason}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
