"""REST client base: one pooled session per daemon, the caller's ids passed on, errors of the other API as our own.

A request is repeated only where that is safe: when no connection could be made, and for methods that may run twice
(GET, PUT, DELETE) when the other side answered 500, 502, 503 or 504.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import orjson
import requests
import requests.adapters
from keystoneauth1 import adapter, exceptions, noauth, session

from lite_common import context, errors

LOG = logging.getLogger(__name__)

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


class RestClient:
    """Speaks to one service at `endpoint`.

    `timeout` (seconds) limits each request, `retries` how often a safe one is repeated. `secret` proves to the other
    side that a service is asking (X-Service-Token).
    """

    def __init__(
        self, service_type: str, endpoint: str, *, secret: str | None, timeout: float = 60.0, retries: int = 3
    ) -> None:
        self._name = service_type
        self._endpoint = endpoint.rstrip("/")
        self._secret = secret
        self._retries = retries
        http = requests.Session()
        for scheme in ("http://", "https://"):
            http.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=64))
        http.trust_env = False
        keystone_session = session.Session(auth=noauth.NoAuth(), session=http, timeout=timeout)
        self._adapter = adapter.Adapter(keystone_session, endpoint_override=self._endpoint, connect_retries=0)

    def request(self, ctx: context.RequestContext, method: str, path: str, *, version: str, body: Any = None) -> Any:
        """The decoded answer to `method path` at microversion `version` (None when it has no body).

        Raises the family of errors that the status means with the other side's own text, errors.Unavailable when it
        cannot be reached, errors.Timeout when it does not answer in time.
        """
        for attempt in range(1, self._retries + 2):
            last = attempt > self._retries
            try:
                response = self._send(ctx, method, path, version, body)
            except (exceptions.ConnectTimeout, requests.exceptions.Timeout) as err:
                raise errors.Timeout(
                    f"{self._name} at {self._endpoint} did not answer {method} {path} in time."
                ) from err
            except (exceptions.ConnectFailure, exceptions.RetriableConnectionFailure) as err:
                if not last and (method in REPEATABLE or _never_sent(err)):
                    time.sleep(0.05 * 2**attempt)
                    continue
                raise errors.Unavailable(
                    f"{self._name} at {self._endpoint} cannot be reached. Check that it runs there."
                ) from err
            if response.status_code in (500, 502, 503, 504) and method in REPEATABLE and not last:
                LOG.warning("%s %s of %s answered %d; trying again", method, path, self._name, response.status_code)
                time.sleep(0.05 * 2**attempt)
                continue
            return self._read(method, path, response)
        raise AssertionError("unreachable")

    def _send(self, ctx: context.RequestContext, method: str, path: str, version: str, body: Any) -> Any:
        headers = {
            "Accept": "application/json",
            "OpenStack-API-Version": f"{self._name} {version}",
            "X-Auth-Token": f"{ctx.user_id or 'admin'}:{ctx.project_id or ''}",
            **ctx.forward_headers(),
        }
        if self._secret:
            headers["X-Service-Token"] = self._secret
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = orjson.dumps(body) if body is not None else None
        return self._adapter.request(
            path,
            method,
            headers=headers,
            data=data,
            raise_exc=False,
            authenticated=False,
            log=False,
            redirect=0,
        )

    def _read(self, method: str, path: str, response: Any) -> Any:
        if response.status_code < 400:
            return orjson.loads(response.content) if response.content else None
        family = FAMILIES.get(response.status_code, errors.BackendError)
        text = _fault_text(response)
        if family is errors.BackendError:
            text = f"{self._name} answered {method} {path} with {response.status_code}: {text}"
        raise family(text)


def _fault_text(response: Any) -> str:
    try:
        fault = next(iter(orjson.loads(response.content).values()))
        return str(fault["message"])
    except (orjson.JSONDecodeError, StopIteration, KeyError, TypeError, AttributeError):
        return str(response.text[:200]) or str(response.reason)


def _never_sent(err: BaseException) -> bool:
    """Whether the connection was refused, so that even a POST cannot have had an effect."""
    return "refused" in str(err).lower() or "establish a new connection" in str(err).lower()
