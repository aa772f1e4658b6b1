"""Both APIs as their tables tell them, without a daemon: for the reference in docs and for tests of the documents."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from cinder_lite.api import routes as cinder_routes
from lite_common.wsgi import openapi
from nova_lite.api import routes as nova_routes


def compute() -> openapi.Api:
    """The API of nova-lite."""
    return nova_routes.api(unwired(nova_routes.Controllers))


def volume() -> openapi.Api:
    """The API of cinder-lite."""
    return cinder_routes.api(unwired(cinder_routes.Controllers))


def unwired(kind: type[Any]) -> Any:
    """A dataclass of controllers that can be asked what they declare, and nothing else: none has its operations."""
    kinds = typing.get_type_hints(kind)
    return kind(**{one.name: object.__new__(kinds[one.name]) for one in dataclasses.fields(kind)})
