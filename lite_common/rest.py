"""REST client base: one pooled client per daemon, the caller's ids passed on, errors of the other API as our own.

A request is repeated only where that is safe: when no connection could be made, and for methods that may run twice
(GET, PUT, DELETE) when the other side answered 500, 502, 503 or 504. It speaks through urllib3 itself: in a
profile most of a request's time was in the layers above it, which are not needed here
(docs/adr/0004-rest-over-urllib3.md).
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
import urllib3

from lite_common import context, errors

LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
REPEATABLE = ("GET", "PUT", "DELETE")
FAMILIES: Mapping[int, type[errors.LiteError]] = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    501: errors.NotImplementedHere,
    503: errors.Unavailable,
}


class Identity(Protocol):
    """Where the other service is, and how a request to it says who asks."""

    def endpoint(self) -> str:
        """Its address, without a slash at the end. Raises errors.Unavailable when that cannot be found out."""

    def headers(self, ctx: context.RequestContext) -> dict[str, str]:
        """The headers that say who asks. Raises errors.Unavailable when there is no way to prove it."""

    def renew(self) -> bool:
        """Called when the other side did not believe it; whether there is something new to show."""


class SharedSecret:
    """The identity without keystone: the user's name and project are believed, `secret` shows that a service asks."""

    def __init__(self, endpoint: str, secret: str | None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._secret = secret

    def endpoint(self) -> str:
        """The address that was given."""
        return self._endpoint

    def headers(self, ctx: context.RequestContext) -> dict[str, str]:
        """The user (admin where no user asks), the project and the secret."""
        told = {"X-Auth-Token": f"{ctx.user_id or 'admin'}:{ctx.project_id or ''}"}
        return told | ({"X-Service-Token": self._secret} if self._secret else {})

    def renew(self) -> bool:
        """The secret stays what it is."""
        return False


class RestClient:
    """Speaks to one service at `endpoint`.

    `timeout` (seconds) limits each request, `retries` how often a safe one is repeated. `secret` proves to the other
    side that a service is asking (X-Service-Token). With an `identity`, that says where and who instead.
    """

    def __init__(
        self,
        service_type: str,
        endpoint: str = "",
        *,
        secret: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        identity: Identity | None = None,
    ) -> None:
        self._name = service_type
        self._identity = identity or SharedSecret(endpoint, secret)
        self._retries = retries
        self._timeout = timeout
        self._pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=64,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
        )

    def request(self, ctx: context.RequestContext, method: str, path: str, *, version: str, body: Any = None) -> Any:
        """The decoded answer to `method path` at microversion `version` (None when it has no body).

        It is repeated for as long as one request may take, so that a peer that answers late and badly is not waited
        for many times over.

        Raises the family of errors that the status means with the other side's own text, errors.Unavailable when it
        cannot be reached, errors.Timeout when it does not answer in time.
        """
        end = time.monotonic() + self._timeout
        endpoint = self._identity.endpoint()
        for attempt in itertools.count(1):
            try:
                response = self._send(ctx, method, endpoint + path, version, body)
            except urllib3.exceptions.ReadTimeoutError as err:
                raise errors.Timeout(f"{self._name} at {endpoint} did not answer {method} {path} in time.") from err
            except urllib3.exceptions.HTTPError as err:
                never_sent = isinstance(
                    err, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
                )
                if self._may_repeat(attempt, end) and (never_sent or method in REPEATABLE):
                    time.sleep(0.05 * 2**attempt)
                    continue
                raise errors.Unavailable(
                    f"{self._name} at {endpoint} cannot be reached. Check that it runs there."
                ) from err
            if response.status == 401 and attempt == 1 and self._identity.renew():
                continue
            failed = response.status in (500, 502, 503, 504)
            if failed and method in REPEATABLE and self._may_repeat(attempt, end):
                LOG.warning("%s %s of %s answered %d; trying again", method, path, self._name, response.status)
                time.sleep(0.05 * 2**attempt)
                continue
            return self._read(method, path, response)
        raise AssertionError("unreachable")

    def _may_repeat(self, attempt: int, end: float) -> bool:
        return attempt <= self._retries and time.monotonic() < end

    def _send(
        self, ctx: context.RequestContext, method: str, url: str, version: str, body: Any
    ) -> urllib3.BaseHTTPResponse:
        headers = {
            "Accept": "application/json",
            "OpenStack-API-Version": f"{self._name} {version}",
            **self._identity.headers(ctx),
            **ctx.forward_headers(),
        }
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = orjson.dumps(body)
        return self._pool.urlopen(method, url, body=data, headers=headers, redirect=False)

    def _read(self, method: str, path: str, response: urllib3.BaseHTTPResponse) -> Any:
        if response.status < 400:
            return orjson.loads(response.data) if response.data else None
        family = FAMILIES.get(response.status, errors.BackendError)
        text = _fault_text(response)
        if family is errors.BackendError:
            text = f"{self._name} answered {method} {path} with {response.status}: {text}"
        raise family(text)


def _fault_text(response: urllib3.BaseHTTPResponse) -> str:
    try:
        fault = next(iter(orjson.loads(response.data).values()))
        return str(fault["message"])
    except (orjson.JSONDecodeError, StopIteration, KeyError, TypeError, AttributeError):
        return response.data[:200].decode("utf-8", "replace") or str(response.reason)
