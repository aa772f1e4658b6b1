"""`nlite doctor` on the real stack: things are broken with the tools of tgt and libvirt, behind everybody's back."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cinder_lite.volume import heal
from devstack import system as systems
from devstack.guest import console
from lite_common import db
from tests.fixtures.userspace import SETTLE_LIMIT, Stack, wait_for

AGREE, DISAGREE, NOT_ALL_SEEN = 0, 1, 2
LIMIT = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, guest_images: Path) -> Iterator[Stack]:
    """Give the stack with two booted guests."""
    made = Stack(tmp_path_factory.mktemp("stack"), guest_images)
    with contextlib.ExitStack() as undo:
        undo.callback(made.stop)
        made.start()
        yield made


@pytest.fixture
def attached(stack: Stack) -> Iterator[tuple[str, str]]:
    """Give a server with a volume that its guest can write to; afterwards the world is as it was."""
    stack.await_up()
    before = stack.world()
    server, volume = stack.guests[0], stack.create_volume()
    stack.attach(server, volume)
    guest_uses(stack, server, volume, "before")
    yield server, volume
    stack.await_up()
    stack.detach(server, volume)
    stack.delete_volume(volume)
    stack.await_world(before)


def doctor(stack: Stack, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what it told, of the program itself; nobody is in motion longer than a second here."""
    where = ["--compute-url", stack.system.compute_url, "--volume-url", stack.system.volume_url]
    argv = [sys.executable, "-m", "nova_lite.cli.main", *where, "doctor", "-f", "json", "--in-motion", "1", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    return done.returncode, json.loads(done.stdout or "{}")


def sick(stack: Stack, volume: str) -> set[str]:
    """The sides at which something is wrong."""
    code, told = doctor(stack, volume)
    found = {one["side"] for item in told["attachments"] for one in item["findings"]}
    assert code == (DISAGREE if found else AGREE), told
    return found


def ago(*, seconds: float) -> str:
    """A time of the databases."""
    return f"{db.utcnow() - datetime.timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"


def guest_uses(stack: Stack, server: str, volume: str, seed: str) -> None:
    """The guest writes, and the bytes arrive."""
    guest = stack.guest(server)
    guest.await_disk(volume)
    assert guest.write(volume, 1, seed) == console.pattern_sha256(seed, 1)
    assert console.file_sha256(stack.backing_file(volume), 1) == console.pattern_sha256(seed, 1)


def healed(stack: Stack, volume: str) -> list[str]:
    """What was done until all agreed; sessions come back by themselves, in their own time."""
    code, told = doctor(stack, volume, "--fix")
    if code != AGREE:
        wait_for(lambda: doctor(stack, volume)[0] == AGREE, SETTLE_LIMIT, f"all agree: {json.dumps(told)}")
    return [text for one in told["healed"] for text in one["done"]]


def test_all_sides_of_a_real_attachment(stack: Stack, attached: tuple[str, str]) -> None:
    server, volume = attached
    code, told = doctor(stack, server)
    (one,) = told["attachments"]
    assert (code, one["verdict"], one["not_seen"], one["findings"]) == (AGREE, "agree", [], [])
    row, export = one["sides"]["row"], one["sides"]["volume"]["export"]
    assert row["compute"]["power_state"] == "running"
    assert row["compute"]["live"]["alias"] == row["compute"]["stored"]["alias"] == f"ua-{volume}"
    assert export["iqn"] in row["compute"]["live"]["source"]
    assert export["target"]["path"] == export["bytes"]["path"] == str(stack.backing_file(volume))
    assert export["bytes"]["size"] == 1 << 30
    assert [one["initiator"] for one in export["target"]["sessions"]] == [row["compute"]["initiator"]]
    assert stack.chap_password(volume) not in json.dumps(told)


def test_a_target_that_was_removed_by_hand(stack: Stack, attached: tuple[str, str]) -> None:
    server, volume = attached
    iqn, target = next((iqn, one) for iqn, one in stack.targets().items() if iqn.endswith(volume))
    command = ["tgtadm", "--lld", "iscsi", "--op", "delete", "--force", "--mode", "target", "--tid", str(target.tid)]
    environment = os.environ | {"TGT_IPC_SOCKET": str(stack.system.tgtd.ipc_socket)}
    subprocess.run(command, env=environment, check=True, timeout=LIMIT)
    assert "target" in sick(stack, volume)
    assert any(iqn in text and "made again" in text for text in healed(stack, volume))
    guest_uses(stack, server, volume, "target-again")


@pytest.mark.parametrize(("part", "side"), [("--live", "live XML"), ("--config", "stored XML")])
def test_a_disk_that_was_detached_by_virsh(stack: Stack, attached: tuple[str, str], part: str, side: str) -> None:
    server, volume = attached
    stack.system.libvirtd.virsh("detach-disk", server, "vdb", part)
    which = 1 if part == "--live" else 2
    wait_for(lambda: volume not in stack.domains()[server][which], SETTLE_LIMIT, "the disk is out")
    assert side in sick(stack, volume)
    assert any("given back" in text for text in healed(stack, volume))
    assert stack.domains()[server][1:] == ([volume], [volume])
    guest_uses(stack, server, volume, f"again{part}")


def test_a_row_that_is_gone(stack: Stack, attached: tuple[str, str]) -> None:
    server, volume = attached
    statement = "UPDATE block_device_mapping SET deleted = id WHERE volume_id = :volume AND deleted = 0"
    with stack.engines["nova"].begin() as conn:
        conn.exec_driver_sql(statement.replace(":volume", f"'{volume}'"))
    assert "nova row" in sick(stack, volume)
    assert any("taken out of the guest" in text for text in healed(stack, volume))
    stack.await_volume(volume, "available")
    assert stack.domains()[server][1:] == ([], [])
    assert not [iqn for iqn in stack.targets() if iqn.endswith(volume)]
    stack.attach(server, volume)


def test_an_attachment_that_is_gone_under_a_guest(stack: Stack, attached: tuple[str, str]) -> None:
    server, volume = attached
    with stack.engines["cinder"].begin() as conn:
        conn.exec_driver_sql(f"UPDATE volume_attachment SET deleted = 1 WHERE volume_id = '{volume}'")
        conn.exec_driver_sql(
            f"UPDATE volumes SET status = 'available', attach_status = 'detached' WHERE id = '{volume}'"
        )
    assert "cinder attachment" in sick(stack, volume)
    assert any("put back" in text for text in healed(stack, volume))
    assert stack.status(volume) == "in-use"
    guest_uses(stack, server, volume, "claimed-again")


@pytest.mark.parametrize(("name", "service"), [(systems.COMPUTE, "nova-compute"), (systems.VOLUME, "cinder-volume")])
def test_a_daemon_that_was_killed(stack: Stack, attached: tuple[str, str], name: str, service: str) -> None:
    _, volume = attached
    stack.system.stop_daemon(name)
    try:
        code, told = doctor(stack, volume)
        assert code == NOT_ALL_SEEN
        assert {one["service"] for one in told["unseen"]} == {service}
    finally:
        stack.system.start_daemon(name)
    stack.await_up()
    assert sick(stack, volume) == set()


def test_libvirtd_that_does_not_answer(stack: Stack, attached: tuple[str, str]) -> None:
    _, volume = attached
    stack.system.libvirtd.freeze()
    try:
        code, told = doctor(stack, volume)
        assert code == NOT_ALL_SEEN
        assert {one["service"] for one in told["unseen"]} == {"nova-compute"}
        # What does not hang on it is told all the same.
        assert told["attachments"][0]["sides"]["volume"]["export"]["target"]["present"] is True
    finally:
        stack.system.libvirtd.thaw()
    wait_for(lambda: doctor(stack, volume)[0] == AGREE, SETTLE_LIMIT, "guests are seen again")


def test_what_waits_for_nobody_is_left_until_nobody_can_be_at_work(stack: Stack) -> None:
    volume = stack.create_volume()
    times = ", ".join(f"{name} = '{ago(seconds=5)}'" for name in ("created_at", "updated_at"))
    with stack.engines["cinder"].begin() as conn:
        # It was made a moment ago, too, and what is new counts as in motion.
        conn.exec_driver_sql(f"UPDATE volumes SET status = 'detaching', {times} WHERE id = '{volume}'")
    code, told = doctor(stack, volume, "--fix")
    # The row was written not long ago, so its daemon is careful for a while; see `heal.SETTLED_AFTER`.
    assert code == DISAGREE
    assert any(f"less than {heal.SETTLED_AFTER:.0f} s ago" in text for one in told["healed"] for text in one["left"])
    with stack.engines["cinder"].begin() as conn:
        conn.exec_driver_sql(f"UPDATE volumes SET updated_at = '2020-01-01 00:00:00' WHERE id = '{volume}'")
    assert any("corrected" in text for text in healed(stack, volume))
    stack.delete_volume(volume)
