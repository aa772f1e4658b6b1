"""How LVM's commands are run, what their words mean, and what the privileged half refuses."""

from __future__ import annotations

import subprocess

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite import privileged
from cinder_lite.drivers import base, lvm_errors
from cinder_lite.privileged import blocks
from cinder_lite.privileged import lvm as commands
from lite_common import errors

GIB = base.GIB
NAME = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ('Volume group "vg" not found\n  Cannot process volume group vg', errors.Unavailable, "no volume group vg"),
        ('Volume group "vg" has insufficient free space (1 extents): 2 required.', errors.BackendError, "room"),
        ("Insufficient suitable allocatable extents for logical volume x", errors.BackendError, "vgextend"),
        ("Logical volume vg/volume-1 in use.", cinder_errors.DeviceIsBusy, "open on this host"),
        ("Logical volume vg/volume-1 is used by another device.", cinder_errors.DeviceIsBusy, "open on this host"),
        ('Logical Volume "volume-1" already exists in volume group "vg"', errors.BackendError, "Rename"),
        ("/dev/mapper/control: open failed: No such device", errors.Unavailable, "dm_mod"),
        ("thin-pool: Required device-mapper target(s) not detected in your kernel.", errors.Unavailable, "dm_thin"),
        ("Couldn't find device with uuid Q.", errors.Unavailable, "disk of volume group vg is missing"),
        ("Can't get lock for vg", errors.Unavailable, "lock"),
        ("Cannot create new thin volume, free space in thin pool vg/vg-pool reached threshold.", errors.BackendError,
         "thin pool vg/vg-pool is full"),
        ("Multiple VGs found with the same name: skipping vg", errors.Unavailable, "vgrename"),
        ("lvm cannot be run: No such file or directory", errors.Unavailable, "Install the packages lvm2"),
        ("/dev/vg/volume-1: not found: device not cleared", errors.BackendError, "udevd"),
        ("WARNING: Running as a non-root user.\n  Permission denied", errors.BackendError, "run_as"),
        ("Cannot frobnicate.\n  Twice.", errors.BackendError, r"lvcreate said: Cannot frobnicate\. Twice\."),
        ("", errors.BackendError, "exit code 5"),
    ],
)  # fmt: skip
def test_what_lvm_says_means(words: str, error: type[errors.LiteError], text: str) -> None:
    failed = commands.CommandFailed("lvcreate", 5, words)
    with pytest.raises(error, match=rf"^Backend gold failed at creating it: .*{text}") as caught:
        with lvm_errors.naming("gold", "vg", "creating it"):
            raise failed
    assert type(caught.value) is error


def test_a_command_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMAND_TIMEOUT", 0.3)
    monkeypatch.setattr(commands, "STOP_TIMEOUT", 0.3)
    with pytest.raises(errors.Timeout, match="sleep was stopped after 0 s"):
        with lvm_errors.naming("gold", "vg", "waiting"):
            commands._run("sleep", "60")
    with pytest.raises(commands.CommandFailed):
        commands._run("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")


def test_commands_run_in_english_and_tell_what_they_said() -> None:
    assert commands._run("sh", "-c", "echo $LC_ALL") == "C\n"
    with pytest.raises(commands.CommandFailed, match="words") as caught:
        commands._run("sh", "-c", "echo words >&2; exit 5")
    assert (caught.value.code, caught.value.words) == (5, "words")
    with pytest.raises(commands.CommandFailed, match="no-such-program cannot be run: No such file"):
        commands._run("no-such-program")


def test_the_filter_keeps_the_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    commands._config.cache_clear()
    monkeypatch.setattr(commands, "_run", lambda *_: 'global_filter=["r|^/dev/sd.*|","a|.*|"]\n')
    try:
        settings = commands._config()
    finally:
        commands._config.cache_clear()
    ours, first, second = settings.partition("[ ")[2].partition(" ]")[0].split(",")
    assert ours.startswith('"r|^/dev/disk/by-path/.*-iscsi-')
    assert (first, second) == ('"r|^/dev/sd.*|"', '"a|.*|"')


@pytest.mark.parametrize(
    "work",
    [
        lambda: commands.remove("debian", "root"),
        lambda: commands.remove("vg", "volume-/../../sda"),
        lambda: commands.remove("vg", "volume-1 --config x"),
        lambda: commands.remove("-vg", "volume-1"),
        lambda: commands.extend("vg", "vg-pool", GIB),
        lambda: commands.extend_onto("vg", "volume-1", GIB, "root"),
        lambda: commands.create_thick("a b", NAME, GIB),
        lambda: commands.create_pool("../vg"),
        lambda: commands.group("."),
        lambda: commands.volumes("vg", "volume-1 || lv_size>0"),
        lambda: commands.tag("vg", NAME, "@backup", True),
        lambda: commands.snapshot("vg", "_snapshot-1", "root", True, f"{commands.SIZE}1"),
        lambda: blocks.zero("..", "volume-1", 0, 512),
        lambda: blocks.zero("vg", "root", 0, 512),
        lambda: blocks.copy("vg", "root", NAME, 0, 512),
        lambda: blocks.users("vg", "root"),
    ],
)
def test_the_privileged_half_touches_our_volumes_only(work: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("something was run or opened")

    privileged.sys_admin.set_client_mode(False)
    commands._config.cache_clear()
    monkeypatch.setattr(subprocess, "Popen", never)
    monkeypatch.setattr(commands, "_config", lambda: "")
    monkeypatch.setattr(blocks.os, "open", never)
    try:
        with pytest.raises(commands.CommandFailed, match=r"cannot be the name|none of the tags"):
            work()  # type: ignore[operator]
    finally:
        privileged.sys_admin.set_client_mode(True)
