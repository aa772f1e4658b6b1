"""A volume grows while a server has it, and the guest is told; snapshots and clones beside servers and deletions."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from tests.fixtures import stack as stacks
from tests.functional import world as worlds
from tests.functional.test_races import at_once
from tests.functional.world import World

ROUNDS = 12


@pytest.fixture
def own(stack: stacks.FunctionalStack) -> Iterator[World]:
    """A user whose project is empty before and afterwards; so is what it had in databases, guests and backends."""
    before = worlds.quiet(stack)
    world = World(stack, "ann:growing")
    yield world
    assert world.quota() == {"volumes": 0, "gigabytes": 0}
    after = worlds.quiet(stack)
    assert after == before
    assert not [name for driver in stack.storage.values() for name in driver.snapshots]


def extend(own: World, volume: str, size: int, version: str = "3.42") -> int:
    body = {"os-extend": {"new_size": size}}
    return own.volumes("POST", f"/volumes/{volume}/action", body, OpenStack_API_Version=f"volume {version}").status_code


def size(own: World, volume: str) -> int:
    return int(own.volumes("GET", f"/volumes/{volume}").json()["volume"]["size"])


def test_a_guest_is_shown_the_larger_disk(own: World) -> None:
    server, volume = own.server(), own.volume()
    own.attached(server, volume)
    assert extend(own, volume, 3, version="3.41") == 400
    assert extend(own, volume, 3) == 202
    own.await_volume(volume, "in-use")
    assert size(own, volume) == 3
    stacks.wait_for(lambda: (server, volume) in own.stack.virt.sizes, worlds.WAIT, "the guest is told")
    assert own.quota() == {"volumes": 1, "gigabytes": 3}
    shown = own.compute("GET", f"/servers/{server}/os-volume_attachments").json()["volumeAttachments"]
    assert [one["volumeId"] for one in shown] == [volume]
    assert own.detach(server, volume).status_code == 202
    own.await_volume(volume, "available")
    own.remove(servers=[server], volumes=[volume])


def test_an_extend_that_the_backend_fails_at(own: World) -> None:
    volume = own.volume()
    [driver] = [one for one in own.stack.storage.values() if f"volume-{volume}" in one.volumes]
    driver.broken = "the disk is on fire"
    try:
        assert extend(own, volume, 2) == 202
        own.await_volume(volume, "error_extending")
    finally:
        driver.broken = ""
    assert size(own, volume) == 1
    assert own.quota() == {"volumes": 1, "gigabytes": 1}
    own.remove(volumes=[volume])


def test_an_extend_for_which_the_backend_has_no_room(own: World) -> None:
    volume = own.volume()
    admin = World(own.stack, "admin:growing")
    assert admin.volumes("PUT", "/os-quota-sets/growing", {"quota_set": {"gigabytes": -1}}).status_code == 200
    assert extend(own, volume, 20 * stacks.CAPACITY_GB + 1) == 202
    own.await_volume(volume, "available")
    assert size(own, volume) == 1
    assert admin.volumes("DELETE", "/os-quota-sets/growing").status_code == 200
    own.remove(volumes=[volume])


def test_a_copy_is_where_its_source_is(own: World) -> None:
    server, volume = own.server(), own.volume()
    [home] = [name for name, driver in own.stack.storage.items() if f"volume-{volume}" in driver.volumes]
    own.attached(server, volume)
    kept = own.snapshot(volume)
    copies = [own.volume(size=2, snapshot_id=kept) for _ in range(3)]
    copies += [own.volume(size=None, source_volid=volume) for _ in range(3)]
    assert all(f"volume-{one}" in own.stack.storage[home].volumes for one in copies)
    assert [size(own, one) for one in copies] == [2, 2, 2, 1, 1, 1]
    assert own.detach(server, volume).status_code == 202
    own.await_volume(volume, "available")
    assert own.volumes("DELETE", f"/snapshots/{kept}").status_code == 202
    own.await_snapshot(kept, "gone")
    own.remove(servers=[server], volumes=[volume, *copies])


def test_a_copy_that_the_backend_fails_at(own: World) -> None:
    volume = own.volume()
    kept = own.snapshot(volume)
    [driver] = [one for one in own.stack.storage.values() if f"volume-{volume}" in one.volumes]
    driver.broken = "the disk is on fire"
    try:
        copy = own.volume("error", snapshot_id=kept)
        answer = own.volumes("POST", "/snapshots", {"snapshot": {"volume_id": volume}})
        own.await_snapshot(answer.json()["snapshot"]["id"], "error")
    finally:
        driver.broken = ""
    own.remove(volumes=[copy])
    assert own.volumes("DELETE", f"/volumes/{volume}?cascade=True").status_code == 202
    own.await_volume(volume, "gone")


def test_a_volume_keeps_its_snapshots_or_has_none(own: World) -> None:
    """At the same moment a snapshot is asked for and the volume deleted: exactly one of them happens."""
    wins = set()
    for _ in range(ROUNDS):
        volume = own.volume()
        wanted = {"snapshot": {"volume_id": volume}}
        made, deleted = at_once(
            functools.partial(own.volumes, "POST", "/snapshots", wanted),
            functools.partial(own.volumes, "DELETE", f"/volumes/{volume}"),
        )
        codes = (made.status_code, deleted.status_code)
        assert codes in ((202, 400), (400, 202), (404, 202))
        if made.status_code == 202:
            own.await_snapshot(made.json()["snapshot"]["id"], "available")
            assert own.volumes("DELETE", f"/volumes/{volume}?cascade=true").status_code == 202
        own.await_volume(volume, "gone")
        wins.add(codes)
    assert wins


def test_of_two_extends_at_once_one_wins(own: World) -> None:
    volume = own.volume()
    codes = at_once(*(functools.partial(extend, own, volume, wanted) for wanted in (2, 3)))
    assert sorted(codes) in ([202, 400], [202, 202])
    own.await_volume(volume, "available")
    assert own.quota() == {"volumes": 1, "gigabytes": size(own, volume)}
    own.remove(volumes=[volume])
