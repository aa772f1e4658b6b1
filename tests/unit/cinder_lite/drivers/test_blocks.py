"""Copying and zeroing of ranges, on files that stand in for devices; who has one open."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cinder_lite import errors as cinder_errors
from cinder_lite import privileged
from cinder_lite.privileged import blocks, lvm
from lite_common import errors

BLOCK = 4096


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose files are the devices; the kernel's zeroing call, which files do not have, is played."""

    def zero(descriptor: int, offset: int, length: int) -> None:
        os.pwrite(descriptor, bytes(length), offset)

    monkeypatch.setattr(lvm, "device", lambda vg, name: str(tmp_path / name))
    monkeypatch.setattr(blocks, "_zero", zero)
    monkeypatch.setattr(blocks, "_BLOCK", BLOCK)
    monkeypatch.setattr(blocks, "_ZEROS", bytes(BLOCK))
    # Not every file system of a test machine has it.
    monkeypatch.setattr(blocks.os, "O_DIRECT", 0)
    monkeypatch.setattr(privileged.sys_admin, "client_mode", False)
    return tmp_path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.lists(st.sampled_from([b"\0", b"x", b"y"]), min_size=1, max_size=12),
    first=st.integers(0, 11),
    count=st.integers(1, 12),
)
def test_a_copied_range_is_equal_and_the_rest_untouched(
    devices: Path, layout: list[bytes], first: int, count: int
) -> None:
    source = b"".join(byte * BLOCK for byte in layout)
    before = b"o" * len(source)
    (devices / "source").write_bytes(source)
    (devices / "target").write_bytes(before)
    offset, length = first * BLOCK, count * BLOCK
    if offset + length > len(source):
        with pytest.raises(errors.BackendError, match="source ends at"):
            blocks.copy("vg", "source", "target", offset, length)
        return
    blocks.copy("vg", "source", "target", offset, length)
    expected = before[:offset] + source[offset : offset + length] + before[offset + length :]
    assert (devices / "target").read_bytes() == expected


def test_a_block_with_one_byte_is_no_block_of_zeros(devices: Path) -> None:
    source = bytearray(3 * BLOCK)
    source[2 * BLOCK - 1] = 1
    (devices / "source").write_bytes(source)
    (devices / "target").write_bytes(b"o" * len(source))
    blocks.copy("vg", "source", "target", 0, len(source))
    assert (devices / "target").read_bytes() == source


def test_a_range_reads_as_zeros_and_its_neighbours_as_before(devices: Path) -> None:
    (devices / "volume-1").write_bytes(b"x" * 4 * BLOCK)
    blocks.zero("vg", "volume-1", BLOCK, 2 * BLOCK)
    assert (devices / "volume-1").read_bytes() == b"x" * BLOCK + bytes(2 * BLOCK) + b"x" * BLOCK
    assert blocks.size("vg", "volume-1") == 4 * BLOCK


@pytest.mark.parametrize("length", [0, -1, blocks.PIECE + 1])
def test_a_piece_has_a_limit(devices: Path, length: int) -> None:
    with pytest.raises(errors.BackendError, match="are not between"):
        blocks.zero("vg", "volume-1", 0, length)


def test_ranges_are_of_whole_sectors() -> None:
    with pytest.raises(errors.BackendError, match="whole sectors"):
        blocks._zero(0, 1, 512)


def test_a_device_that_is_not_there_or_in_use_is_named(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.BackendError, match=r"volume-9 cannot be opened: No such file.*udevd"):
        blocks.size("vg", "volume-9")

    def taken(*_: object) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(blocks.os, "open", taken)
    with pytest.raises(cinder_errors.DeviceIsBusy, match="volume-9 is in use"):
        blocks.zero("vg", "volume-9", 0, 512)


def test_a_failing_disk_is_named(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (devices / "volume-1").write_bytes(bytes(BLOCK))

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(blocks, "_zero", broken)
    with pytest.raises(errors.BackendError, match=r"volume-1 failed: Input/output error.*kernel's log"):
        blocks.zero("vg", "volume-1", 0, BLOCK)


def test_programs_that_have_a_device_open_are_named(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A character device of the machine stands in for the block device."""
    monkeypatch.setattr(lvm, "device", lambda vg, name: "/dev/zero")
    monkeypatch.setattr(blocks.stat, "S_ISBLK", stat.S_ISCHR)
    with open("/dev/zero", "rb"):
        assert any(f"(pid {os.getpid()})" in one for one in blocks.users("vg", "volume-1"))
    monkeypatch.setattr(lvm, "device", lambda vg, name: str(devices / "gone"))
    assert blocks.users("vg", "volume-1") == []
