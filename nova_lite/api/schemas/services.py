"""Requests for `os-services`. Source: Nova API reference, "Compute services"."""

from __future__ import annotations

from nova_lite.api.schemas import types

_LIST: types.Schema = {"host": types.ANY_VALUES, "binary": types.ANY_VALUES}
LIST = {"2.1": types.query(_LIST), "2.75": types.query(_LIST, strict=True)}
