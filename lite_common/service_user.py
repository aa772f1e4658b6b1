"""How one service speaks to the other with keystone: the user's token, and its own to show that a service asks.

Loaded only where `[api] auth_strategy` is keystone. What a user asked for is done in the user's name; what no user
asked for (the timer's clean-up, a resumption) in the service user's own. Its token is kept until shortly before it
expires. Keystone's `[service_user]` options are those of upstream's services.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from keystoneauth1 import exceptions, loading
from oslo_config import cfg

from lite_common import context, errors

GROUP = "service_user"
# A catalog may hold the endpoint with a project's id behind the version.
_VERSION = re.compile(r"(/v[0-9.]+)/.*$")


class ServiceUser:
    """The identity under which requests to another service are sent.

    `endpoint` is where the other service is; None: where the catalog says, by `service_type`.
    Raises errors.Invalid when `[service_user]` does not say how to log in.
    """

    def __init__(self, conf: cfg.ConfigOpts, service_type: str, endpoint: str | None) -> None:
        try:
            loading.register_session_conf_options(conf, GROUP)
            loading.register_auth_conf_options(conf, GROUP)
            self._auth = loading.load_auth_from_conf_options(conf, GROUP)
            if self._auth is None:
                raise errors.Invalid(f"With [api] auth_strategy = keystone, [{GROUP}] needs auth_type and so on.")
            self._session = loading.load_session_from_conf_options(conf, GROUP, auth=self._auth)
        except (exceptions.ClientException, cfg.Error) as err:
            raise errors.Invalid(f"[{GROUP}] cannot be used: {err}") from err
        self._sends_token = conf[GROUP].send_service_user_token
        self._region = conf[GROUP].region_name
        self._interface = conf[GROUP].interface
        self._service_type = service_type
        self._endpoint = endpoint

    def endpoint(self) -> str:
        """The address of the other service. Raises errors.Unavailable when keystone or its catalog cannot tell."""
        if self._endpoint is None:
            found = self._ask(
                lambda: self._session.get_endpoint(
                    service_type=self._service_type,
                    interface=self._interface,
                    region_name=self._region,
                    # The catalog's address is enough; asking the service for its versions would cost a request.
                    skip_discovery=True,
                )
            )
            if not found:
                raise errors.Unavailable(f"The service catalog has no {self._service_type}. Ask an administrator.")
            self._endpoint = _VERSION.sub(r"\1", found).rstrip("/")
        return self._endpoint

    def headers(self, ctx: context.RequestContext) -> dict[str, str]:
        """The headers that say who asks. Raises errors.Unavailable when keystone gives no token."""
        if ctx.auth_token and not self._sends_token:
            return {"X-Auth-Token": ctx.auth_token}
        own = str(self._ask(self._session.get_token))
        told = {"X-Auth-Token": ctx.auth_token or own}
        return told | ({"X-Service-Token": own} if self._sends_token else {})

    def renew(self) -> bool:
        """Forget the service's token, which may have been revoked; whether asking again makes sense (it does)."""
        self._session.invalidate()
        return True

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except exceptions.ClientException as err:
            raise errors.Unavailable(f"The identity service gives this service no token: {err}") from err
