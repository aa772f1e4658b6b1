"""Volumes and snapshots asked of the compute API, as old clients do: each request is one to Cinder.

Source: Nova API reference, "Volume extension (os-volumes, os-snapshots) (DEPRECATED)".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib import parse

from lite_common import context, errors
from nova_lite import errors as nova_errors
from nova_lite.volume import client

Json = dict[str, Any]


class VolumeProxy:
    """Cinder's volumes and snapshots as Cinder shows them.

    Every method raises what Cinder answers in its own words (400, 403, 404), errors.Forbidden when a quota is
    exhausted, CinderUnavailable when cinder-api is down.
    """

    def __init__(self, requester: client.Requester) -> None:
        self._rest = requester

    def listed(self, ctx: context.RequestContext, kind: str, page: Mapping[str, int]) -> list[Json]:
        """The caller's things of that kind (`volumes` or `snapshots`); `page` may have a limit and an offset."""
        query = f"?{parse.urlencode(page)}" if page else ""
        return list(self._ask(ctx, "GET", f"/{kind}/detail{query}")[kind])

    def shown(self, ctx: context.RequestContext, kind: str, key: str) -> Json:
        """One of them."""
        return dict(self._ask(ctx, "GET", f"/{kind}/{parse.quote(key, safe='')}")[kind[:-1]])

    def made(self, ctx: context.RequestContext, kind: str, asked: Mapping[str, Any]) -> Json:
        """A new one."""
        return dict(self._ask(ctx, "POST", f"/{kind}", {kind[:-1]: dict(asked)})[kind[:-1]])

    def deleted(self, ctx: context.RequestContext, kind: str, key: str) -> None:
        """Ask for its end."""
        self._ask(ctx, "DELETE", f"/{kind}/{parse.quote(key, safe='')}")

    def _ask(self, ctx: context.RequestContext, method: str, path: str, body: Any = None) -> Any:
        with _translated():
            return self._rest.request(ctx, method, path, version=client.VERSION, body=body)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.TooLarge as err:
        raise errors.Forbidden(err.message) from err
    except errors.Unavailable as err:
        raise nova_errors.CinderUnavailable(reason=err.message) from err
