"""One request, and one thing that goes wrong: each daemon killed at each point of it, each message lost, each doubled.

Where the machine beside this looks for what nobody thought of, this leaves nothing out. A run by default takes every
STRIDE-th point, another one each time the seed changes; `test.sh machine` takes all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.machine import checks, cluster

Ask = Callable[["Scene"], None]
MOST_POINTS = 150


class Scene:
    """A site at rest with a server and a volume; what is asked for is in REQUESTS."""

    def __init__(self, made: cluster.Cluster) -> None:
        self.cluster = made
        made.start_all()
        server = {"name": "s", "flavorRef": "42", "imageRef": cluster.TINY, "networks": "none"}
        self.server = self.done("compute", "POST", "/servers", {"server": server})["server"]["id"]
        self.volume = self.done("volume", "POST", "/volumes", {"volume": {"size": 1}})["volume"]["id"]

    def done(self, service: str, method: str, path: str, body: object = None) -> dict:
        """The answer of a request that must work, after all that follows from it."""
        told = self.cluster.request(service, method, path, body)
        self.cluster.settle()
        assert told["status"] in (200, 202, 204), told
        return told["body"] or {}

    @property
    def devices(self) -> str:
        return f"/servers/{self.server}/os-volume_attachments"


def attach(scene: Scene) -> None:
    scene.cluster.request("compute", "POST", scene.devices, {"volumeAttachment": {"volumeId": scene.volume}})


def attached(scene: Scene) -> None:
    scene.done("compute", "POST", scene.devices, {"volumeAttachment": {"volumeId": scene.volume}})


def detach(scene: Scene) -> None:
    scene.cluster.request("compute", "DELETE", f"{scene.devices}/{scene.volume}")


def delete_server(scene: Scene) -> None:
    scene.cluster.request("compute", "DELETE", f"/servers/{scene.server}")


def create_server(scene: Scene) -> None:
    server = {"name": "t", "flavorRef": "42", "imageRef": cluster.TINY, "networks": "none"}
    scene.cluster.request("compute", "POST", "/servers", {"server": server})


def create(scene: Scene) -> None:
    scene.cluster.request("volume", "POST", "/volumes", {"volume": {"size": 1}})


def delete(scene: Scene) -> None:
    scene.cluster.request("volume", "DELETE", f"/volumes/{scene.volume}")


def extend(scene: Scene) -> None:
    path = f"/volumes/{scene.volume}/action"
    scene.cluster.request("volume", "POST", path, {"os-extend": {"new_size": 3}})


def snapshot(scene: Scene) -> None:
    body = {"snapshot": {"volume_id": scene.volume, "force": True}}
    scene.cluster.request("volume", "POST", "/snapshots", body)


def snapshot_made(scene: Scene) -> None:
    made = scene.done("volume", "POST", "/snapshots", {"snapshot": {"volume_id": scene.volume}})
    scene.snapshot = made["snapshot"]["id"]  # type: ignore[attr-defined]


def delete_snapshot(scene: Scene) -> None:
    scene.cluster.request("volume", "DELETE", f"/snapshots/{scene.snapshot}")  # type: ignore[attr-defined]


def _action(name: str) -> Ask:
    body = {name: {"type": "HARD"} if name == "reboot" else None}
    return lambda scene: scene.cluster.request("compute", "POST", f"/servers/{scene.server}/action", body)


def stopped(scene: Scene) -> None:
    attached(scene)
    scene.done("compute", "POST", f"/servers/{scene.server}/action", {"os-stop": None})


def paused(scene: Scene) -> None:
    scene.done("compute", "POST", f"/servers/{scene.server}/action", {"pause": None})


def nothing(scene: Scene) -> None:
    """The scene is as it is."""


REQUESTS: dict[str, tuple[Ask, Ask]] = {
    "attach": (nothing, attach),
    "detach": (attached, detach),
    "attach to a stopped server": (stopped, detach),
    "delete a server": (attached, delete_server),
    "create a server": (nothing, create_server),
    "create": (nothing, create),
    "delete": (nothing, delete),
    "extend": (nothing, extend),
    "extend in use": (attached, extend),
    "snapshot": (nothing, snapshot),
    "delete a snapshot": (snapshot_made, delete_snapshot),
    "stop": (attached, _action("os-stop")),
    "start": (stopped, _action("os-start")),
    "reboot": (attached, _action("reboot")),
    "pause": (attached, _action("pause")),
    "unpause": (paused, _action("unpause")),
}


@contextmanager
def scene_of(site: cluster.Site, prepare: Ask) -> Iterator[Scene]:
    """A new site, prepared."""
    site.reset()
    made = cluster.Cluster(site)
    with made.running():
        scene = Scene(made)
        prepare(scene)
        yield scene


@pytest.mark.parametrize("name", cluster.DAEMONS)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_daemon_is_killed_at_each_point(
    site: cluster.Site, stride: tuple[int, int], request_name: str, name: str
) -> None:
    prepare, ask = REQUESTS[request_name]
    first, step = stride
    wrong = []
    for points in range(1 + first, MOST_POINTS, step):
        with scene_of(site, prepare) as scene:
            scene.cluster.daemons[name].fuse = points
            ask(scene)
            scene.cluster.settle(20)
            killed = not scene.cluster.daemons[name].alive
            if killed:
                scene.cluster.start(name)
            try:
                checks.heal(scene.cluster)
            except AssertionError as err:
                wrong.append(f"{request_name}: {name} killed at point {points}: {err}")
        if not killed:
            break
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("what", ["lost", "doubled", "late", "reply lost"])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_each_message_is_lost_or_comes_twice(site: cluster.Site, request_name: str, what: str) -> None:
    prepare, ask = REQUESTS[request_name]
    wrong = []
    for number in range(20):
        with scene_of(site, prepare) as scene:
            ask(scene)
            found = _spoil(scene.cluster, number, what)
            scene.cluster.settle(20)
            try:
                checks.heal(scene.cluster)
            except AssertionError as err:
                wrong.append(f"{request_name}: message {number} ({found}) {what}: {err}")
        if found is None:
            break
    assert not wrong, "\n\n".join(wrong)


def _spoil(made: cluster.Cluster, number: int, what: str) -> str | None:
    """Run until the message of that number is sent, and spoil it; None when there is none."""
    seen: list[object] = []
    while True:
        new = [one for one in made.broker.waiting if one not in seen]
        for message in new:
            seen.append(message)
            if len(seen) == number + 1:
                if what == "lost":
                    made.broker.waiting.remove(message)
                elif what == "doubled":
                    made.broker.again(message)
                elif what == "late":
                    made.broker.waiting.remove(message)
                    made.settle(20)
                    made.broker.waiting.append(message)
                elif message.reply is not None:
                    message.reply.lost = True
                return repr(message)
        if not made.choices():
            return None
        made.choose(0, 1_000_000)
