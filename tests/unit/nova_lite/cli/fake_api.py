"""A small HTTP server that answers as nova-api, cinder-api and the image API do, from tables a test fills.

Work that goes on after an answer is scripted: `script[id]` is a list of changes, and each GET of that server or
volume makes the next one first (a dict is merged into the record, None removes the record).
"""

import collections
import http.server
import json
import re
import threading
import typing
import uuid
from urllib import parse

Record = dict[str, typing.Any]
Answer = tuple[int, typing.Any]


class FakeStack:
    """The tables, the scripts, and the log of requests (method, path with query, body, headers)."""

    def __init__(self) -> None:
        self.servers: dict[str, Record] = {}
        self.volumes: dict[str, Record] = {}
        self.snapshots: dict[str, Record] = {}
        self.nova_attachments: dict[str, list[Record]] = collections.defaultdict(list)
        self.cinder_attachments: list[Record] = []
        self.flavors: list[Record] = []
        self.images: list[Record] = []
        self.services: dict[str, list[Record]] = {"compute": [], "volume": []}
        self.script: dict[str, list[Record | None]] = collections.defaultdict(list)
        self.refusals: list[tuple[str, str, int, typing.Any]] = []
        self.requests: list[tuple[str, str, typing.Any, dict[str, str]]] = []
        self.actions: dict[str, list[Record]] = collections.defaultdict(list)
        self.steps: dict[str, list[Record]] = {}
        self.console = ""
        self.page_size = 1000
        self._lock = threading.Lock()
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    def server(self, name: str, status: str = "ACTIVE", **more: typing.Any) -> Record:
        """Add a server and return its record."""
        record = {
            "id": str(uuid.uuid4()),
            "name": name,
            "status": status,
            "OS-EXT-STS:task_state": None,
            "OS-EXT-STS:vm_state": {"ACTIVE": "active", "SHUTOFF": "stopped"}.get(status, "error"),
            "OS-EXT-STS:power_state": 1,
            "image": "",
            "flavor": {"original_name": "tiny", "ram": 64, "vcpus": 1, "disk": 0},
            "tenant_id": "demo",
            "created": "2026-01-01T00:00:00Z",
            "os-extended-volumes:volumes_attached": [],
            **more,
        }
        self.servers[record["id"]] = record
        return record

    def volume(self, name: str | None, status: str = "available", **more: typing.Any) -> Record:
        """Add a volume and return its record."""
        record = {
            "id": str(uuid.uuid4()),
            "name": name,
            "status": status,
            "size": 1,
            "volume_type": "lite",
            "description": None,
            "attachments": [],
            "availability_zone": "nova",
            "bootable": "false",
            "metadata": {},
            "created_at": "2026-01-01T00:00:00.000000",
            **more,
        }
        self.volumes[record["id"]] = record
        return record

    def snapshot(self, volume: Record, name: str | None, status: str = "available", **more: typing.Any) -> Record:
        """Add a snapshot of the volume and return its record."""
        record = {
            "id": str(uuid.uuid4()),
            "name": name,
            "status": status,
            "size": volume["size"],
            "volume_id": volume["id"],
            "description": None,
            "metadata": {},
            "created_at": "2026-01-01T00:00:00.000000",
            **more,
        }
        self.snapshots[record["id"]] = record
        return record

    def plug(self, server: Record, volume: Record, device: str = "/dev/vdb") -> Record:
        """Record an attachment on both sides and return cinder's."""
        attachment = {
            "id": str(uuid.uuid4()),
            "status": "attached",
            "instance": server["id"],
            "volume_id": volume["id"],
        }
        self.cinder_attachments.append(attachment)
        self.nova_attachments[server["id"]].append(
            {"id": volume["id"], "serverId": server["id"], "volumeId": volume["id"], "device": device}
        )
        server["os-extended-volumes:volumes_attached"].append({"id": volume["id"]})
        volume["status"] = "in-use"
        volume["attachments"] = [
            {
                "id": volume["id"],
                "volume_id": volume["id"],
                "server_id": server["id"],
                "attachment_id": attachment["id"],
                "host_name": None,
                "device": device,
                "attached_at": "2026-01-01T00:00:00.000000",
            }
        ]
        return attachment

    def refuse(self, method: str, path: str, status: int, message: str, fault: str = "badRequest") -> None:
        """Answer requests whose path matches the expression with this fault."""
        self.refusals.append((method, path, status, {fault: {"code": status, "message": message}}))

    def sent(self, method: str) -> list[tuple[str, typing.Any]]:
        """Return path and body of the requests with this method."""
        return [(path, body) for verb, path, body, _ in self.requests if verb == method]

    def answer(self, method: str, target: str, body: typing.Any, headers: dict[str, str]) -> Answer:
        """Return status and body of one request."""
        with self._lock:
            self.requests.append((method, target, body, headers))
            url = parse.urlsplit(target)
            for verb, path, status, fault in self.refusals:
                if verb == method and re.search(path, url.path):
                    return status, fault
            query = dict(parse.parse_qsl(url.query))
            for verb, pattern, handler in ROUTES:
                match = re.fullmatch(pattern, url.path)
                if verb == method and match:
                    return handler(self, *match.groups(), query=query, body=body)
            return 404, {"itemNotFound": {"code": 404, "message": "The resource could not be found."}}

    def step(self, table: dict[str, Record], key: str) -> Record | None:
        """Make the next scripted change of a record and return it as it is then."""
        if self.script[key]:
            change = self.script[key].pop(0)
            if change is None:
                table.pop(key, None)
            else:
                table[key].update(change)
        return table.get(key)

    def page(self, key: str, rows: list[Record], query: dict[str, str], link: str) -> Answer:
        """Return one page of a list with a link to the next."""
        start = next((index + 1 for index, row in enumerate(rows) if row["id"] == query.get("marker")), 0)
        shown = rows[start : start + self.page_size]
        content: Record = {key: shown}
        if start + self.page_size < len(rows):
            following = parse.urlencode({**query, "marker": shown[-1]["id"]})
            if key == "images":
                content["next"] = f"/v2/images?{following}"
            else:
                content[f"{key}_links"] = [{"rel": "next", "href": f"{self.base}{link}?{following}"}]
        return 200, content


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
]


def _handler(stack: FakeStack) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            status, content = stack.answer(self.command, self.path, body, dict(self.headers))
            payload = (
                b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.send_header("x-openstack-request-id", f"req-{len(stack.requests)}")
            self.end_headers()
            self.wfile.write(payload)

        # Names that http.server calls.
        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *args: typing.Any) -> None:
            """Keep the test output quiet."""

    return Handler
