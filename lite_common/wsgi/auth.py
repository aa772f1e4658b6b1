"""Who is asking: the strategy that the options name, and the one without keystone.

Without keystone what the headers say is believed, so it is for loopback only.

`X-Auth-Token: user:project` names user and project; user `admin` has the admin role, and so has a request whose token
names nobody; user `reader` may only look.
A peer service proves itself with the shared secret in `X-Service-Token`.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import stat
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from lite_common import context, errors
from lite_common.wsgi import auth_failures

LOOPBACK_NAMES = ("localhost",)
# As long as the columns are that keep who owns a thing.
LONGEST_NAME = 255
MEMBER = ("member", "reader")
# Users whose name is a role have that role; all others are members of their project.
ROLES = {"admin": ("admin", *MEMBER), "reader": ("reader",)}


def strategy(conf: cfg.ConfigOpts) -> Callable[[dict[str, Any], str | None], context.RequestContext]:
    """What finds out who is asking, as `[api] auth_strategy` says; its refusals are counted in the log.

    Raises errors.Forbidden for a configuration that would let anybody in, errors.Invalid for one that is not whole.
    """
    if conf.api.auth_strategy == "keystone":
        # keystonemiddleware costs memory that a daemon without keystone does not need.
        from lite_common.wsgi import keystone

        return auth_failures.counted(keystone.connect(conf))
    refuse_open_noauth(conf.api.listen, conf.api.allow_noauth_on_network)
    return auth_failures.counted(NoAuth(conf.api.noauth_project, read_secret(conf.service_auth.secret_file)))


def check_project(project: str, project_in_url: str | None) -> None:
    """Raise errors.Invalid when the URL names another project than the token."""
    if project_in_url and project_in_url != project:
        raise errors.Invalid(
            f"Malformed request URL: URL's project_id '{project_in_url}' doesn't match Context's project_id '{project}'"
        )


class NoAuth:
    """Makes a request context out of the headers alone."""

    def __init__(self, default_project: str, service_secret: str | None) -> None:
        self._default_project = default_project
        self._service_secret = service_secret

    def __call__(self, environ: dict[str, Any], project_in_url: str | None) -> context.RequestContext:
        """The caller's context. Raises errors.Invalid when the URL names another project than the token."""
        token = environ.get("HTTP_X_AUTH_TOKEN")
        # A token without a colon names nobody: clients with auth_type none send a placeholder.
        user, _, project = (token if token and ":" in token else "admin").partition(":")
        project = project or project_in_url or self._default_project
        if max(len(user), len(project)) > LONGEST_NAME:
            raise errors.Unauthorized(f"Users and projects have names of at most {LONGEST_NAME} characters.")
        check_project(project, project_in_url)
        return context.RequestContext(
            user_id=user,
            project_id=project,
            roles=ROLES.get(user, MEMBER),
            is_service=self._is_service(environ.get("HTTP_X_SERVICE_TOKEN")),
            request_id=environ["lite.request_id"],
            global_request_id=environ.get("lite.global_request_id"),
        )

    def _is_service(self, token: str | None) -> bool:
        return bool(token and self._service_secret and hmac.compare_digest(token, self._service_secret))


def refuse_open_noauth(listen: str, allowed: bool) -> None:
    """Return when `listen` is a loopback address or the operator allowed more; else raise errors.Forbidden."""
    try:
        loopback = ipaddress.ip_address(listen).is_loopback
    except ValueError:
        loopback = listen in LOOPBACK_NAMES
    if not loopback and not allowed:
        raise errors.Forbidden(
            f"Without authentication the API may listen on loopback only, and [api] listen is {listen}. "
            "Listen on 127.0.0.1, or set [api] allow_noauth_on_network = true "
            "if everyone who can reach it may be admin."
        )


def read_secret(path: str) -> str | None:
    """The shared secret in the file, or None when no file is configured.

    Raises errors.Forbidden when others than its owner can read the file, errors.Invalid when it is absent or empty.
    """
    if not path:
        return None
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read().strip()
    except OSError as err:
        raise errors.Invalid(f"[service_auth] secret_file {path} cannot be read: {err.strerror}.") from err
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise errors.Forbidden(f"[service_auth] secret_file {path} is readable by others. Run: chmod 600 {path}")
    if not secret:
        raise errors.Invalid(f"[service_auth] secret_file {path} is empty.")
    return secret
