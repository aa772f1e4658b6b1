"""A small HTTP server that answers as nova-api, cinder-api and the image API do, from tables a test fills.

Its answers: `fake_answers`. Work that goes on after an answer is scripted: `script[id]` is a list of changes, and each
GET of that server or volume makes the next one first (a dict is merged into the record, None removes the record).
"""

import collections
import http.server
import json
import re
import threading
import typing
import uuid
from urllib import parse

from tests.unit.nova_lite.cli import fake_answers
from tests.unit.nova_lite.cli.fake_answers import Answer, Record


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
        # What both APIs tell of the sides of attachments, and what follows on a request to heal them.
        self.sides: dict[str, Record] = {
            "compute": {"attachment_sides": [], "strays": [], "unseen": []},
            "volume": {"volume_sides": [], "strays": [], "unseen": []},
        }
        self.heal: typing.Callable[[str, Record], Record] = lambda service, asked: {"done": [], "left": []}
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
            for verb, pattern, handler in fake_answers.ROUTES:
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
