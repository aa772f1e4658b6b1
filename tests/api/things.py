"""What there is in the stack to be named by made-up requests: without real names they would get no further than 404."""

from __future__ import annotations

from typing import Any

import requests
from hypothesis import strategies as st

from tests.fixtures import stack as stacks
from tests.functional.world import FLAVOR, NOBODY, TINY, World

TOKEN = "admin:api"
# Members of bodies whose values only have an effect when they name what there is; anything else is drawn, too.
KNOWN: dict[str, list[Any]] = {
    "flavorRef": [FLAVOR],
    "imageRef": [TINY],
    "networks": ["none", "auto"],
    "min_count": [1, 2],
    "max_count": [2],
    "volume_type": ["__DEFAULT__"],
    "size": [1, "1", 2],
    "new_size": [2, 3],
    "host": ["host1", "host1@fake1"],
    "binary": ["cinder-volume", "nova-compute"],
    "availability_zone": ["nova"],
    "connector": [{"host": "elsewhere", "ip": "127.0.0.1", "initiator": "iqn.1993-08.org.debian:01:elsewhere"}],
    **{name: [None] for name in ("snapshot_id", "source_volid", "backup_id", "group_id", "consistencygroup_id")},
}


class Things:
    """A server, volumes in two states, a snapshot and what else can be named; what is gone is made again."""

    def __init__(self, stack: stacks.FunctionalStack) -> None:
        self._world = World(stack, TOKEN)
        self._server = self._free = self._held = self._snapshot = NOBODY
        self.ids: list[str] = [NOBODY]
        self.paths: dict[str, list[str]] = {}

    def renew(self) -> Things:
        """These, all of them there now."""
        world = self._world
        if world.server_status(self._server) != "ACTIVE":
            self._server = world.server()
            self._held = NOBODY
        if world.volume_status(self._held) != "in-use":
            self._held = world.attached(self._server, world.volume())
        if world.volume_status(self._free) != "available":
            self._free = world.volume(metadata={"key": "value"})
        if world.snapshot_status(self._snapshot) != "available":
            self._snapshot = world.snapshot(self._held)
        kind = world.volumes("GET", "/types").json()["volume_types"][0]["id"]
        attachments = world.volumes("GET", f"/attachments?volume_id={self._held}").json()["attachments"]
        self.ids[:] = [self._server, self._free, self._held, self._snapshot, kind, TINY, attachments[0]["id"], NOBODY]
        volumes = [self._held, self._free]
        self.paths = {
            "server": [self._server],
            "server_id": [self._server],
            "volume": volumes,
            "volume_id": volumes,
            "snapshot_id": [self._snapshot],
            "attachment_id": [attachments[0]["id"]],
            "type_id": [kind, "default"],
            "flavor": [FLAVOR],
            "image": [TINY],
            "project": ["api"],
            "key": ["key"],
        }
        return self

    def whole(self) -> None:
        """Assert that the services still do what they are there for."""
        world = self._world
        for host in ("host1@fake1", "host1@fake2"):
            body = {"host": host, "binary": "cinder-volume"}
            assert world.volumes("PUT", "/os-services/enable", body).status_code == 200
        own = World(world.stack, "ann:api-after")
        server = own.server()
        volume = own.attached(server, own.volume())
        own.remove(servers=[server], volumes=[volume])


def uuids(things: Things) -> st.SearchStrategy[str]:
    """Ids of what there is, and of what is not."""
    return st.integers(0, 99).map(lambda number: things.ids[number % len(things.ids)]) | st.uuids().map(str)


def steer(draw: Any, told: Any) -> Any:
    """The body with some of its known members naming what there is."""
    if isinstance(told, dict):
        return {
            name: draw(st.sampled_from([*KNOWN[name], value])) if name in KNOWN else steer(draw, value)
            for name, value in told.items()
        }
    return [steer(draw, value) for value in told] if isinstance(told, list) else told


def fault(answer: requests.Response) -> tuple[str, dict[str, Any]]:
    """Name and content of an error in the form of the APIs."""
    ((name, told),) = answer.json().items()
    return name, told
