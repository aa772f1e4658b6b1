"""The clients: each attaches and detaches a volume of its own, and now and then wants another's.

A client believes nothing but what it sees: it asks for the volume's state, wants the other one, and waits for it.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests

from devstack.chaos.site import Site

POLL = 0.25
REQUEST_LIMIT = 120.0
# A volume that is on its way for so long while daemons come and go is counted as slow; stuck is decided at the end.
PATIENCE = 60.0
FOREIGN = 0.1
VERSIONS = "compute 2.89, volume 3.60"
REST = ("available", "in-use")


@dataclass
class Tally:
    """What the clients saw. `asked` counts answers by operation and status (0: none), `wrong` what must not be."""

    asked: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"attach": [], "detach": []})
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, operation: str, code: int, text: str) -> None:
        """Count an answer; one that must never be given is kept."""
        with self.lock:
            self.asked[f"{operation} {code or 'unanswered'}"] += 1
            if code >= 500 and code != 503:
                self.wrong.append(f"{operation} was answered {code}: {text[:300]}")
            elif code >= 400:
                self.refused[f"{operation} {code} {_kind(text)}"] += 1
            if code == 503 and '"message"' not in text:
                self.wrong.append(f"{operation} was answered 503 without a message: {text[:300]}")

    def end(self, operation: str, how: str, seconds: float) -> None:
        """Count how an operation that was answered 2xx ended."""
        with self.lock:
            self.ended[f"{operation} {how}"] += 1
            if how == "done":
                self.seconds[operation].append(seconds)


class Clients:
    """So many threads; `run` returns when they have ended, after `halt` was set."""

    def __init__(self, site: Site, number: int, servers: int, seed: int) -> None:
        self.tally = Tally()
        self.halt = threading.Event()
        self._site = site
        self._number = number
        self._seed = seed
        self._local = threading.local()
        self.servers = [self._made("servers", self._server(index)) for index in range(servers)]
        self.volumes = [self._made("volumes", {"volume": {"size": 1, "name": f"c{i}"}}) for i in range(number)]

    def await_ready(self) -> None:
        """All servers and volumes are there."""
        end = time.monotonic() + 300
        wanted = {f"/servers/{one}": "ACTIVE" for one in self.servers}
        wanted |= {f"/volumes/{one}": "available" for one in self.volumes}
        while wanted:
            for path, status in list(wanted.items()):
                code, body = self.ask("GET", path)
                if code == 200 and next(iter(body.values()))["status"] == status:
                    del wanted[path]
            if time.monotonic() > end:
                raise RuntimeError(f"not ready: {wanted}")
            time.sleep(0.1)

    def run(self) -> list[threading.Thread]:
        """Start the clients; the threads, to be joined once `halt` is set."""
        threads = [threading.Thread(target=self._client, args=(index,)) for index in range(self._number)]
        for thread in threads:
            thread.start()
        return threads

    def ask(self, method: str, path: str, body: Any = None, operation: str = "look") -> tuple[int, Any]:
        """Status and decoded body; status 0 when there was no answer."""
        root = self._site.compute_url if path.startswith("/servers") else self._site.volume_url
        headers = {"OpenStack-API-Version": VERSIONS, "X-Auth-Token": "admin:demo"}
        session: requests.Session = vars(self._local).setdefault("session", requests.Session())
        try:
            got = session.request(method, root + path, json=body, headers=headers, timeout=REQUEST_LIMIT)
        except requests.RequestException:
            self.tally.answer(operation, 0, "")
            return 0, None
        self.tally.answer(operation, got.status_code, got.text)
        return got.status_code, got.json() if got.content else None

    def status(self, volume: str) -> str | None:
        """The volume's status; None when nobody tells."""
        code, body = self.ask("GET", f"/volumes/{volume}")
        return str(body["volume"]["status"]) if code == 200 else None

    def _client(self, index: int) -> None:
        chance = random.Random(f"{self._seed}-{index}")
        while not self.halt.is_set():
            own = chance.random() >= FOREIGN
            volume = self.volumes[index] if own else chance.choice(self.volumes)
            self._turn(volume, chance.choice(self.servers), own)
            self.halt.wait(chance.uniform(0.05, 0.5))

    def _turn(self, volume: str, server: str, own: bool) -> None:
        code, body = self.ask("GET", f"/volumes/{volume}")
        if code != 200:
            return
        status, attached = body["volume"]["status"], body["volume"]["attachments"]
        if status == "available":
            path = f"/servers/{server}/os-volume_attachments"
            code, _ = self.ask("POST", path, {"volumeAttachment": {"volumeId": volume}}, "attach")
            operation, wanted = "attach", "in-use"
        elif status == "in-use" and attached:
            path = f"/servers/{attached[0]['server_id']}/os-volume_attachments/{volume}"
            code, _ = self.ask("DELETE", path, None, "detach")
            operation, wanted = "detach", "available"
        else:
            return
        # Another's volume may change hands under our eyes, so its end proves nothing.
        if code in (200, 202) and own:
            self._follow(operation, volume, wanted)

    def _follow(self, operation: str, volume: str, wanted: str) -> None:
        begun, before = time.monotonic(), "available" if operation == "attach" else "in-use"
        moved = False
        while time.monotonic() - begun < PATIENCE:
            status = self.status(volume)
            if status == wanted:
                self.tally.end(operation, "done", time.monotonic() - begun)
                return
            moved = moved or (status is not None and status != before)
            if moved and status == before:
                self.tally.end(operation, "undone", time.monotonic() - begun)
                return
            if self.halt.wait(POLL):
                break
        self.tally.end(operation, "not yet seen at the end" if self.halt.is_set() else f"slower than {PATIENCE:g} s", 0)

    def _server(self, index: int) -> dict[str, Any]:
        code, body = 0, None
        while code != 200:
            got = requests.get(self._site.compute_url.replace("/v2.1", "/image/v2/images"), timeout=30)
            code, body = got.status_code, got.json()
        image = body["images"][0]["id"]
        return {"server": {"name": f"s{index}", "flavorRef": "42", "imageRef": image, "networks": "none"}}

    def _made(self, kind: str, body: dict[str, Any]) -> str:
        code, made = self.ask("POST", f"/{kind}", body, f"create {kind}")
        if code != 202:
            raise RuntimeError(f"{kind} could not be made: {code} {made}")
        return str(next(iter(made.values()))["id"])


def _kind(text: str) -> str:
    """A refusal without the ids, so that the same ones count together."""
    message = text.partition('"message":')[2].strip(' "}') or text
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", message)[:90]
