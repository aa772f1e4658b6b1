"""Who is asking, with keystone: tokens are validated by keystonemiddleware, and what it says becomes the context.

Loaded only where `[api] auth_strategy` is keystone; keystonemiddleware and what it brings cost a daemon 20 MiB.
Validated tokens are remembered for `[keystone_authtoken] token_cache_time` seconds: in memcached where
`memcached_servers` names one, else in this process.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from keystoneauth1 import exceptions as keystone_exceptions
from keystonemiddleware import auth_token
from oslo_config import cfg

from lite_common import context, errors
from lite_common.wsgi import auth

GROUP = "keystone_authtoken"
CACHE = "lite.token_cache"
CONFIRMED = "lite.token_confirmed"
REMEMBERED = 2000


class TokenRefused(errors.Unauthorized):
    """No token, or none that keystone (still) knows. `headers` tell where to get one."""

    def __init__(self, message: str | None = None, *, headers: Mapping[str, str] | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.headers = dict(headers or {})


class TokenCache:
    """Validated tokens of this process, at most `most` of them; what the middleware asks of a memcached client."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._kept: collections.OrderedDict[str, tuple[float, bytes]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The value, unless it is too old or was never there."""
        with self._lock:
            until, value = self._kept.get(key, (0.0, None))
            if value is not None and _now() >= until:
                del self._kept[key]
                return None
            return value

    def set(self, key: str, value: bytes, time: int = 0) -> None:
        """Keep the value for `time` seconds; the one that came first goes when there are too many."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (_now() + time, value)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _now() -> float:
    return time.monotonic()


class KeystoneAuth:
    """Makes a request context out of what the middleware found out about the request's tokens."""

    def __init__(self, middleware: Callable[[Callable[..., Any]], Callable[..., Iterable[bytes]]]) -> None:
        """`middleware` wraps a WSGI application as `keystonemiddleware.auth_token.AuthProtocol` does."""
        self._middleware = middleware(_confirmed)
        self._cache = TokenCache()

    def __call__(self, environ: dict[str, Any], project_in_url: str | None) -> context.RequestContext:
        """The caller's context.

        Raises TokenRefused, errors.Unavailable when keystone cannot be asked, errors.Forbidden for a token that is
        not for a project, errors.Invalid when the URL names another project than the token.
        """
        environ[CACHE] = self._cache
        self._validate(environ)
        project = environ.get("HTTP_X_PROJECT_ID")
        if not project:
            raise errors.Forbidden("The token is for no project. Ask keystone for one that is.")
        auth.check_project(project, project_in_url)
        return context.RequestContext(
            auth_token=environ["HTTP_X_AUTH_TOKEN"].strip(),
            user_id=environ.get("HTTP_X_USER_ID"),
            project_id=project,
            user_domain_id=environ.get("HTTP_X_USER_DOMAIN_ID"),
            project_domain_id=environ.get("HTTP_X_PROJECT_DOMAIN_ID"),
            roles=_words(environ.get("HTTP_X_ROLES")),
            is_admin_project=environ.get("HTTP_X_IS_ADMIN_PROJECT", "true").lower() == "true",
            # The middleware confirms a service token only where it has one of service_token_roles.
            is_service=environ.get("HTTP_X_SERVICE_IDENTITY_STATUS") == "Confirmed",
            request_id=environ["lite.request_id"],
            global_request_id=environ.get("lite.global_request_id"),
        )

    def _validate(self, environ: dict[str, Any]) -> None:
        told: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            told[:] = [int(status[:3]), dict(headers)]

        try:
            body = b"".join(self._middleware(environ, start))
        except keystone_exceptions.ClientException as err:
            raise errors.Unavailable(f"The identity service cannot validate the token: {err}") from err
        if environ.pop(CONFIRMED, False):
            return
        status, headers = told
        if status == 401:
            where = {name: text for name, text in headers.items() if name.lower() == "www-authenticate"}
            raise TokenRefused(headers=where)
        raise errors.Unavailable(f"The identity service cannot validate the token: {_text(body)}")


def connect(conf: cfg.ConfigOpts) -> KeystoneAuth:
    """The strategy that `[keystone_authtoken]` describes.

    Raises errors.Invalid when the section does not say how this service itself logs in.
    """
    settings = {"oslo_config_config": conf, "cache": CACHE}

    def middleware(app: Callable[..., Any]) -> Any:
        protocol = auth_token.AuthProtocol(app, settings)
        if not conf[GROUP].service_token_roles_required:
            # Any user's token would otherwise count as a service token, and CVE-2023-2088 be back.
            raise errors.Invalid(f"[{GROUP}] service_token_roles_required must be true.")
        if not (conf[GROUP].auth_type or conf[GROUP].auth_section):
            raise errors.Invalid(f"With [api] auth_strategy = keystone, [{GROUP}] needs auth_type, auth_url and so on.")
        return protocol

    try:
        return KeystoneAuth(middleware)
    except (keystone_exceptions.ClientException, auth_token.ConfigurationError, cfg.Error) as err:
        raise errors.Invalid(f"[{GROUP}] cannot be used: {err}") from err


def _confirmed(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """What stands behind the middleware: reached only by requests whose tokens are good."""
    environ[CONFIRMED] = True
    start_response("204 No Content", [])
    return []


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _text(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "it does not answer."
