"""What a new volume begins with: nothing, a snapshot, or another volume; found and checked before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cinder_lite import errors, states
from cinder_lite.db import services, snapshots, types, volumes
from cinder_lite.volume.requests import CreateRequest


@dataclass(frozen=True)
class Source:
    """A snapshot or volume as the new volume needs to know it: `size` in GiB, `host` is where the bytes are."""

    kind: str
    size: int
    volume_type_id: str
    availability_zone: str | None
    host: str | None
    bootable: bool


def find(conn: Any, request: CreateRequest, project: str | None) -> Source | None:
    """The source that the request names; None for an empty volume.

    Raises errors.SnapshotNotFound, errors.VolumeNotFound, errors.InvalidSnapshot, errors.InvalidVolume in a state
    that forbids a copy, errors.InvalidInput when both are named.
    """
    if request.snapshot_id and request.source_volid:
        raise errors.InvalidInput(reason="May specify only one of snapshot or source volume.")
    if request.snapshot_id:
        return _snapshot(conn, snapshots.get(conn, request.snapshot_id, project))
    if request.source_volid:
        return _volume(volumes.get(conn, request.source_volid, project))
    return None


def check_size(source: Source, size: int) -> None:
    """Return when a volume of `size` GiB holds the source. Raises errors.InvalidInput."""
    if size < source.size:
        raise errors.InvalidInput(
            reason=f"Volume size '{size}'GB cannot be smaller than the {source.kind} size {source.size}GB. "
            f"They must be >= original {source.kind} size."
        )


def check_type(conn: Any, source: Source, wanted: types.VolumeType) -> None:
    """Return when a volume of the type may be where the source is. Raises errors.InvalidInput.

    Types that name the same backend, and all types where there is but one backend, may: nothing has to be moved.
    """
    if wanted.id == source.volume_type_id or len(services.listed(conn, binary="cinder-volume")) == 1:
        return
    of_source = types.find(conn, source.volume_type_id)
    name = "volume_backend_name"
    if of_source is None or of_source.extra_specs.get(name) != wanted.extra_specs.get(name):
        raise errors.InvalidInput(
            reason=f"Invalid volume_type provided: {wanted.name} (requested type is not compatible; either match "
            f"source {source.kind}, or omit type argument)."
        )


def check_zone(source: Source, asked: str | None) -> str | None:
    """The zone of a copy, which is its source's. Raises errors.InvalidInput when another one is asked for."""
    if asked is not None and source.availability_zone not in (None, asked):
        raise errors.InvalidInput(
            reason=f"Volume must be in the same availability zone as the {source.kind}: "
            f"{source.availability_zone}, not {asked}."
        )
    return source.availability_zone or asked


def _snapshot(conn: Any, found: snapshots.Snapshot) -> Source:
    if found.status != states.AVAILABLE:
        raise errors.InvalidSnapshot(
            reason=f"Originating snapshot status must be one of '{states.AVAILABLE}' values, but snapshot {found.id} "
            f"is {found.status}."
        )
    bootable = volumes.get(conn, found.volume_id).bootable
    return Source("snapshot", found.volume_size, found.volume_type_id, found.availability_zone, found.host, bootable)


def _volume(found: volumes.Volume) -> Source:
    if found.status not in (states.AVAILABLE, states.IN_USE):
        raise errors.InvalidVolume(
            reason=f"Source volume status must be available or in-use, but volume {found.id} is {found.status}."
        )
    if found.host is None:
        raise errors.InvalidVolume(reason=f"Source volume {found.id} has no backend.")
    return Source(
        "source volume", found.size, found.volume_type_id, found.availability_zone, found.host, found.bootable
    )
