"""Requests for `servers/{id}/os-instance-actions`. Source: Nova API reference, "Servers actions"."""

from __future__ import annotations

from nova_lite.api.schemas import types

_PAGE: types.Schema = {"limit": types.NUMBERS, "marker": types.ANY_VALUES, "changes-since": types.ANY_VALUES}
LIST = {
    "2.1": types.query({}),
    "2.58": types.query(_PAGE, strict=True),
    "2.66": types.query(_PAGE | {"changes-before": types.ANY_VALUES}, strict=True),
}
