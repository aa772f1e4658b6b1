"""Exports as desired state: present while somebody uses the volume, absent otherwise, whatever happened meanwhile.

`ensure` and `drop` serve one volume, under its lock. `restore` compares the database with the target for all
volumes: at the daemon's start, and again whenever the target daemon was started anew.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cinder_lite import states
from cinder_lite.db import attachments, volumes
from cinder_lite.db import exports as rows
from cinder_lite.targets import base as targets
from cinder_lite.volume.backend import Backend, volume_name
from lite_common import context, errors, trace

LOG = logging.getLogger(__name__)

# A volume in one of these belongs to somebody who may be between two steps, so its export is left as it is found.
IN_MOTION = frozenset({states.ATTACHING, states.DETACHING})
ATTACHED_STATES = frozenset({states.IN_USE, states.DETACHING})


@dataclass(frozen=True)
class Export:
    """An export that is there. `changed` are the volume's columns that do not yet say so."""

    location: str
    provider_auth: str
    changed: Mapping[str, str]


def ensure(backend: Backend, volume: volumes.Volume) -> Export:
    """Ensure the volume's export. Its login is made at the first one and kept for the volume's life."""
    auth = targets.Auth.parse(volume.provider_auth) if volume.provider_auth else targets.Auth.generate()
    name = volume_name(volume.id)
    with trace.step("create_export", volume=volume.id):
        location = backend.target.ensure_export(name, backend.driver.ensure_path(name), auth, volume.provider_location)
    now = {"provider_location": location, "provider_auth": auth.provider_auth()}
    before = {"provider_location": volume.provider_location, "provider_auth": volume.provider_auth}
    return Export(location, now["provider_auth"], {} if now == before else now)


def connection(
    backend: Backend, volume: volumes.Volume, export: Export, connector: Mapping[str, Any], mode: str
) -> dict[str, Any]:
    """{"driver_volume_type", "data"} for that connector, with the keys that Cinder adds to a driver's."""
    info = backend.target.connection_properties(export.location, export.provider_auth, volume.id, connector)
    info["data"] |= {
        "qos_specs": None,
        "access_mode": mode,
        "encrypted": volume.encryption_key_id is not None,
        "cacheable": False,
        "enforce_multipath": bool(connector.get("enforce_multipath", False)),
    }
    return info


def grant(backend: Backend, volume: volumes.Volume, export: Export, connector: Mapping[str, Any]) -> None:
    """Ensure that the connector's host may log in to the export."""
    auth = targets.Auth.parse(export.provider_auth)
    with trace.step("grant_access", volume=volume.id):
        backend.target.initialize_connection(volume_name(volume.id), auth, connector)


def withdraw(backend: Backend, volume_id: str, connector: Mapping[str, Any]) -> None:
    """Ensure that the connector's host may log in no more. Raises errors.VolumeIsBusy while it is logged in."""
    if not connector.get("initiator"):
        # Nobody was granted anything under no name; the export's end ends all access.
        return
    with trace.step("withdraw_access", volume=volume_id):
        backend.target.terminate_connection(volume_name(volume_id), connector)


def may_be_on(attachment: attachments.Attachment, connector: Mapping[str, Any]) -> bool:
    """Whether the attachment may be on the connector's host: one of the older flow tells a host's name at best."""
    if attachment.connector is not None:
        return attachment.connector.get("initiator") == connector.get("initiator")
    return attachment.attached_host in (None, connector.get("host"))


def drop(backend: Backend, volume: volumes.Volume) -> None:
    """Ensure that the volume is not exported. Raises errors.VolumeIsBusy while an initiator is logged in."""
    with trace.step("remove_export", volume=volume.id):
        backend.target.remove_export(volume_name(volume.id), volume.provider_location)


def undo(backend: Backend, found: rows.Exported, connector: Mapping[str, Any]) -> None:
    """Take back what a failed attach of that host made, as far as nobody else uses it; a failure here is only
    logged, because the cause of the first one is what the caller must hear."""
    users = found.users()
    try:
        if not users:
            drop(backend, found.volume)
        elif not any(may_be_on(one, connector) for one in users):
            withdraw(backend, found.volume.id, connector)
    except errors.LiteError as err:
        LOG.warning("the unused export of volume %s stays until it is next looked at: %s", found.volume.id, err)


def restore(backend: Backend, ctx: context.RequestContext) -> None:
    """Make the target hold every export that is needed, and none that nobody asks for.

    Sessions are not disturbed. A volume that is attached but cannot be exported goes to `error`. Raises
    errors.Unavailable when the target daemon is down.
    """
    with backend.database.connection() as conn:
        found = rows.on_backend(conn, backend.name)
    needed = [one for one in found if _is_needed(one)]
    outcome = backend.target.ensure_all([_wanted(backend, one) for one in needed])
    for one in needed:
        _note(backend, one.volume, outcome[volume_name(one.volume.id)])
    for name in unneeded(backend):
        drop_unneeded(backend, name)
    LOG.info("%s: %d volumes, %d exports in place", backend.name, len(found), len(needed))


def restore_one(backend: Backend, found: rows.Exported) -> None:
    """The same for one volume whose export is needed; the caller holds its lock. Raises what the target raises."""
    outcome = backend.target.ensure_all([_wanted(backend, found)])[volume_name(found.volume.id)]
    if isinstance(outcome, errors.LiteError):
        raise outcome
    _note(backend, found.volume, outcome)


def is_needed(found: rows.Exported) -> bool:
    """Whether somebody uses the volume, so that its export must be there."""
    return _is_needed(found)


def is_wanted(found: rows.Exported) -> bool:
    """Whether somebody uses the volume or is about to, so that an export may be there."""
    return _may_be_needed(found)


def unneeded(backend: Backend) -> set[str]:
    """The names of the volumes that are exported though no row asks for it."""
    exported = backend.target.exported()
    with backend.database.connection() as conn:
        found = rows.of_volumes(conn, {name.removeprefix("volume-") for name in exported})
    return exported - {volume_name(one.volume.id) for one in found if _may_be_needed(one)}


def drop_unneeded(backend: Backend, name: str) -> None:
    """Remove an export that no row asks for, left by a daemon that was killed; looked at again under the lock."""
    volume_id = name.removeprefix("volume-")
    with backend.locks.hold(volume_id, "restore_exports"):
        location = None
        with backend.database.connection() as conn, contextlib.suppress(errors.NotFound):
            found = rows.find(conn, volume_id)
            if _may_be_needed(found):
                return
            location = found.volume.provider_location
        LOG.warning("removing the export of volume %s, which nobody uses", volume_id)
        try:
            backend.target.remove_export(name, location)
        except (errors.Conflict, errors.BackendError) as err:
            # One that cannot be removed must not keep the backend from serving the others.
            LOG.warning("it is left: %s", err.message)


def _may_be_needed(found: rows.Exported) -> bool:
    return _is_needed(found) or found.volume.status in IN_MOTION


def _is_needed(found: rows.Exported) -> bool:
    return found.volume.provider_auth is not None and bool(found.users() or found.volume.status in ATTACHED_STATES)


def _wanted(backend: Backend, found: rows.Exported) -> targets.Export:
    volume, users = found.volume, found.users()
    name = volume_name(volume.id)
    known = [one.connector["initiator"] for one in users if one.connector is not None and "initiator" in one.connector]
    return targets.Export(
        name,
        _path(backend, name),
        targets.Auth.parse(volume.provider_auth or ""),
        volume.provider_location,
        initiators=frozenset(known),
        # Attachments of the older flow do not tell their host; nobody but the target knows it.
        recall=len(known) < max(1, len(users)),
    )


def _path(backend: Backend, name: str) -> str:
    """Where the volume is, ready to be opened; one that is lost must not keep the others from being exported."""
    try:
        return backend.driver.ensure_path(name)
    except errors.BackendError as err:
        LOG.error("%s", err.message)
        return backend.driver.local_path(name)


def _note(backend: Backend, volume: volumes.Volume, outcome: str | errors.LiteError) -> None:
    if isinstance(outcome, errors.Unavailable):
        raise outcome
    with backend.database.connection() as conn:
        if isinstance(outcome, errors.LiteError):
            LOG.error("the export of volume %s could not be restored: %s", volume.id, outcome.message)
            volumes.move(conn, "export_lost", volume.id)
        elif outcome != volume.provider_location:
            volumes.update(conn, volume.id, provider_location=outcome)
