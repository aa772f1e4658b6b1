"""The kernel's exports and the saved configuration kept in step, so that a reboot restores what was granted.

Every function is called under the lock of `lio_lock`. An export is saved once an initiator is let in: before that
nobody can reach it, and nothing is lost with it.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Sequence

from rtslib_fb import root as rtslib_root
from rtslib_fb import utils as rtslib_utils

from cinder_lite.privileged import lio_kernel, lio_portals
from cinder_lite.privileged.lio_records import Entry, Portal
from cinder_lite.privileged.lio_saved import SavedConfiguration
from lite_common import errors

LOG = logging.getLogger(__name__)


@functools.cache
def saved() -> SavedConfiguration:
    """The file from which rtslib's own tools restore."""
    return SavedConfiguration(rtslib_root.default_save_file)


def check(portals: Sequence[Portal]) -> None:
    """Return when targets can be saved and can listen on `portals`. Raises errors.LiteError that says what to do."""
    saved().check()
    for portal in portals:
        lio_portals.require(portal)


def ensure(wanted: Sequence[tuple[Entry, bool]]) -> list[str | None]:
    """Ensure these exports, and save them at once; the error of each, or None. With True beside an entry, the
    initiators that were let in before, as far as it is saved, are let in again."""
    known = saved().entries() if any(recall for _, recall in wanted) else {}
    outcome: list[str | None] = []
    granted = []
    for entry, recall in wanted:
        former = known.get(entry.iqn) if recall else None
        whole = entry
        if former is not None:
            whole = dataclasses.replace(entry, initiators=entry.initiators | former.initiators)
        elif recall and not entry.initiators:
            LOG.warning("which initiators had access to %s is not known; they are let in when they attach", entry.iqn)
        try:
            lio_kernel.ensure(whole)
            outcome.append(None)
            granted += [entry.iqn] if whole.initiators else []
        except errors.LiteError as err:
            outcome.append(err.message)
    try:
        _save(granted)
    except errors.LiteError as err:
        # They are in the kernel, and the database asks for them again after a reboot.
        LOG.warning("%s", err.message)
    return outcome


def grant(iqn: str, userid: str, password: str, initiator: str) -> None:
    """Let the initiator in, now and after a reboot. Raises errors.BackendError; nothing is granted then."""
    had_access = initiator in lio_kernel.initiators(iqn)
    lio_kernel.grant(iqn, userid, password, initiator)
    try:
        _save([iqn])
    except errors.LiteError:
        if not had_access:
            lio_kernel.withdraw(iqn, initiator)
        raise


def withdraw(iqn: str, initiator: str) -> lio_kernel.Sessions:
    """Let the initiator in no more; if it is logged in, nothing is done and its sessions are returned."""
    busy = lio_kernel.withdraw(iqn, initiator)
    if not busy:
        _save_if_possible([iqn])
    return busy


def remove(iqn: str) -> lio_kernel.Sessions:
    """Remove the export; while somebody is logged in, nothing is done and the sessions are returned."""
    busy = lio_kernel.remove(iqn)
    if not busy:
        _save_if_possible([iqn])
    return busy


def exported(prefix: str, directory: str) -> list[str]:
    """The names of exports of devices in `directory`, those that are only saved and those that are unfinished too."""
    devices = {iqn: entry.device for iqn, entry in saved().entries().items() if iqn.startswith(prefix)}
    devices |= lio_kernel.devices(prefix)
    return sorted(
        iqn
        for iqn, device in devices.items()
        if (os.path.dirname(device) == directory)
        or (not device and os.path.lexists(os.path.join(directory, iqn.removeprefix(prefix))))
    )


def save_all(path: str | None = None) -> None:
    """Write all targets, whoever made them, to `path`, or to the file from which a reboot restores."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path or saved().path)), mode=0o755, exist_ok=True)
        rtslib_root.RTSRoot().save_to_file(path)
    except (OSError, RuntimeError, rtslib_utils.RTSLibError) as err:
        raise errors.BackendError(f"The targets could not be saved: {err}.") from err


def _save(iqns: Sequence[str]) -> None:
    """Save these exports as the kernel has them; what is not there, or open to nobody, is not saved."""
    found = [entry for entry in map(lio_kernel.found, iqns) if entry is not None and entry.initiators]
    gone = set(iqns) - {entry.iqn for entry in found}
    if found:
        saved().put(found)
    if gone:
        saved().forget(gone)


def _save_if_possible(iqns: Sequence[str]) -> None:
    """What is gone from the kernel stays gone; one saved too much is removed again by the next restore."""
    try:
        _save(iqns)
    except errors.LiteError as err:
        LOG.warning("%s", err.message)
