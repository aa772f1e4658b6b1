"""Requests for a server's metadata and tags. Source: Nova API reference, "Server metadata", "Server tags"."""

from __future__ import annotations

from nova_lite.api.schemas import types

ALL = types.closed({"metadata": types.METADATA}, ["metadata"])
ITEM = types.closed({"meta": types.METADATA | {"minProperties": 1, "maxProperties": 1}}, ["meta"])
TAGS = types.closed({"tags": types.TAGS}, ["tags"])
