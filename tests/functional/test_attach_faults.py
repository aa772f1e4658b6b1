"""A service goes away in the middle of an attach or a detach: an answer in time, and in the end nothing stuck.

The stack of this module has short limits; what they are multiplied with by repeated requests is part of the test.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.fixtures import stack as stacks
from tests.functional import world as worlds
from tests.functional.world import World

RPC_TIMEOUT = 2
REST_TIMEOUT = 3
DOWN_TIME = 3
FINISH_INTERVAL = 1
PACKAGES = {"cinder": "cinder_lite", "nova": "nova_lite"}


class Site(World):
    """A user of a stack of this module's own, whose daemons may be stopped and started."""

    def stop(self, name: str) -> None:
        """Stop a daemon (`cinder-lite-volume`), as SIGTERM would."""
        self.stack.stop_one(name)

    def start(self, name: str) -> None:
        """Start it again."""
        self.stack.start_one(PACKAGES[name.partition("-")[0]], name.rpartition("-")[0], name.rpartition("-")[2])

    def settled(self, volume: str, seconds: float) -> None:
        """Wait until the volume is free and no row, disk or target is left of its attachment."""
        self.await_volume(volume, "available", seconds)

        def free() -> bool:
            # The older flow notes that the volume is not read-only, and that stays true.
            own = {"volumes", "volume_admin_metadata", "backend fake1", "backend fake2"}
            return set(worlds.snapshot(self.stack).about(volume)) <= own

        stacks.wait_for(free, 5, f"nothing of volume {volume} but itself")


@pytest.fixture(scope="module", params=["attachments", "legacy"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack on an exchange of its own, for each of the two ways to attach.

    On SQLite only: these tests mostly wait, and what they prove does not depend on where the rows are.
    """
    common = {"control_exchange": f"attach-faults-{request.param}", "rpc_response_timeout": RPC_TIMEOUT}
    nova = {
        "DEFAULT": common | {"service_down_time": DOWN_TIME},
        "cinder": {"attach_flow": request.param, "timeout": REST_TIMEOUT, "patience": 0},
        "compute": {"finish_interval": FINISH_INTERVAL},
    }
    running = stacks.FunctionalStack(tmp_path_factory.mktemp("faults"), nova=nova, cinder={"DEFAULT": common})
    try:
        yield Site(running.start(), "ann:attach-faults")
    finally:
        running.stop()


@pytest.fixture
def pair(site: Site) -> Iterator[tuple[str, str]]:
    """A server and a volume; afterwards everything is as before."""
    before = worlds.quiet(site.stack)
    server, volume = site.server(), site.volume()
    yield server, volume
    site.remove(servers=[server], volumes=[volume])
    assert worlds.quiet(site.stack) == before


def test_the_volume_daemon_is_down_during_an_attach(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    site.stop("cinder-lite-volume")
    try:
        begun = time.monotonic()
        answer = site.attach(server, volume)
        assert answer.status_code == 200
        # No longer than requests to Cinder are repeated, and the one that was begun last.
        site.settled(volume, 2 * REST_TIMEOUT + RPC_TIMEOUT)
        assert time.monotonic() - begun < 2 * REST_TIMEOUT + RPC_TIMEOUT
    finally:
        site.start("cinder-lite-volume")
    site.attached(server, volume)
    assert site.detach(server, volume).status_code == 202
    site.settled(volume, 5)


def test_the_volume_daemon_is_down_during_a_detach(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    site.attached(server, volume)
    site.stop("cinder-lite-volume")
    try:
        assert site.detach(server, volume).status_code == 202
        stacks.wait_for(lambda: not worlds.snapshot(site.stack).guests[server][0], 5, "the guest lets go")
        time.sleep(RPC_TIMEOUT + 0.5)
        assert site.volume_status(volume) == "detaching"
    finally:
        site.start("cinder-lite-volume")
    site.settled(volume, 2 * REST_TIMEOUT + 2 * FINISH_INTERVAL + RPC_TIMEOUT)


@pytest.mark.parametrize("site", ["attachments"], indirect=True)
def test_the_volume_api_is_down_before_an_attach_and_a_detach(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    other = site.attached(server, site.volume())
    before = worlds.quiet(site.stack)
    site.stop("cinder-lite-api")
    try:
        for answer in (site.attach(server, volume), site.detach(server, other)):
            assert answer.status_code == 503, answer.text
            assert site.stack.volume_url in answer.json()["serviceUnavailable"]["message"]
            assert answer.elapsed.total_seconds() < REST_TIMEOUT
        assert worlds.quiet(site.stack) == before
    finally:
        site.start("cinder-lite-api")
    assert site.detach(server, other).status_code == 202
    site.settled(other, 5)
    site.remove(volumes=[other])


def test_the_volume_api_goes_down_during_an_attach(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    site.stack.virt.delays = {"attach_volume": 1.5}
    try:
        assert site.attach(server, volume).status_code == 200
        stacks.wait_for(lambda: any(worlds.snapshot(site.stack).exported.values()), 5, "it is exported")
        site.stop("cinder-lite-api")
        try:
            # The guest gets the disk, and gives it back because Cinder cannot be told.
            time.sleep(4)
            assert worlds.snapshot(site.stack).guests[server] == (frozenset(), frozenset())
        finally:
            site.start("cinder-lite-api")
    finally:
        site.stack.virt.delays = {}
    site.settled(volume, 2 * FINISH_INTERVAL + REST_TIMEOUT)


def test_the_volume_api_goes_down_during_a_detach(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    site.attached(server, volume)
    site.stack.virt.delays = {"detach_volume": 1.0}
    try:
        assert site.detach(server, volume).status_code == 202
        site.stop("cinder-lite-api")
        try:
            time.sleep(2.5)
            assert worlds.snapshot(site.stack).guests[server] == (frozenset(), frozenset())
        finally:
            site.start("cinder-lite-api")
    finally:
        site.stack.virt.delays = {}
    site.settled(volume, 2 * FINISH_INTERVAL + REST_TIMEOUT)


@pytest.mark.parametrize("site", ["attachments"], indirect=True)
def test_nova_compute_is_down(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    other = site.attached(server, site.volume())
    before = worlds.quiet(site.stack)
    site.stop("nova-lite-compute")
    try:
        # It counts as up for a while.
        answer = site.attach(server, volume)
        assert answer.status_code == 503, answer.text
        assert answer.elapsed.total_seconds() < RPC_TIMEOUT + 2
        text = answer.json()["serviceUnavailable"]["message"]
        assert not [thing for thing in ("nova-compute on host host1", server, volume) if thing not in text], text
        assert worlds.quiet(site.stack) == before
        time.sleep(DOWN_TIME)
        for answer in (site.attach(server, volume), site.detach(server, other)):
            assert answer.status_code == 409, answer.text
            assert "nova-compute on host host1" in answer.json()["conflictingRequest"]["message"]
            assert answer.elapsed.total_seconds() < 1
        assert worlds.quiet(site.stack) == before
    finally:
        site.start("nova-lite-compute")
    site.attached(server, volume)
    for one in (volume, other):
        assert site.detach(server, one).status_code == 202
        site.settled(one, 5)
    site.remove(volumes=[other])


def test_a_detach_that_nova_compute_finds_when_it_is_back(site: Site, pair: tuple[str, str]) -> None:
    server, volume = pair
    site.attached(server, volume)
    site.stop("nova-lite-compute")
    try:
        assert site.detach(server, volume).status_code == 202
        assert site.volume_status(volume) == "detaching"
    finally:
        site.start("nova-lite-compute")
    site.settled(volume, 5)
