"""Copy the bytes of a volume: by the file system's own cloning where it can, else only the ranges that hold data."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

# linux/fs.h: _IOW(0x94, 9, int)
_FICLONE = 0x40049409
_PIECE = 1 << 30


def copy_file(source: int, target: int) -> None:
    """Make the empty file `target` read as `source` does at this moment, holes included. Both are descriptors.

    A clone (XFS, btrfs) is atomic and takes no space; elsewhere the copy is as consistent as what is written to the
    source meanwhile lets it be. Raises OSError, ENOSPC for instance.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as err:
        if err.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS):
            raise
        size = os.fstat(source).st_size
        os.ftruncate(target, size)
        for start, end in _data(source, size):
            _copy_range(source, target, start, end)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges that were ever written."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as err:
            if err.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(source, target, min(_PIECE, end - start), start, start)
        if not copied:
            return  # the source became shorter
        start += copied
