"""Zero and copy our volumes, and tell who has one open. Only devices of volumes with our names are touched.

Both kinds of writing go past the page cache, so that a volume of many GiB does not push everything else out of memory
and is on the disk when the call returns. The caller cuts long work into pieces; one call does one piece.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from cinder_lite import errors as cinder_errors
from cinder_lite import privileged
from cinder_lite.privileged import lvm
from lite_common import errors

# linux/fs.h: _IO(0x12, 127). The device does it itself where it can, else the kernel writes zeros.
_BLKZEROOUT = 0x127F
_SECTOR = 512
_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
# More than this in one call could outlast its time limit on a slow disk.
PIECE = 1 << 28


@privileged.sys_admin.entrypoint
def zero(vg: str, name: str, offset: int, length: int) -> None:
    """Make a range of the volume read as zeros. Raises DeviceIsBusy when the volume is mounted or exported."""
    path, length = lvm.device(vg, name), _checked(length)
    with _opened(path, os.O_RDWR | os.O_EXCL) as descriptor, _naming(path):
        _zero(descriptor, offset, length)
        os.fsync(descriptor)


@privileged.sys_admin.entrypoint
def copy(vg: str, source: str, target: str, offset: int, length: int) -> None:
    """Copy a range from one volume to another; what is zero is not written but zeroed, which is often cheaper."""
    end = offset + _checked(length)
    source, target = lvm.device(vg, source), lvm.device(vg, target)
    with (
        mmap.mmap(-1, _BLOCK) as buffer,  # aligned as O_DIRECT wants it
        _opened(source, os.O_RDONLY | os.O_DIRECT) as reader,
        _opened(target, os.O_RDWR | os.O_DIRECT | os.O_EXCL) as writer,
    ):
        zeros_from = offset
        while offset < end:
            with memoryview(buffer)[: min(_BLOCK, end - offset)] as block, _naming(source):
                read = os.preadv(reader, [block], offset)
            if read <= 0:
                raise errors.BackendError(f"{source} ends at {offset} bytes; {end} were to be copied.")
            # As bytes, which are compared at the speed of memory; memoryviews are compared item by item.
            if buffer[:read] != _ZEROS[:read]:
                with memoryview(buffer)[:read] as block, _naming(target):
                    _zero(writer, zeros_from, offset - zeros_from)
                    _write(writer, block, offset)
                zeros_from = offset + read
            offset += read
        with _naming(target):
            _zero(writer, zeros_from, end - zeros_from)
            os.fsync(writer)


@privileged.sys_admin.entrypoint
def size(vg: str, name: str) -> int:
    """How many bytes the volume's device has now."""
    with _opened(lvm.device(vg, name), os.O_RDONLY) as descriptor:
        return os.lseek(descriptor, 0, os.SEEK_END)


@privileged.sys_admin.entrypoint
def users(vg: str, name: str) -> list[str]:
    """Who has the volume open, in words for people: programs, other devices, exports. Empty when nobody is found."""
    try:
        number = os.stat(lvm.device(vg, name)).st_rdev
    except FileNotFoundError:
        return []
    block = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    found = [f"device {holder.name}" for holder in _listed(block / "holders")]
    found += _exports(vg, name)
    return found + _programs(number)


def _programs(number: int) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(_is_device(descriptor, number) for descriptor in _listed(process / "fd")):
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
    return found


def _is_device(descriptor: Path, number: int) -> bool:
    with contextlib.suppress(OSError):
        status = os.stat(descriptor)
        return stat.S_ISBLK(status.st_mode) and status.st_rdev == number
    return False


def _exports(vg: str, name: str) -> list[str]:
    """Backstores of the kernel's target on this device; the kernel's own use shows nowhere else."""
    path = lvm.device(vg, name)
    found = []
    for backstore in Path("/sys/kernel/config/target/core").glob("*/*/udev_path"):
        with contextlib.suppress(OSError):
            if backstore.read_text().strip() == path:
                found.append(f"LIO backstore {backstore.parent.name}")
    return found


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _checked(length: int) -> int:
    if not 0 < length <= PIECE:
        raise errors.BackendError(f"{length} bytes are not between 1 and {PIECE}.")
    return length


def _zero(descriptor: int, offset: int, length: int) -> None:
    if offset % _SECTOR or length % _SECTOR:
        raise errors.BackendError(f"The range at {offset} of {length} bytes is not of whole sectors.")
    if length:
        fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))


def _write(descriptor: int, block: memoryview, offset: int) -> None:
    written = 0
    while written < len(block):
        with block[written:] as rest:
            written += os.pwritev(descriptor, [rest], offset + written)


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except OSError as err:
        if err.errno == errno.EBUSY:
            raise cinder_errors.DeviceIsBusy(f"{path} is in use on this host.") from err
        raise errors.BackendError(
            f"{path} cannot be opened: {err.strerror}. Check that udevd runs and that the volume is active (lvs)."
        ) from err
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise errors.BackendError(
            f"{path} failed: {err.strerror}. Look into the kernel's log and at the disks of the volume group."
        ) from err
