"""Snapshots keep their bytes while a real guest writes on, and a real guest sees a disk that has grown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite.targets import tgt_control
from devstack.guest import console
from tests.fixtures.userspace import SETTLE_LIMIT, Stack, wait_for

MIB = 4
GIB = 1 << 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, guest_images: Path) -> Iterator[Stack]:
    """Give the stack with two booted guests."""
    made = Stack(tmp_path_factory.mktemp("stack"), guest_images)
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        yield made


def snapshot_status(stack: Stack, snapshot: str) -> str:
    answer = stack.cinder("GET", f"/snapshots/{snapshot}")
    return str(answer.body["snapshot"]["status"]) if answer.code == 200 else "gone"


def test_a_snapshot_keeps_its_bytes_while_the_guest_writes_on(stack: Stack) -> None:
    empty = stack.world()
    first, second = stack.guests
    volume = stack.create_volume("origin")
    stack.attach(first, volume)
    stack.guest(first).await_disk(volume)
    digest = stack.guest(first).write(volume, MIB, "kept")
    made = stack.cinder("POST", "/snapshots", {"snapshot": {"volume_id": volume, "force": True}})
    assert made.code == 202, made
    snapshot = str(made.body["snapshot"]["id"])
    wait_for(lambda: snapshot_status(stack, snapshot) == "available", SETTLE_LIMIT, "the snapshot is available")
    assert stack.guest(first).write(volume, MIB, "written later") != digest
    refused = stack.cinder("DELETE", f"/volumes/{volume}")
    assert refused.code == 400

    copy = stack.create_volume("copy", size=2, snapshot_id=snapshot)
    clone = stack.create_volume("clone", source_volid=copy, size=None)
    stack.attach(second, clone)
    stack.guest(second).await_disk(clone)
    assert stack.guest(second).read(clone, MIB) == digest == console.pattern_sha256("kept", MIB)
    assert [disk.size for disk in stack.guest(second).disks() if clone.startswith(disk.serial)] == [2 * GIB]
    assert stack.cinder("DELETE", f"/snapshots/{snapshot}").code == 202
    wait_for(lambda: snapshot_status(stack, snapshot) == "gone", SETTLE_LIMIT, "the snapshot is gone")
    stack.detach(second, clone)
    stack.detach(first, volume)
    for one in (volume, copy, clone):
        stack.delete_volume(one)
    stack.await_world(empty, 5)


def test_a_guest_sees_its_disk_grow(stack: Stack) -> None:
    server, volume = stack.guests[0], stack.create_volume("growing")
    stack.attach(server, volume)
    stack.guest(server).await_disk(volume)
    digest = stack.guest(server).write(volume, MIB, "before")
    extended = {"os-extend": {"new_size": 2}}
    assert stack.cinder("POST", f"/volumes/{volume}/action", extended).code == 202
    stack.await_volume(volume, "in-use")
    assert stack.cinder("GET", f"/volumes/{volume}").body["volume"]["size"] == 2
    assert stack.backing_file(volume).stat().st_size == 2 * GIB
    # tgtd and QEMU cannot grow a disk that is connected, and the event of cinder-volume tells the server's owner so.
    wait_for(lambda: "Stop the server" in stack.fault(server), SETTLE_LIMIT, "the fault says what to do")
    assert stack.guest(server).read(volume, MIB) == digest

    stack.act(server, "os-stop", "SHUTOFF")
    control = tgt_control.Control(str(stack.system.tgtd.ipc_socket))
    wait_for(
        lambda: "Size: 2147 MB" in control.request(tgt_control.Mode.TARGET, tgt_control.Op.SHOW),
        SETTLE_LIMIT,
        "tgtd shows the new size",
    )
    stack.act(server, "os-start", "ACTIVE")
    stack.guest(server).wait_ready(60)
    stack.guest(server).await_disk(volume)
    assert [disk.size for disk in stack.guest(server).disks() if volume.startswith(disk.serial)] == [2 * GIB]
    assert stack.guest(server).read(volume, MIB) == digest
    stack.detach(server, volume)
    stack.delete_volume(volume)
