"""What is really there of a backend's exports: cinder-volume's side of what `nlite doctor` compares.

Reads only: no lock is taken and nothing is changed, so a look never waits for work and never disturbs it. A part that
does not answer (a dead target daemon, a lost file system) is named in the answer, and the rest is told all the same.
Secrets are never told, only whether there is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from cinder_lite.db import sides
from cinder_lite.targets import base as targets
from cinder_lite.volume.backend import Backend, volume_name
from lite_common import errors

_PREFIX = "volume-"
TARGET, STORAGE = "target", "storage"


def inspect_exports(backend: Backend, volume_ids: Sequence[str] | None, *, strays: bool = False) -> dict[str, Any]:
    """{"exports": by volume id, "strays": [...], "unseen": [...]} of these volumes (None: all) of the backend.

    With `strays` it is told which exports belong to no volume at all. "unseen" has a reason for each of target and
    storage that could not be looked at; what it would have told is None then.
    """
    unseen: list[dict[str, str]] = []
    if volume_ids is None:
        with backend.database.connection() as conn:
            volume_ids = sides.on_backend(conn, backend.name)
    names = [volume_name(one) for one in volume_ids]
    shown: dict[str, targets.Shown] | None = None
    sizes: dict[str, int] | None = None
    left_over: list[str] = []
    with _looking(TARGET, unseen):
        shown = backend.target.shown(names)
        left_over = _strays(backend) if strays else []
    with _looking(STORAGE, unseen):
        sizes = backend.driver.sizes(names)
    return {
        "exports": {
            one: {
                "iqn": backend.target.iqn(name),
                "busy": backend.locks.held(one),
                "target": _target(backend, shown.get(name)) if shown is not None else None,
                "bytes": _bytes(backend, name, sizes.get(name)) if sizes is not None else None,
            }
            for one, name in zip(volume_ids, names, strict=True)
        },
        "strays": left_over,
        "unseen": unseen,
    }


def _target(backend: Backend, found: targets.Shown | None) -> dict[str, Any]:
    if found is None:
        return {"present": False, "portals": list(backend.target.portals)}
    return {
        "present": True,
        "portals": list(backend.target.portals),
        "lun": backend.target.lun if found.path is not None else None,
        "path": found.path,
        "chap": found.chap,
        "initiators": sorted(found.initiators),
        "sessions": [{"initiator": one.initiator, "address": one.address} for one in found.sessions],
    }


def _bytes(backend: Backend, name: str, size: int | None) -> dict[str, Any]:
    return {"path": backend.driver.local_path(name), "size": size}


def _strays(backend: Backend) -> list[str]:
    """Ids of volumes that are exported and do not exist."""
    exported = {name.removeprefix(_PREFIX) for name in backend.target.exported() if name.startswith(_PREFIX)}
    with backend.database.connection() as conn:
        return sorted(exported - sides.existing(conn, sorted(exported)))


@contextlib.contextmanager
def _looking(side: str, unseen: list[dict[str, str]]) -> Iterator[None]:
    try:
        yield
    except errors.LiteError as err:
        unseen.append({"side": side, "reason": err.message})
