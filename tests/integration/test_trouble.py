"""Trouble on the real stack: each case ends in limited time, names the thing, and leaves the world as it was.

One stack for the module; every test puts back what it broke and checks the world (`Stack.world`) before and after.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from devstack import system as systems
from devstack.guest import console
from tests.fixtures import servers
from tests.fixtures.userspace import ANSWER_LIMIT, DOWN_TIME, RPC_LIMIT, SETTLE_LIMIT, Answer, Stack, wait_for

HOST = "bench"
# From RabbitMQ's return to that of everybody who needs it.
BACK_SECONDS = 30.0


@pytest.fixture(scope="module")
def black_hole() -> Iterator[int]:
    """Give the port of a portal that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind((servers.HOST, 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, guest_images: Path, black_hole: int) -> Iterator[Stack]:
    """Give the stack with two booted guests and, beside the good backend, one whose portal is the black hole."""
    directory = tmp_path_factory.mktemp("stack")
    made = Stack(directory, guest_images, cinder={"DEFAULT": {"enabled_backends": "main,hole"}})
    made.system.add_backend("hole", target_port=black_hole)
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        for name in ("main", "hole"):
            asked = {"name": name, "extra_specs": {"volume_backend_name": name}}
            assert made.cinder("POST", "/types", {"volume_type": asked}).code == 200
        yield made


@pytest.fixture
def volume(stack: Stack) -> Iterator[str]:
    """Give an available volume; afterwards all daemons run and the world is as it was before the test."""
    before = stack.world()
    made = stack.create_volume(volume_type="main")
    yield made
    stack.await_up()
    stack.delete_volume(made)
    stack.await_world(before)


def refused(answer: Answer, code: int | tuple[int, ...], *names: str, limit: float = ANSWER_LIMIT) -> None:
    """The request was refused so, its message has the names, and it did not take long."""
    assert answer.code in (code if isinstance(code, tuple) else (code,)), answer
    assert all(name in answer.message for name in names), answer
    assert answer.seconds < limit, answer


def once_back(ask: Callable[[], Answer]) -> Answer:
    """The first answer that is no 503: each daemon finds RabbitMQ again at its own time, and refuses until then."""
    end = time.monotonic() + BACK_SECONDS
    while (answer := ask()).code == 503 and time.monotonic() < end:
        time.sleep(0.5)
    return answer


def use(stack: Stack, server: str, volume: str, seed: str) -> None:
    """The guest has the disk and can write to it."""
    guest = stack.guest(server)
    guest.await_disk(volume)
    assert guest.write(volume, 1, seed) == console.pattern_sha256(seed, 1)
    assert console.file_sha256(stack.backing_file(volume), 1) == console.pattern_sha256(seed, 1)


def settled(stack: Stack, server: str, volume: str, before: dict[str, Any]) -> None:
    """After an attach that was cut off: done or undone, and everybody agrees which; then it is attached and used."""
    wait_for(lambda: stack.status(volume) in ("available", "in-use"), SETTLE_LIMIT, "the attach is done or undone")
    if stack.status(volume) == "available":
        stack.await_world(before)
        stack.attach(server, volume)
    assert stack.domains()[server][1:] == ([volume], [volume])
    use(stack, server, volume, "settled")
    stack.detach(server, volume)
    stack.await_world(before)


def test_two_requests_at_the_same_moment(stack: Stack, volume: str) -> None:
    for turn in range(3):
        with futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda server: stack.post_attach(server, volume), stack.guests))
        assert [answer.code == 200 for answer in answers].count(True) == 1, answers
        loser = next(answer for answer in answers if answer.code != 200)
        refused(loser, (400, 409), volume)
        stack.await_volume(volume, "in-use")
        winner = stack.guests[[answer.code for answer in answers].index(200)]
        having = {server: found[1:] for server, found in stack.domains().items() if volume in found[1] + found[2]}
        assert having == {winner: ([volume], [volume])}
        use(stack, winner, volume, f"turn-{turn}")
        stack.detach(winner, volume)


def test_attach_to_a_stopped_server(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    stack.act(server, "os-stop", "SHUTOFF")
    stack.attach(server, volume)
    assert stack.domains()[server] == ("shut off", [], [volume])
    stack.act(server, "os-start", "ACTIVE")
    stack.guest(server).wait_ready(60)
    use(stack, server, volume, "after-the-start")
    stack.act(server, "os-stop", "SHUTOFF")
    stack.detach(server, volume)
    assert stack.domains()[server] == ("shut off", [], [])
    stack.act(server, "os-start", "ACTIVE")
    stack.guest(server).wait_ready(60)


def test_paused_server_takes_a_disk_and_keeps_it(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    stack.act(server, "pause", "PAUSED")
    stack.attach(server, volume)
    with stack.unchanged():
        assert stack.delete_attachment(server, volume).code == 202
        stack.await_volume(volume, "in-use")
    assert stack.domains()[server] == ("paused", [volume], [volume])
    assert volume in stack.fault(server)
    assert "paused" in stack.fault(server)
    stack.act(server, "unpause", "ACTIVE")
    use(stack, server, volume, "after-the-pause")
    stack.detach(server, volume)


def test_detach_twice(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    stack.attach(server, volume)
    stack.guest(server).await_disk(volume)
    assert stack.delete_attachment(server, volume).code == 202
    refused(stack.delete_attachment(server, volume), (400, 404), volume)
    stack.await_volume(volume, "available")
    stack.await_released(volume)
    refused(stack.delete_attachment(server, volume), 404, server, volume)


def test_attached_volume_is_not_deleted_nor_attached_again(stack: Stack, volume: str) -> None:
    first, second = stack.guests
    stack.attach(first, volume)
    with stack.unchanged(0):
        refused(stack.cinder("DELETE", f"/volumes/{volume}"), 400, "in-use")
        refused(stack.post_attach(second, volume), 400, volume)
        refused(stack.post_attach(first, volume), 400, volume)
    use(stack, first, volume, "still-mine")
    stack.detach(first, volume)


def test_tgtd_is_down(stack: Stack, volume: str) -> None:
    tgtd, server = stack.system.tgtd, stack.guests[0]
    before = stack.world()
    tgtd.stop()
    try:
        assert stack.post_attach(server, volume).code == 200
        stack.await_released(volume)
        stack.await_volume(volume, "available")
        assert "tgtd does not answer" in stack.fault(server)
    finally:
        tgtd.start()
    stack.await_world(before)
    stack.attach(server, volume)
    use(stack, server, volume, "tgtd-is-back")
    stack.detach(server, volume)


def test_guest_survives_a_crash_of_tgtd(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    stack.attach(server, volume)
    use(stack, server, volume, "before-the-crash")
    with stack.unchanged():
        stack.system.tgtd.kill()
        stack.system.tgtd.start()
    use(stack, server, volume, "after-the-crash")
    stack.detach(server, volume)


def test_tgtd_does_not_answer(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    before = stack.world()
    stack.system.tgtd.freeze()
    try:
        assert stack.post_attach(server, volume).code == 200
        stack.await_released(volume)
        stack.await_volume(volume, "available")
        assert "Check that" in stack.fault(server)
    finally:
        stack.system.tgtd.thaw()
    stack.await_world(before)


def test_portal_is_a_black_hole(stack: Stack, black_hole: int) -> None:
    with stack.unchanged():
        volume = stack.create_volume(volume_type="hole")
        with stack.unchanged(15):
            assert stack.post_attach(stack.guests[0], volume).code == 200
            stack.await_released(volume)
            stack.await_volume(volume, "available")
        assert f"{servers.HOST}:{black_hole}" in stack.fault(stack.guests[0])
        assert stack.guest(stack.guests[0]).command("ping") == "pong"
        stack.delete_volume(volume)


def test_nova_compute_is_stopped(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    with stack.unchanged():
        assert stack.system.stop_daemon(systems.COMPUTE) == 0
        refused(stack.post_attach(server, volume), 503, HOST, server, volume, limit=RPC_LIMIT + 5)
        wait_for(lambda: not stack.system.all_up(), DOWN_TIME * 2, "nova-compute is seen to be down")
        refused(stack.post_attach(server, volume), 409, HOST, server, limit=3)
        stack.system.start_daemon(systems.COMPUTE)
    stack.attach(server, volume)
    stack.detach(server, volume)


def test_nova_compute_is_frozen(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    with stack.unchanged():
        stack.system.signal_daemon(systems.COMPUTE, signal.SIGSTOP)
        try:
            refused(stack.post_attach(server, volume), 503, HOST, server, volume, limit=RPC_LIMIT + 5)
        finally:
            stack.system.signal_daemon(systems.COMPUTE, signal.SIGCONT)
        time.sleep(1)  # the late message is there by now and must change nothing


def test_cinder_api_is_down(stack: Stack, volume: str) -> None:
    attached, server = stack.create_volume(volume_type="main"), stack.guests[0]
    stack.attach(server, attached)
    with stack.unchanged():
        stack.system.stop_daemon(systems.CINDER_API)
        refused(stack.post_attach(server, volume), 503, stack.system.volume_url)
        refused(stack.delete_attachment(server, attached), 503, stack.system.volume_url)
        stack.system.start_daemon(systems.CINDER_API)
    use(stack, server, attached, "cinder-api-was-down")
    stack.detach(server, attached)
    stack.delete_volume(attached)


def test_cinder_volume_is_down(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    with stack.unchanged():
        stack.system.stop_daemon(systems.VOLUME)
        assert stack.post_attach(server, volume).code == 200
        stack.await_released(volume)
        stack.await_volume(volume, "available")
        assert f"{HOST}@main" in stack.fault(server)
        stack.system.start_daemon(systems.VOLUME)
    stack.attach(server, volume)
    stack.detach(server, volume)


def test_rabbitmq_is_down(stack: Stack, volume: str) -> None:
    attached, server = stack.create_volume(volume_type="main"), stack.guests[0]
    stack.attach(server, attached)
    use(stack, server, attached, "rabbit-runs")
    with stack.unchanged():
        stack.system.rabbit.stop()
        refused(stack.post_attach(server, volume), 503, "RabbitMQ")
        refused(stack.delete_attachment(server, attached), 503, "RabbitMQ")
        stack.system.rabbit.start()
    assert once_back(lambda: stack.delete_attachment(server, attached)).code == 202
    stack.await_volume(attached, "available")
    stack.await_released(attached)
    # A call needs its way back as well, which nova-api may find later than nova-compute found its own.
    assert once_back(lambda: stack.post_attach(server, volume)).code == 200
    stack.await_volume(volume, "in-use")
    stack.detach(server, volume)
    stack.delete_volume(attached)


def test_nova_compute_is_terminated_in_the_middle_of_an_attach(stack: Stack, volume: str) -> None:
    server, before = stack.guests[0], stack.world()
    stack.system.tgtd.freeze()
    try:
        assert stack.post_attach(server, volume).code == 200
        time.sleep(0.5)
        assert stack.status(volume) == "reserved"
        stack.system.processes[systems.COMPUTE].terminate()
    finally:
        stack.system.tgtd.thaw()
    assert stack.system.processes[systems.COMPUTE].wait(20) == 0
    stack.await_volume(volume, "in-use")
    assert stack.domains()[server][1:] == ([volume], [volume])
    stack.system.start_daemon(systems.COMPUTE)
    use(stack, server, volume, "finished-before-the-end")
    stack.detach(server, volume)
    stack.await_world(before)


def test_nova_compute_is_killed_in_the_middle_of_an_attach(stack: Stack, volume: str) -> None:
    server, before = stack.guests[0], stack.world()
    stack.system.libvirtd.freeze()
    try:
        assert stack.post_attach(server, volume).code == 200
        stack.await_volume(volume, "attaching")
        query = "SELECT count(*) FROM block_device_mapping WHERE deleted = 0 AND connection_info IS NOT NULL"
        wait_for(lambda: stack.sql("nova", query) == [(1,)], 5, "nova-compute is about to ask libvirt")
        stack.system.signal_daemon(systems.COMPUTE, signal.SIGKILL)
    finally:
        stack.system.libvirtd.thaw()
    stack.system.start_daemon(systems.COMPUTE)
    settled(stack, server, volume, before)


def test_cinder_volume_is_killed_in_the_middle_of_an_attach(stack: Stack, volume: str) -> None:
    server, before = stack.guests[0], stack.world()
    stack.system.tgtd.freeze()
    try:
        assert stack.post_attach(server, volume).code == 200
        conf = stack.system.short / "cinder-state" / "targets" / "main" / f"volume-{volume}.conf"
        wait_for(conf.exists, 5, "cinder-volume is about to ask tgtd")
        stack.system.signal_daemon(systems.VOLUME, signal.SIGKILL)
    finally:
        stack.system.tgtd.thaw()
    stack.system.start_daemon(systems.VOLUME)
    settled(stack, server, volume, before)


def test_restart_of_every_daemon_is_not_seen_by_a_guest(stack: Stack, volume: str) -> None:
    server = stack.guests[0]
    stack.attach(server, volume)
    use(stack, server, volume, "before")
    with stack.unchanged():
        for name in systems.DAEMONS:
            assert stack.system.stop_daemon(name) == 0, name
            use(stack, server, volume, f"without-{name}")
            stack.system.start_daemon(name)
            use(stack, server, volume, f"with-{name}")
        stack.await_up()
    for name in systems.DAEMONS:
        stack.system.signal_daemon(name, signal.SIGKILL)
    use(stack, server, volume, "without-any")
    for name in systems.DAEMONS:
        stack.system.start_daemon(name)
    stack.await_up()
    use(stack, server, volume, "after-the-crash-of-all")
    stack.detach(server, volume)
