"""Requests for `servers/{id}/os-volume_attachments`. Source: Nova API reference, "Servers with volume attachments"."""

from __future__ import annotations

from nova_lite.api.schemas import types

DEVICE: types.Schema = {
    "type": ["string", "null"],
    "maxLength": 255,
    "pattern": r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*\Z",
}


def _attachment(properties: types.Schema) -> types.Schema:
    return types.closed({"volumeAttachment": types.closed(properties, ["volumeId"])}, ["volumeAttachment"])


_CREATE_1: types.Schema = {"volumeId": types.UUID, "device": DEVICE}
_CREATE_49 = _CREATE_1 | {"tag": types.TAG}
_CREATE_79 = _CREATE_49 | {"delete_on_termination": types.BOOLEAN}

CREATE = {
    "2.1": _attachment(_CREATE_1),
    "2.49": _attachment(_CREATE_49),
    "2.79": _attachment(_CREATE_79),
}

UPDATE = {
    "2.1": _attachment({"volumeId": types.UUID}),
    "2.85": _attachment(_CREATE_79 | {"serverId": types.UUID, "id": types.UUID}),
}

_PAGE: types.Schema = {"limit": types.NUMBERS, "offset": types.NUMBERS}
LIST = {"2.1": types.query(_PAGE), "2.75": types.query(_PAGE, strict=True)}
