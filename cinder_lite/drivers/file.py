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
from collections.abc import Callable, Collection, Iterator

from cinder_lite.drivers import base, copying
from lite_common import errors

LOG = logging.getLogger(__name__)

_UNFINISHED = ".new-"
_SNAPSHOT = "snapshot-"


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
        wanted = size_gb * base.GIB
        with self._naming(f"creating volume {name} of {size_gb} GiB"):
            self._ensure(name, wanted, lambda descriptor: os.ftruncate(descriptor, wanted))

    def delete_volume(self, name: str) -> None:
        """Ensure that the file is gone; its bytes cannot come back in another volume."""
        self._delete(name)

    def extend_volume(self, name: str, size_gb: int) -> None:
        """Ensure that the file is so long; what is added is a hole."""
        wanted = size_gb * base.GIB
        with self._naming(f"extending volume {name} to {size_gb} GiB"), self._opened(name, os.O_RDWR) as descriptor:
            found = os.fstat(descriptor).st_size
            base.refuse_smaller(name, wanted, "what is there", found)
            if found < wanted:
                os.ftruncate(descriptor, wanted)
                os.fsync(descriptor)

    def create_snapshot(self, snapshot: str, volume: str) -> None:
        """Ensure a second file: a clone that shares its blocks where the file system can, else a sparse copy.

        Without clones a volume that is written to meanwhile is not caught at one moment.
        """
        with self._naming(f"creating {snapshot} of {volume}"), self._opened(volume) as source:
            self._ensure(snapshot, None, lambda target: copying.copy_file(source, target))

    def delete_snapshot(self, snapshot: str) -> None:
        """Ensure that the file is gone. It shares nothing that other files lose."""
        self._delete(snapshot)

    def create_volume_from_snapshot(self, name: str, size_gb: int, snapshot: str) -> None:
        """Ensure a file that is a copy of the snapshot's, and longer where asked."""
        self._copy(name, size_gb * base.GIB, snapshot)

    def create_cloned_volume(self, name: str, size_gb: int, source: str) -> None:
        """Ensure a file that is a copy of the source's, and longer where asked."""
        self._copy(name, size_gb * base.GIB, source)

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the files' lengths."""
        with self._naming("looking at volumes"):
            found = {name: self._size(self.local_path(name)) for name in names}
        return {name: size for name, size in found.items() if size is not None}

    def local_path(self, name: str) -> str:
        """Return the file's path."""
        return os.path.join(self.directory, base.checked_name(name))

    def measure(self) -> base.Usage:
        """Return the file system's capacity and the sum of the files' sizes."""
        with self._naming("measuring the backend"):
            space = os.statvfs(self.directory)
            sizes = {entry.name: entry.stat().st_size for entry in self._files()}
        return base.Usage(
            total=space.f_blocks * space.f_frsize / base.GIB,
            free=space.f_bavail * space.f_frsize / base.GIB,
            provisioned=sum(sizes.values()) / base.GIB,
            volumes=sum(not name.startswith(_SNAPSHOT) for name in sizes),
        )

    def location(self) -> str:
        """Return host and directory."""
        return f"FileDriver:{socket.gethostname()}:{self.directory}"

    def _files(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    yield entry

    def _delete(self, name: str) -> None:
        with self._naming(f"deleting {name}"), contextlib.suppress(FileNotFoundError):
            os.unlink(self.local_path(name))
            self._sync_directory()

    def _copy(self, name: str, wanted: int, source_name: str) -> None:
        with self._naming(f"creating volume {name} from {source_name}"), self._opened(source_name) as source:
            base.refuse_smaller(name, wanted, source_name, os.fstat(source).st_size)

            def fill(target: int) -> None:
                copying.copy_file(source, target)
                os.ftruncate(target, wanted)

            self._ensure(name, wanted, fill)

    def _ensure(self, name: str, wanted: int | None, fill: Callable[[int], None]) -> None:
        """Have a file of that name made by `fill`, unless it is there with the wanted size."""
        path = self.local_path(name)
        found = self._size(path)
        if found is None:
            self._make(path, fill)
        elif wanted not in (None, found):
            raise errors.BackendError(
                f"{path} exists with {found} bytes where volume {name} needs {wanted}. "
                "Move it away, then create the volume again."
            )

    def _make(self, path: str, fill: Callable[[int], None]) -> None:
        # mkstemp creates with mode 0600.
        descriptor, unfinished = tempfile.mkstemp(dir=self.directory, prefix=_UNFINISHED)
        try:
            try:
                fill(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(unfinished, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
            raise
        self._sync_directory()

    @contextlib.contextmanager
    def _opened(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        path = self.local_path(name)
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            raise errors.BackendError(
                f"There is no {path} on backend {self.pool.name}. If its file system is mounted, {name} is lost."
            ) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

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
