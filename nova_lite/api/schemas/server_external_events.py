"""Body of `os-server-external-events`. Source: Nova API reference, "Create External Events"."""

from __future__ import annotations

from nova_lite.api.schemas import types

VOLUME_EXTENDED = "volume-extended"
_NETWORK = ["network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted"]
_SINCE = {
    "2.51": VOLUME_EXTENDED,
    "2.76": "power-update",
    "2.82": "accelerator-request-bound",
    "2.93": "volume-reimaged",
}


def _events(names: list[str]) -> types.Schema:
    event = types.closed(
        {
            "name": {"type": "string", "enum": names},
            "server_uuid": types.UUID,
            "status": {"type": "string", "enum": ["failed", "completed", "in-progress"]},
            "tag": {"type": "string", "minLength": 1, "maxLength": 255},
        },
        ["name", "server_uuid"],
    )
    return types.closed({"events": {"type": "array", "minItems": 1, "items": event}}, ["events"])


def _by_version() -> dict[str, types.Schema]:
    names = list(_NETWORK)
    found = {"2.1": _events(list(names))}
    for version, name in _SINCE.items():
        names.append(name)
        found[version] = _events(list(names))
    return found


CREATE = _by_version()
