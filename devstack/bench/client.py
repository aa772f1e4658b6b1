"""The client's side of the benchmark: attach and detach as a user would, timed from the request to the visible end."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import urllib3

T = TypeVar("T")
POLL = 0.02
LIMIT = 120.0
MOST_THREADS = 64
VERSIONS = {"compute": "compute 2.89", "volume": "volume 3.60"}


@dataclass(frozen=True)
class Times:
    """Seconds of one operation: until the API answered, and until the result could be seen."""

    answer: float
    total: float


class Client:
    """Speaks to both APIs as the owner of `token`, over kept connections, one for each thread that asks.

    As cheaply as Python can: on the machine that is measured, what the client uses is taken from the daemons.
    `poll` is seconds between two looks, `idle` where nothing is timed.
    """

    def __init__(
        self, compute_url: str, volume_url: str, *, token: str = "", poll: float = POLL, idle: float = POLL
    ) -> None:
        self._headers = {"Content-Type": "application/json"} | ({"X-Auth-Token": token} if token else {})
        self._image = ""
        self._poll = poll
        self._idle = idle
        image_url = compute_url.replace("/v2.1", "/image/v2")
        self._urls = {"compute": compute_url, "volume": volume_url, "image": image_url}
        self._pool = urllib3.PoolManager(maxsize=MOST_THREADS, retries=False, timeout=LIMIT)

    def call(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; RuntimeError for any status of 400 and up."""
        versions = {"OpenStack-API-Version": VERSIONS[service]} if service in VERSIONS else {}
        answer = self._pool.urlopen(
            method,
            self._urls[service] + path,
            body=None if body is None else orjson.dumps(body),
            headers=self._headers | versions,
        )
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data[:200].decode(errors='replace')}")
        return orjson.loads(answer.data) if answer.data else None

    def make_server(self, name: str) -> str:
        """A new active server's id; it is made of the first image."""
        if not self._image:
            self._image = str(self.call("image", "GET", "/images")["images"][0]["id"])
        body = {"server": {"name": name, "flavorRef": "1", "imageRef": self._image, "networks": "none"}}
        made = str(self.call("compute", "POST", "/servers", body)["server"]["id"])
        self._until(lambda: self.call("compute", "GET", f"/servers/{made}")["server"]["status"], "ACTIVE", self._idle)
        return made

    def make_volume(self, name: str) -> str:
        """A new available volume's id."""
        made = str(self.call("volume", "POST", "/volumes", {"volume": {"size": 1, "name": name}})["volume"]["id"])
        self._until(lambda: self.status(made), "available", self._idle)
        return made

    def status(self, volume: str) -> str:
        """The volume's status."""
        return str(self.call("volume", "GET", f"/volumes/{volume}")["volume"]["status"])

    def listed(self, server: str) -> list[str]:
        """Ids of the volumes that nova lists for the server."""
        path = f"/servers/{server}/os-volume_attachments"
        return [one["volumeId"] for one in self.call("compute", "GET", path)["volumeAttachments"]]

    def post_attach(self, server: str, volume: str) -> None:
        """Ask for the attachment and do not wait for it."""
        body = {"volumeAttachment": {"volumeId": volume}}
        self.call("compute", "POST", f"/servers/{server}/os-volume_attachments", body)

    def attach(self, server: str, volume: str) -> Times:
        """Attach and wait until the volume is in use and listed."""
        begun = time.perf_counter()
        self.post_attach(server, volume)
        answered = time.perf_counter()
        self.await_attached(server, volume)
        return Times(answered - begun, time.perf_counter() - begun)

    def detach(self, server: str, volume: str) -> Times:
        """Detach and wait until the volume is available."""
        begun = time.perf_counter()
        self.post_detach(server, volume)
        answered = time.perf_counter()
        self.await_detached(volume)
        return Times(answered - begun, time.perf_counter() - begun)

    def post_detach(self, server: str, volume: str) -> None:
        """Ask for the end of the attachment and do not wait for it."""
        self.call("compute", "DELETE", f"/servers/{server}/os-volume_attachments/{volume}")

    def await_attached(self, server: str, volume: str) -> None:
        """Return once the volume is in use and listed."""
        self._until(lambda: self.status(volume), "in-use")
        self._until(lambda: volume in self.listed(server), True)

    def await_detached(self, volume: str) -> None:
        """Return once the volume is available."""
        self._until(lambda: self.status(volume), "available")

    def _until(self, look: Callable[[], Any], wanted: Any, pause: float | None = None) -> None:
        end = time.perf_counter() + LIMIT
        while (found := look()) != wanted:
            if str(found).lower().startswith("error") or time.perf_counter() > end:
                raise RuntimeError(f"wanted {wanted}, found {found}")
            time.sleep(self._poll if pause is None else pause)


def many(work: Callable[[T], Any], items: Sequence[T], threads: int) -> list[Any]:
    """`work` on every item, on so many threads; the first error goes up."""
    with futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and extremes in milliseconds."""
    ordered = sorted(seconds)
    return {
        "n": len(ordered),
        "min": round(ordered[0] * 1e3, 1),
        "p50": round(statistics.median(ordered) * 1e3, 1),
        "p95": round(ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))] * 1e3, 1),
        "max": round(ordered[-1] * 1e3, 1),
    }
