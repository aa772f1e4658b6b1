"""Requests at the same moment: one wins, the others are refused, and nothing of theirs is left."""

from __future__ import annotations

import functools
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest
import requests

from tests.fixtures import stack as stacks
from tests.functional import world as worlds
from tests.functional.world import World

ROUNDS = 16
DELETE_ROUNDS = 50
HAMMERS, STROKES = 8, 6
CONNECTOR = {"host": "c1", "ip": "127.0.0.1", "initiator": "iqn.2010-10.org.openstack:c1"}


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each returned; they begin together."""
    ready = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        ready.wait(10)
        return work()

    with futures.ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begin, works))


@pytest.fixture
def own(stack: stacks.FunctionalStack) -> Iterator[World]:
    """A user whose project is empty before and afterwards; so is what it had in databases, guests and backends."""
    before = worlds.quiet(stack)
    world = World(stack, "ann:races")
    yield world
    assert world.quota() == {"volumes": 0, "gigabytes": 0}
    assert worlds.quiet(stack) == before


def settled(own: World, volume: str) -> None:
    """Wait until the volume is free and no block device is left of it."""
    own.await_volume(volume, "available")
    stacks.wait_for(lambda: not _devices(own, volume), 5, f"no block device of volume {volume}")


def _devices(own: World, volume: str) -> list[dict[str, Any]]:
    rows = worlds.snapshot(own.stack).rows["block_device_mapping"]
    return [row for row in rows if row["volume_id"] == volume]


def test_of_two_attaches_of_one_volume_one_wins(own: World) -> None:
    servers, volume = [own.server("a"), own.server("b")], own.volume()
    for turn in range(ROUNDS):
        # Every third time to the same server.
        wanted = [servers[0], servers[0 if turn % 3 == 2 else 1]]
        answers = at_once(*(functools.partial(own.attach, server, volume) for server in wanted))
        codes = sorted(answer.status_code for answer in answers)
        assert codes in ([200, 400], [200, 409]), [answer.text for answer in answers]
        winner = next(server for server, answer in zip(wanted, answers, strict=True) if answer.status_code == 200)
        loser = next(answer for answer in answers if answer.status_code != 200)
        assert volume in loser.text
        own.await_volume(volume, "in-use")
        seen = worlds.quiet(own.stack)
        assert [row["instance_uuid"] for row in _devices(own, volume)] == [winner]
        (attachment,) = [row for row in seen.rows["volume_attachment"] if row["volume_id"] == volume]
        assert (attachment["instance_uuid"], attachment["attach_status"]) == (winner, "attached")
        disks = {server: seen.guests[server] for server in servers}
        has = {server: frozenset({volume} if server == winner else ()) for server in servers}
        assert disks == {server: (has[server], has[server]) for server in servers}
        assert own.detach(winner, volume).status_code == 202
        settled(own, volume)
    own.remove(servers=servers, volumes=[volume])


def test_of_two_detaches_one_or_both_succeed_and_the_volume_is_free(own: World) -> None:
    server, volume = own.server(), own.volume()
    for _ in range(5):
        own.attached(server, volume)
        answers = at_once(*[functools.partial(own.detach, server, volume)] * 3)
        codes = [answer.status_code for answer in answers]
        others = [code for code in codes if code != 202]
        assert len(others) == 2, [answer.text for answer in answers]
        assert set(others) <= {400, 404, 409}, [answer.text for answer in answers]
        settled(own, volume)
    own.remove(servers=[server], volumes=[volume])


def test_volumes_to_one_server_at_once_get_names_of_their_own(own: World) -> None:
    server, volumes = own.server(), [own.volume() for _ in range(8)]
    answers = at_once(*(functools.partial(own.attach, server, volume) for volume in volumes))
    assert [answer.status_code for answer in answers] == [200] * 8, [answer.text for answer in answers]
    names = {answer.json()["volumeAttachment"]["device"] for answer in answers}
    assert names == {f"/dev/vd{letter}" for letter in "bcdefghi"}
    for volume in volumes:
        own.await_volume(volume, "in-use")
    assert worlds.quiet(own.stack).guests[server] == (frozenset(volumes), frozenset(volumes))
    own.remove(servers=[server], volumes=volumes)


def _connected(own: World, volume: str) -> str:
    wanted = {"attachment": {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4()), "connector": CONNECTOR}}
    made = own.volumes("POST", "/attachments", wanted)
    assert made.status_code == 200, made.text
    attachment = str(made.json()["attachment"]["id"])
    assert own.volumes("POST", f"/attachments/{attachment}/action", {"os-complete": None}).status_code == 204
    return attachment


def _delete_as_soon_as_available(own: World, volume: str) -> requests.Response:
    stacks.wait_for(lambda: own.volume_status(volume) == "available", worlds.WAIT, "it is available")
    return own.volumes("DELETE", f"/volumes/{volume}")


def test_a_detach_and_a_deletion_that_waits_for_it(own: World) -> None:
    """Somebody deletes the volume the moment it is available, while the answer to the detach is on its way."""

    def one_round(_: int) -> None:
        volume = own.volume()
        attachment = _connected(own, volume)
        removed, deleted = at_once(
            lambda: own.volumes("DELETE", f"/attachments/{attachment}"),
            lambda: _delete_as_soon_as_available(own, volume),
        )
        assert removed.status_code == 200, removed.text
        assert deleted.status_code == 202, deleted.text
        own.await_volume(volume, "gone")

    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one_round, range(DELETE_ROUNDS)))


def test_attaches_and_detaches_from_all_sides(own: World) -> None:
    servers = [own.server(f"hammer-{number}") for number in range(4)]
    volumes = [own.volume() for _ in range(5)]
    before = worlds.quiet(own.stack)
    won = []

    def strike(number: int) -> None:
        chosen = random.Random(number)
        for _ in range(STROKES):
            server, volume = chosen.choice(servers), chosen.choice(volumes)
            answer = own.attach(server, volume)
            assert answer.status_code in (200, 400, 409), answer.text
            if answer.status_code != 200:
                continue
            own.await_volume(volume, "in-use")
            won.append(volume)
            answer = own.detach(server, volume)
            assert answer.status_code == 202, answer.text
            released(own, server, volume)

    at_once(*(functools.partial(strike, number) for number in range(HAMMERS)))
    assert len(won) >= HAMMERS
    for volume in volumes:
        settled(own, volume)
    assert own.quota() == {"volumes": len(volumes), "gigabytes": len(volumes)}
    after = worlds.quiet(own.stack)
    assert _without_times(after) == _without_times(before)
    own.remove(servers=servers, volumes=volumes)


def released(own: World, server: str, volume: str) -> None:
    """Wait until the server does not list the volume any more."""
    stacks.wait_for(lambda: not _holds(own, server, volume), worlds.WAIT, f"{server} has not {volume}")


def _holds(own: World, server: str, volume: str) -> bool:
    path = f"/servers/{server}/os-volume_attachments"
    return volume in [one["volumeId"] for one in own.compute("GET", path).json()["volumeAttachments"]]


def _without_times(seen: worlds.Snapshot) -> Any:
    """A volume that was exported remembers where it was."""
    remembered = ("launched_at", "provider_location", "provider_auth")
    volumes = [{key: row[key] for key in row if key not in remembered} for row in seen.rows["volumes"]]
    return seen.rows | {"volumes": volumes}, seen.guests, seen.stored, seen.exported


def test_a_server_deleted_while_it_gets_a_volume(own: World) -> None:
    volume = own.volume()
    for _ in range(8):
        server = own.server()
        attach, delete = at_once(
            functools.partial(own.attach, server, volume),
            functools.partial(own.compute, "DELETE", f"/servers/{server}"),
        )
        assert delete.status_code == 204, delete.text
        assert attach.status_code in (200, 404, 409), attach.text
        own.await_server(server, "gone")
        settled(own, volume)
        assert server not in worlds.quiet(own.stack).guests
    own.remove(volumes=[volume])
