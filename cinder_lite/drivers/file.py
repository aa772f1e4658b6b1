"""Volumes as raw sparse files in one directory: needs nothing of the kernel, so it works on any machine.

A file appears under its final name only when it is whole (temporary name, fsync, rename), so whatever is found
under that name after a crash is a volume.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import tempfile
from collections.abc import Iterator

from cinder_lite.drivers import base
from lite_common import errors

LOG = logging.getLogger(__name__)

_UNFINISHED = ".new-"


class FileDriver(base.VolumeDriver):
    """Keeps each volume in `directory`/<name>, mode 0600, thin."""

    def __init__(self, pool: base.Pool, directory: str) -> None:
        super().__init__(pool)
        self.directory = os.path.abspath(directory)

    def check_for_setup_error(self) -> None:
        """Make the directory (0700) and remove what a killed create left in it."""
        with self._naming("setting up the backend"):
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            for entry in os.scandir(self.directory):
                if entry.name.startswith(_UNFINISHED):
                    LOG.info("removing %s, left by an unfinished create", entry.path)
                    os.unlink(entry.path)
            with tempfile.TemporaryFile(dir=self.directory, prefix=_UNFINISHED):
                pass

    def create_volume(self, name: str, size_gb: int) -> None:
        """Ensure the file. Raises errors.BackendError when one of another size stands in its place."""
        path, wanted = self.local_path(name), size_gb * base.GIB
        with self._naming(f"creating volume {name} of {size_gb} GiB"):
            found = self._size(path)
            if found is None:
                self._make(path, wanted)
            elif found != wanted:
                raise errors.BackendError(
                    f"{path} exists with {found} bytes where volume {name} needs {wanted}. "
                    "Move it away, then create the volume again."
                )

    def delete_volume(self, name: str) -> None:
        """Ensure that the file is gone; its bytes cannot come back in another volume."""
        with self._naming(f"deleting volume {name}"), contextlib.suppress(FileNotFoundError):
            os.unlink(self.local_path(name))
            self._sync_directory()

    def local_path(self, name: str) -> str:
        """Return the file's path."""
        return os.path.join(self.directory, base.checked_name(name))

    def measure(self) -> base.Usage:
        """Return the file system's capacity and the sum of the files' sizes."""
        with self._naming("measuring the backend"):
            space = os.statvfs(self.directory)
            sizes = [entry.stat().st_size for entry in self._volumes()]
        return base.Usage(
            total=space.f_blocks * space.f_frsize / base.GIB,
            free=space.f_bavail * space.f_frsize / base.GIB,
            provisioned=sum(sizes) / base.GIB,
            volumes=len(sizes),
        )

    def location(self) -> str:
        """Return host and directory."""
        return f"FileDriver:{socket.gethostname()}:{self.directory}"

    def _volumes(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    yield entry

    def _make(self, path: str, size: int) -> None:
        # mkstemp creates with mode 0600.
        descriptor, unfinished = tempfile.mkstemp(dir=self.directory, prefix=_UNFINISHED)
        try:
            try:
                os.ftruncate(descriptor, size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(unfinished, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
            raise
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _size(path: str) -> int | None:
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            advice = {
                errno.ENOSPC: "Make room in the file system or delete volumes.",
                errno.EACCES: "Check owner and mode of the directory.",
                errno.EFBIG: "The file system cannot hold a file of this size; ask for a smaller volume.",
                errno.ENOENT: "Check that the directory exists and its file system is mounted.",
            }.get(err.errno or 0, "Check the directory and its file system.")
            raise errors.BackendError(
                f"Backend {self.pool.name} failed at {what} in {self.directory}: {err.strerror}. {advice}"
            ) from err
