"""Stock clients on snapshots, copies and growing volumes: the program openstackclient, and openstacksdk."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import openstack
import pytest

from tests.fixtures import stack as stacks
from tests.functional.test_compute_clients import Command, cloud_of

WAIT = 30


@pytest.fixture
def command(stack: stacks.FunctionalStack, tmp_path: Path) -> Command:
    return Command(tmp_path, cloud_of(stack) | {"volume_api_version": "3.69"})


def ok(command: Command, *words: str) -> str:
    """What it prints; AssertionError with its complaint when it fails."""
    done = command.run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def await_status(command: Command, kind: tuple[str, ...], name: str, status: str) -> None:
    stacks.wait_for(lambda: command.told(*kind, "show", name)["status"] == status, 60, f"{name} is {status}")


def gone(command: Command, kind: tuple[str, ...], name: str) -> bool:
    return command.run(*kind, "show", name).returncode != 0


def test_openstackclient(command: Command) -> None:
    volume, snapshot = ("volume",), ("volume", "snapshot")
    origin, kept, copy = (f"{word}-{uuid.uuid4()}" for word in ("origin", "kept", "copy"))
    command.told("volume", "create", "--size", "1", origin)
    await_status(command, volume, origin, "available")
    made = command.told("volume", "snapshot", "create", "--volume", origin, "--property", "a=b", kept)
    assert (made["name"], made["size"]) == (kept, 1)
    await_status(command, snapshot, kept, "available")
    listed = command.told("volume", "snapshot", "list", "--volume", origin)
    assert [(one["Name"], one["Size"]) for one in listed] == [(kept, 1)]
    ok(command, "volume", "snapshot", "set", "--property", "c=d", "--description", "words", kept)
    shown = command.told("volume", "snapshot", "show", kept)
    assert (shown["description"], shown["properties"]) == ("words", {"a": "b", "c": "d"})
    ok(command, "volume", "snapshot", "unset", "--property", "a", kept)

    command.told("volume", "create", "--snapshot", kept, copy)
    await_status(command, volume, copy, "available")
    ok(command, "volume", "set", "--size", "3", copy)
    stacks.wait_for(lambda: command.told("volume", "show", copy)["size"] == 3, 60, "it has grown")
    await_status(command, volume, copy, "available")

    type_name = f"type-{uuid.uuid4()}"
    command.told("volume", "type", "create", type_name)
    ok(command, "volume", "set", "--type", type_name, "--retype-policy", "never", copy)
    stacks.wait_for(lambda: command.told("volume", "show", copy)["type"] == type_name, 60, "it has the type")

    ok(command, "volume", "snapshot", "set", "--state", "error", kept)
    assert command.told("volume", "snapshot", "show", kept)["status"] == "error"
    assert command.run("volume", "delete", origin).returncode != 0
    ok(command, "volume", "snapshot", "delete", kept)
    stacks.wait_for(lambda: gone(command, snapshot, kept), 60, "the snapshot is gone")
    for name in (origin, copy):
        ok(command, "volume", "delete", "--purge", name)
        stacks.wait_for(lambda name=name: gone(command, volume, name), 60, f"{name} is gone")
    ok(command, "volume", "type", "delete", type_name)


def test_openstacksdk(stack: stacks.FunctionalStack) -> None:
    connection: Any = openstack.connection.Connection(**cloud_of(stack))
    try:
        storage = connection.block_storage
        volume = storage.create_volume(size=1, name="sdk-origin")
        storage.wait_for_status(volume, "available", failures=["error"], wait=WAIT)
        snapshot = storage.create_snapshot(volume_id=volume.id, name="sdk-kept", is_forced=True)
        storage.wait_for_status(snapshot, "available", failures=["error"], wait=WAIT)
        assert [one.id for one in storage.snapshots(volume_id=volume.id)] == [snapshot.id]
        copy = storage.create_volume(snapshot_id=snapshot.id, name="sdk-copy")
        storage.wait_for_status(copy, "available", failures=["error"], wait=WAIT)
        storage.extend_volume(copy, 2)
        stacks.wait_for(lambda: storage.get_volume(copy.id).size == 2, WAIT, "it has grown")
        storage.delete_snapshot(snapshot)
        storage.wait_for_delete(snapshot, wait=WAIT)
        for one in (copy, volume):
            stacks.wait_for(
                lambda one=one: storage.get_volume(one.id).status == "available", WAIT, f"{one.id} is available"
            )
            storage.delete_volume(one)
            storage.wait_for_delete(one, wait=WAIT)
    finally:
        connection.close()
