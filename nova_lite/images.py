"""The images servers boot from: files in one directory, read anew when anything in it changes.

An image is either described by `<anything>.json`, which names a kernel, a ramdisk and a command line, or a disk, beside
it; or it is a disk alone (`*.qcow2`, `*.raw`, `*.img`), called after its file. The API lists and shows images and puts
the id of one into a server's row; nova-compute asks here for the files of that id.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import pathlib
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from lite_common import errors, times

LOG = logging.getLogger(__name__)

# Ids of disks without a description are derived from the file name in this namespace, so they survive restarts.
NAMESPACE = uuid.UUID("8d1c7a52-3f5e-4a55-9d53-6a0c6f1b4f7e")
DISK_FORMATS = {".qcow2": "qcow2", ".raw": "raw", ".img": "raw"}
# What a description may say, by type; other members are for others.
MEMBERS: dict[tuple[str, ...], type] = {
    ("id", "name", "kernel", "ramdisk", "cmdline", "disk", "disk_format", "created_at"): str,
    ("min_ram", "min_disk"): int,
}


@dataclass(frozen=True, slots=True)
class Image:
    """An image: `min_ram` in MiB, `min_disk` in GB, `size` in bytes over all its files, paths absolute.

    It has a kernel, or a disk of `disk_format` (raw or qcow2), or both.
    """

    id: str
    name: str
    size: int
    created_at: datetime.datetime
    updated_at: datetime.datetime
    min_ram: int = 0
    min_disk: int = 0
    kernel: str | None = None
    ramdisk: str | None = None
    cmdline: str | None = None
    disk: str | None = None
    disk_format: str = "raw"


class ImageStore:
    """The images of one directory. Safe for use by many threads."""

    def __init__(self, directory: str) -> None:
        self._directory = pathlib.Path(directory)
        self._lock = threading.Lock()
        self._seen: object = None
        self._images: dict[str, Image] = {}

    def all(self) -> list[Image]:
        """Every image, newest first; empty when the directory does not exist."""
        return list(self._read().values())

    def get(self, image_id: str) -> Image:
        """The image with this id. Raises errors.NotFound."""
        image = self._read().get(image_id.lower())
        if image is None:
            raise errors.NotFound(f"Image {image_id} could not be found.")
        return image

    def _read(self) -> dict[str, Image]:
        with self._lock:
            files = self._files()
            # Names with times and sizes: editing a description in place does not change the directory's own time.
            seen = {name: (stat.st_mtime_ns, stat.st_size) for name, stat in files.items()}
            if seen != self._seen:
                self._images = self._load(files)
                self._seen = seen
            return self._images

    def _files(self) -> dict[str, os.stat_result]:
        found: dict[str, os.stat_result] = {}
        # The directory may be missing, and a file may go between its listing and the look at it.
        with contextlib.suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file():
                        found[entry.name] = entry.stat()
        return found

    def _load(self, files: dict[str, os.stat_result]) -> dict[str, Image]:
        images: list[Image] = []
        described: set[str] = set()
        for name in sorted(files):
            if name.endswith(".json"):
                try:
                    image = self._described(name)
                except (OSError, ValueError) as err:
                    LOG.warning("image description %s is left out: %s", self._directory / name, err)
                    continue
                images.append(image)
                described.update(path for path in (image.kernel, image.ramdisk, image.disk) if path)
        for name, stat in sorted(files.items()):
            path = str(self._directory / name)
            suffix = pathlib.Path(name).suffix
            if suffix in DISK_FORMATS and path not in described and not name.startswith("."):
                images.append(_plain(path, suffix, stat))
        by_id: dict[str, Image] = {}
        for image in sorted(images, key=lambda image: (image.created_at, image.id), reverse=True):
            if image.id in by_id:
                LOG.warning("two images have the id %s; %s is left out", image.id, image.name)
                continue
            by_id[image.id] = image
        return by_id

    def _described(self, name: str) -> Image:
        """The image that a description tells of. Raises ValueError or OSError, each saying what is wrong."""
        told = json.loads((self._directory / name).read_text(encoding="utf-8"))
        _check(told)
        paths = {part: self._path(told, part) for part in ("kernel", "ramdisk", "disk")}
        if not paths["kernel"] and not paths["disk"]:
            raise ValueError("it names neither a kernel nor a disk")
        stats = [os.stat(path) for path in paths.values() if path]
        updated = max(stat.st_mtime for stat in stats)
        stem = pathlib.Path(name).stem
        return Image(
            id=str(uuid.UUID(told["id"])) if told.get("id") else str(uuid.uuid5(NAMESPACE, stem)),
            name=told.get("name") or stem,
            size=sum(stat.st_size for stat in stats),
            created_at=_moment(told.get("created_at"), updated),
            updated_at=_moment(None, updated),
            min_ram=told.get("min_ram") or 0,
            min_disk=told.get("min_disk") or 0,
            cmdline=told.get("cmdline"),
            disk_format=_disk_format(told, paths["disk"]),
            **paths,
        )

    def _path(self, told: dict[str, Any], part: str) -> str | None:
        name = told.get(part)
        return str(self._directory / name) if name else None


def _check(told: Any) -> None:
    """Raises ValueError for a description that is not an object or has a member of the wrong type."""
    if not isinstance(told, dict):
        raise ValueError("it is not a JSON object")
    for members, kind in MEMBERS.items():
        for name in members:
            value = told.get(name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise ValueError(f"{name} is {value!r}, which is no {kind.__name__}")
            if (value == "" and name != "cmdline") or (isinstance(value, int) and value < 0):
                raise ValueError(f"{name} is {value!r}")


def _plain(path: str, suffix: str, stat: os.stat_result) -> Image:
    file = pathlib.Path(path)
    moment = _moment(None, stat.st_mtime)
    return Image(
        id=str(uuid.uuid5(NAMESPACE, file.name)),
        name=file.stem,
        size=stat.st_size,
        created_at=moment,
        updated_at=moment,
        disk=path,
        disk_format=DISK_FORMATS[suffix],
    )


def _disk_format(told: dict[str, Any], disk: str | None) -> str:
    """What is told, else what the file's name says. Raises ValueError for a format that guests are not given."""
    chosen = told.get("disk_format") or DISK_FORMATS.get(pathlib.Path(disk or "").suffix, "raw")
    if chosen not in DISK_FORMATS.values():
        raise ValueError(f"disk_format is {chosen}, it may be raw or qcow2")
    return str(chosen)


def _moment(text: str | None, fallback: float) -> datetime.datetime:
    """A time in UTC without a zone: the ISO 8601 text, or seconds since 1970. Raises ValueError for other texts."""
    if text is not None:
        return times.read(text)
    return datetime.datetime.fromtimestamp(fallback, datetime.UTC).replace(tzinfo=None)
