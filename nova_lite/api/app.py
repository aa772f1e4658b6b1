"""The WSGI application of nova-lite's API: the pipeline over the table of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lite_common import policy
from lite_common.wsgi import pipeline
from nova_lite.api import routes, versions

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

VERSION_HEADERS = ("HTTP_OPENSTACK_API_VERSION", "HTTP_X_OPENSTACK_NOVA_API_VERSION")


def application(
    on: routes.Controllers,
    authenticate: pipeline.Authenticate,
    *,
    rules: policy.Policy,
    max_body: int,
    healthy: Callable[[], None],
) -> Wsgi:
    """The application; `healthy` raises a LiteError when the service cannot work."""
    served = pipeline.Pipeline(
        versions.COMPUTE, routes.router(on), authenticate, rules=rules, max_body=max_body, healthy=healthy
    )

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Clients of /v2 know no microversions: what they send in these headers is not meant for us.
        if environ.get("PATH_INFO", "").startswith("/v2/"):
            for name in VERSION_HEADERS:
                environ.pop(name, None)
        return served(environ, start_response)

    return serve
