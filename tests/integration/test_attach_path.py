"""The whole way of a volume on real parts: made, in one guest, in another, gone; in both flows, on both databases."""

from __future__ import annotations

import contextlib
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import system as systems
from devstack.guest import console
from tests.fixtures.userspace import Stack

MIB = 4
# Each flow and each database once: neither knows of the other.
FLAVOURS = [("attachments", "sqlite"), ("legacy", "mariadb")]


@pytest.fixture(scope="module", params=FLAVOURS, ids="-".join)
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, guest_images: Path
) -> Iterator[Stack]:
    """Give the stack in one flow on one database, with two booted guests."""
    flow, database = request.param
    made = Stack(tmp_path_factory.mktemp("stack"), guest_images, attach_flow=flow, database=database)
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        yield made


class CommandLines:
    """Looks at the arguments of all processes over and over, as anybody on the host can."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._halt.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._halt.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(path.read_bytes())


def test_bytes_of_one_guest_are_read_by_the_next(stack: Stack) -> None:
    empty = stack.world()
    first, second = stack.guests
    volume = stack.create_volume("wanderer")
    unattached = stack.world()

    stack.attach(first, volume)
    stack.guest(first).await_disk(volume)
    digest = stack.guest(first).write(volume, MIB, "written-by-the-first-guest")
    assert digest == console.pattern_sha256("written-by-the-first-guest", MIB)
    assert digest == console.file_sha256(stack.backing_file(volume), MIB)
    assert stack.domains()[first][1:] == ([volume], [volume])
    stack.detach(first, volume)
    stack.guest(first).await_gone(volume)
    stack.await_world(unattached, 5)

    stack.attach(second, volume)
    stack.guest(second).await_disk(volume)
    assert stack.guest(second).read(volume, MIB) == digest
    assert stack.domains()[second][1:] == ([volume], [volume])
    assert stack.domains()[first][1:] == ([], [])
    stack.detach(second, volume)
    stack.guest(second).await_gone(volume)

    stack.delete_volume(volume)
    assert not stack.backing_file(volume).exists()
    assert stack.targets() == {}
    stack.await_world(empty, 5)


def test_attached_volume_is_everywhere_where_it_should_be(stack: Stack) -> None:
    server, volume = stack.guests[0], stack.create_volume("placed")
    stack.attach(server, volume)
    world = stack.world()
    assert [row[:3] for row in world["block_device_mapping"]] == [(server, volume, "/dev/vdb")]
    assert [row[1:] for row in world["volume_attachment"]] == [(volume, server, "attached")]
    assert world["targets"] == {
        f"iqn.2010-10.org.openstack:volume-{volume}": ({0: "None", 1: str(stack.backing_file(volume))}, 1)
    }
    assert {("demo", "gigabytes", 1, 0), ("demo", "volumes", 1, 0)} < set(world["quota_usages"])
    assert world["secrets"] == []
    shown = stack.cinder("GET", f"/volumes/{volume}").body["volume"]
    assert [(one["server_id"], one["device"]) for one in shown["attachments"]] == [(server, "/dev/vdb")]
    listed = stack.nova("GET", f"/servers/{server}/os-volume_attachments").body["volumeAttachments"]
    assert [(one["volumeId"], one["device"]) for one in listed] == [(volume, "/dev/vdb")]
    stack.detach(server, volume)
    stack.delete_volume(volume)


def test_chap_password_is_nowhere_to_be_seen(stack: Stack) -> None:
    server, volume = stack.guests[0], stack.create_volume("secret")
    with CommandLines() as lines:
        stack.attach(server, volume)
        stack.guest(server).await_disk(volume)
        password = stack.chap_password(volume).encode()
        exposed = [path for path in world_readable(stack) if password in path.read_bytes()]
        described = stack.system.libvirtd.virsh("dumpxml", "--security-info", server)
        stack.detach(server, volume)
    assert len(password) >= 12
    assert len(lines.seen) > len(systems.DAEMONS)
    assert not [line for line in lines.seen if password in line]
    assert not [name for name in systems.DAEMONS if password in stack.system.log_path(name).read_bytes()]
    assert password.decode() not in described
    assert exposed == []
    rows = stack.sql("nova", "SELECT connection_info FROM block_device_mapping WHERE volume_id = :v", v=volume)
    assert password.decode() not in str(rows)
    stack.delete_volume(volume)


def world_readable(stack: Stack) -> Iterator[Path]:
    """The files of the stack that any user could read, were it not in a private directory of the test."""
    for top in (stack.system.directory, stack.system.short):
        for path in top.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & stat.S_IROTH:
                between = [parent for parent in path.parents if parent.is_relative_to(top) and parent != top]
                if all(parent.stat().st_mode & stat.S_IXOTH for parent in between):
                    yield path
