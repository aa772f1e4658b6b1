"""The answers of the small HTTP server `fake_api`: which request gets what, and what it does to the tables."""

from __future__ import annotations

import re
import typing

if typing.TYPE_CHECKING:
    from tests.unit.nova_lite.cli.fake_api import FakeStack

Record = dict[str, typing.Any]
Answer = tuple[int, typing.Any]


def _server_list(stack: FakeStack, detail: str, query: dict[str, str], body: typing.Any) -> Answer:
    rows = [row for row in stack.servers.values() if re.search(query.get("name", ""), row["name"])]
    return stack.page("servers", rows, query, f"/v2.1/servers{detail}")


def _server_show(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    record = stack.step(stack.servers, key)
    if record is None:
        return 404, {"itemNotFound": {"code": 404, "message": f"Instance {key} could not be found."}}
    return 200, {"server": record}


def _server_create(stack: FakeStack, query: dict[str, str], body: typing.Any) -> Answer:
    image = {"id": body["server"]["imageRef"]}
    record = stack.server(body["server"]["name"], "BUILD", image=image)
    stack.script[record["id"]] = list(stack.script.pop("new", []))
    return 202, {"server": {"id": record["id"], "links": []}}


def _server_delete(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    stack.servers[key]["OS-EXT-STS:task_state"] = "deleting"
    return 204, None


def _server_action(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    if "os-getConsoleOutput" in body:
        lines = stack.console.splitlines(keepends=True)
        length = body["os-getConsoleOutput"].get("length")
        return 200, {"output": "".join(lines[-length:] if length else lines)}
    if "lock" in body or "unlock" in body:
        return 202, None
    task = {"os-start": "powering-on", "os-stop": "powering-off", "reboot": "rebooting"}[next(iter(body))]
    stack.servers[key]["OS-EXT-STS:task_state"] = task
    return 202, None


def _actions(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    shown = [{name: value for name, value in one.items() if name != "events"} for one in stack.actions[key]]
    return 200, {"instanceActions": shown}


def _action(stack: FakeStack, key: str, request: str, query: dict[str, str], body: typing.Any) -> Answer:
    for one in stack.actions[key]:
        if one["request_id"] == request:
            return 200, {"instanceAction": one}
    return 404, {"itemNotFound": {"code": 404, "message": f"Action {request} not found"}}


def _attach(stack: FakeStack, server_id: str, query: dict[str, str], body: typing.Any) -> Answer:
    wanted = body["volumeAttachment"]
    volume = stack.volumes[wanted["volumeId"]]
    stack.plug(stack.servers[server_id], volume, wanted["device"] or "/dev/vdb")
    stack.cinder_attachments[-1]["status"] = "reserved"
    volume.update(status="reserved", attachments=[])
    row = stack.nova_attachments[server_id][-1]
    return 200, {"volumeAttachment": {**row, "tag": None, "delete_on_termination": False}}


def _detach(stack: FakeStack, server_id: str, volume_id: str, query: dict[str, str], body: typing.Any) -> Answer:
    rows = stack.nova_attachments[server_id]
    if not any(row["volumeId"] == volume_id for row in rows):
        text = f"Instance {server_id} is not attached to volume {volume_id}"
        return 404, {"itemNotFound": {"code": 404, "message": text}}
    stack.volumes[volume_id]["status"] = "detaching"
    return 202, None


def _attachment_show(
    stack: FakeStack, server_id: str, volume_id: str, query: dict[str, str], body: typing.Any
) -> Answer:
    # As many looks still see the row as its script has entries.
    if stack.script[f"row of {volume_id}"]:
        stack.script[f"row of {volume_id}"].pop()
        return 200, {"volumeAttachment": {"volumeId": volume_id, "serverId": server_id}}
    return 404, {"itemNotFound": {"code": 404, "message": "gone"}}


def _attachment_list(stack: FakeStack, server_id: str, query: dict[str, str], body: typing.Any) -> Answer:
    return 200, {"volumeAttachments": stack.nova_attachments[server_id]}


def _volume_list(stack: FakeStack, detail: str, query: dict[str, str], body: typing.Any) -> Answer:
    rows = [row for row in stack.volumes.values() if query.get("name") in (None, row["name"])]
    return stack.page("volumes", rows, query, f"/v3/volumes{detail}")


def _volume_show(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    record = stack.step(stack.volumes, key)
    if record is None:
        return 404, {"itemNotFound": {"code": 404, "message": f"Volume {key} could not be found."}}
    return 200, {"volume": record}


def _volume_create(stack: FakeStack, query: dict[str, str], body: typing.Any) -> Answer:
    wanted = body["volume"]
    record = stack.volume(wanted.get("name"), "creating", size=wanted.get("size", 1))
    stack.script[record["id"]] = list(stack.script.pop("new", []))
    return 202, {"volume": record}


def _volume_delete(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    stack.volumes[key]["status"] = "deleting"
    return 202, None


def _volume_action(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    assert list(body) == ["os-extend"]
    stack.volumes[key]["status"] = "extending"
    return 202, None


def _snapshot_list(stack: FakeStack, detail: str, query: dict[str, str], body: typing.Any) -> Answer:
    rows = [
        row
        for row in stack.snapshots.values()
        if query.get("name") in (None, row["name"]) and query.get("volume_id") in (None, row["volume_id"])
    ]
    return stack.page("snapshots", rows, query, f"/v3/snapshots{detail}")


def _snapshot_show(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    record = stack.step(stack.snapshots, key)
    if record is None:
        return 404, {"itemNotFound": {"code": 404, "message": f"Snapshot {key} could not be found."}}
    return 200, {"snapshot": record}


def _snapshot_create(stack: FakeStack, query: dict[str, str], body: typing.Any) -> Answer:
    wanted = body["snapshot"]
    record = stack.snapshot(stack.volumes[wanted["volume_id"]], wanted.get("name"), "creating")
    stack.script[record["id"]] = list(stack.script.pop("new", []))
    return 202, {"snapshot": record}


def _snapshot_delete(stack: FakeStack, key: str, query: dict[str, str], body: typing.Any) -> Answer:
    stack.snapshots[key]["status"] = "deleting"
    return 202, None


def _cinder_attachments(stack: FakeStack, query: dict[str, str], body: typing.Any) -> Answer:
    rows = [row for row in stack.cinder_attachments if row["instance"] == query["instance_id"]]
    return 200, {"attachments": rows}


def _steps(stack: FakeStack, service: str, query: dict[str, str], body: typing.Any) -> Answer:
    """The records of one service as GET /os-steps tells them; 404 where a test has filled in none, as elsewhere."""
    side = {"v2.1": "nova", "v3": "cinder"}[service]
    if side not in stack.steps:
        return 404, {"itemNotFound": {"code": 404, "message": "The resource could not be found."}}
    rows = stack.steps[side]
    touching = {kind: query[f"{kind}_id"] for kind in ("server", "volume", "attachment") if f"{kind}_id" in query}
    requests = {row["request_id"] for row in rows if all(row["ids"].get(k) == v for k, v in touching.items())}
    found = [
        row | {"id": str(place)}
        for place, row in enumerate(rows)
        if row["request_id"] in requests
        and row["request_id"] == query.get("request_id", row["request_id"])
        and row["started_at"] >= query.get("since", "")
    ]
    return stack.page("steps", found, query, f"/{service}/os-steps")


def _table(name: str) -> typing.Callable[..., Answer]:
    def answer(stack: FakeStack, query: dict[str, str], body: typing.Any) -> Answer:
        return stack.page(name, getattr(stack, name), query, "")

    return answer


def _services(name: str) -> typing.Callable[..., Answer]:
    return lambda stack, query, body: (200, {"services": stack.services[name]})


def _sides(name: str) -> typing.Callable[..., Answer]:
    return lambda stack, query, body: (200, stack.sides[name])


def _heal(name: str) -> typing.Callable[..., Answer]:
    return lambda stack, query, body: (200, {"heal": stack.heal(name, body["heal"])})


ROUTES: list[tuple[str, str, typing.Callable[..., Answer]]] = [
    ("GET", r"/v2.1/servers(|/detail)", _server_list),
    ("POST", r"/v2.1/servers", _server_create),
    ("GET", r"/v2.1/servers/([^/]+)", _server_show),
    ("DELETE", r"/v2.1/servers/([^/]+)", _server_delete),
    ("POST", r"/v2.1/servers/([^/]+)/action", _server_action),
    ("GET", r"/v2.1/servers/([^/]+)/os-instance-actions", _actions),
    ("GET", r"/v2.1/servers/([^/]+)/os-instance-actions/([^/]+)", _action),
    ("GET", r"/v2.1/servers/([^/]+)/os-volume_attachments", _attachment_list),
    ("POST", r"/v2.1/servers/([^/]+)/os-volume_attachments", _attach),
    ("GET", r"/v2.1/servers/([^/]+)/os-volume_attachments/([^/]+)", _attachment_show),
    ("DELETE", r"/v2.1/servers/([^/]+)/os-volume_attachments/([^/]+)", _detach),
    ("GET", r"/v2.1/flavors/detail", _table("flavors")),
    ("GET", r"/v2.1/os-services", _services("compute")),
    ("GET", r"/v3/volumes(|/detail)", _volume_list),
    ("POST", r"/v3/volumes", _volume_create),
    ("GET", r"/v3/volumes/([^/]+)", _volume_show),
    ("DELETE", r"/v3/volumes/([^/]+)", _volume_delete),
    ("POST", r"/v3/volumes/([^/]+)/action", _volume_action),
    ("GET", r"/v3/snapshots(|/detail)", _snapshot_list),
    ("POST", r"/v3/snapshots", _snapshot_create),
    ("GET", r"/v3/snapshots/([^/]+)", _snapshot_show),
    ("DELETE", r"/v3/snapshots/([^/]+)", _snapshot_delete),
    ("GET", r"/v3/attachments", _cinder_attachments),
    ("GET", r"/v3/os-services", _services("volume")),
    ("GET", r"/(v2.1|v3)/os-steps", _steps),
    ("GET", r"/image/v2/images", _table("images")),
    ("GET", r"/v2.1/os-attachment-sides", _sides("compute")),
    ("GET", r"/v3/os-volume-sides", _sides("volume")),
    ("POST", r"/v2.1/os-attachment-sides/heal", _heal("compute")),
    ("POST", r"/v3/os-volume-sides/heal", _heal("volume")),
]
