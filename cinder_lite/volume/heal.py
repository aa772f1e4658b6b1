"""Make one volume's sides agree, when an administrator asks: cinder-volume's part of `nlite doctor --fix`.

The rules are those of `recovery` and `exports`; what is added is that somebody waits for the answer. Nothing is
guessed: the compute service is asked who has the volume, in its rows or in a guest, and where it cannot say so for
every host, nothing is taken away. A volume that a guest still has is never given to anyone else.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cinder_lite import errors, states
from cinder_lite.db import attachments, sides
from cinder_lite.db import exports as rows
from cinder_lite.volume import connections, exports, recovery
from cinder_lite.volume.backend import Backend, volume_name
from lite_common import context, db
from lite_common import errors as common_errors

LOG = logging.getLogger(__name__)

# Somebody may be between two steps of an attach or a detach; after so many seconds nobody is.
SETTLED_AFTER = recovery.LOST_AFTER
_PASSING = frozenset({states.RESERVED, states.ATTACHING, states.DETACHING})
# What follows from the attachments alone; in any other status other work or a person decides.
_BY_ATTACHMENTS = _PASSING | {states.AVAILABLE, states.IN_USE}


@dataclass
class Outcome:
    """What was done, and what was left as it is and why; sentences for a person."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Users:
    """Who has the volume as the compute service sees it: attachments that its rows name, by server; servers whose
    guests have the disk. `doubt` says why that may not be all."""

    attachments: Mapping[str, str | None]
    guests: frozenset[str]
    doubt: str = ""


def heal_volume(backend: Backend, ctx: context.RequestContext, volume_id: str) -> dict[str, Any]:
    """Finish or undo what was left of the volume's attachments and exports; {"done": [...], "left": [...]}.

    Raises errors.DriverNotInitialized while the backend does not work.
    """
    backend.require_ready()
    outcome = Outcome()
    try:
        _heal(backend, ctx, volume_id, outcome)
    except common_errors.LiteError as err:
        outcome.left.append(err.message)
    for text in outcome.done:
        LOG.warning("healing of volume %s: %s", volume_id, text)
    return {"done": outcome.done, "left": outcome.left}


def _heal(backend: Backend, ctx: context.RequestContext, volume_id: str, outcome: Outcome) -> None:
    users = _users(backend, ctx, volume_id)
    try:
        found = _read(backend, volume_id)
    except errors.VolumeNotFound:
        _drop(backend, volume_id, users, outcome)
        return
    if found.volume.status in _BY_ATTACHMENTS:
        _restore_attachment(backend, found, users, outcome)
        _end_attachments(backend, ctx, _read(backend, volume_id), users, outcome)
        _match_status(backend, _read(backend, volume_id), users, outcome)
    elif found.volume.status.startswith(states.ERROR):
        outcome.left.append(f"The volume's status is {found.volume.status}; a person has to look why.")
    with backend.work_on(ctx, volume_id, "healing"):
        _complete_export(backend, _read(backend, volume_id), outcome)
    if not exports.is_wanted(_read(backend, volume_id)):
        _drop(backend, volume_id, users, outcome)


def _read(backend: Backend, volume_id: str) -> rows.Exported:
    with backend.database.connection() as conn:
        return rows.find(conn, volume_id)


def _users(backend: Backend, ctx: context.RequestContext, volume_id: str) -> Users:
    if backend.compute is None:
        return Users({}, frozenset(), "there is no compute service that could be asked")
    try:
        told = backend.compute.attachment_sides(ctx, volume_id)
    except common_errors.LiteError as err:
        return Users({}, frozenset(), f"the compute service could not be asked: {err.message}")
    # Others are not told of disks and sessions whose project is not known.
    doubts = [] if ctx.is_admin else ["only an administrator is told of all guests"]
    doubts += [f"{one['service']} on {one['host']}: {one['reason']}" for one in told["unseen"]]
    guests = {one["server_id"] for one in told["strays"] if one["kind"] == "disk"}
    for one in told["attachment_sides"]:
        seen = one["compute"] or {}
        if seen.get("live") or seen.get("stored"):
            guests.add(one["server_id"])
    named = {one["server_id"]: one["attachment_id"] for one in told["attachment_sides"]}
    # A session that no row knows of is a host that may still write.
    doubts += [f"host {one['host']} has a session" for one in told["strays"] if one["kind"] == "session"]
    return Users(named, frozenset(guests), "; ".join(doubts))


def _restore_attachment(backend: Backend, found: rows.Exported, users: Users, outcome: Outcome) -> None:
    """A guest has the disk, its server's row names an attachment, and that one is gone here: it lives again."""
    for server, attachment_id in users.attachments.items():
        if attachment_id is None or server not in users.guests or found.attachment(attachment_id) is not None:
            continue
        with backend.database.connection() as conn:
            known = sides.removed(conn, found.volume.id, attachment_id)
        if known and sides.restore_attachment(backend.database, found.volume.id, attachment_id):
            outcome.done.append(f"Attachment {attachment_id} was put back: the guest of server {server} has the disk.")
        else:
            outcome.left.append(
                f"Server {server} has the disk by attachment {attachment_id}, which is gone, and the volume is "
                f"{found.volume.status}: nova-compute has to take the disk out."
            )


def _end_attachments(
    backend: Backend, ctx: context.RequestContext, found: rows.Exported, users: Users, outcome: Outcome
) -> None:
    """Attachments of servers that neither have the volume nor are getting it: the backend's part, then the row."""
    for one in found.attachments:
        if one.instance_uuid is None or one.instance_uuid in users.attachments:
            continue
        what = f"Attachment {one.id} of server {one.instance_uuid}, in which nova has no such volume,"
        if one.instance_uuid in users.guests:
            outcome.left.append(f"{what} stays: its guest has the disk, and nova-compute has to take it out first.")
        elif users.doubt:
            outcome.left.append(f"{what} stays: {users.doubt}.")
        elif not _is_old(found):
            outcome.left.append(f"{what} stays for now: it changed less than {SETTLED_AFTER:.0f} s ago.")
        else:
            connections.attachment_delete(backend, ctx, found.volume.id, one.id)
            attachments.remove(backend.database, found.volume.id, one.id)
            outcome.done.append(f"{what} was removed.")


def _match_status(backend: Backend, found: rows.Exported, users: Users, outcome: Outcome) -> None:
    """The volume's status says what its attachments say, unless somebody is about to change that."""
    volume = found.volume
    wanted, _ = states.after_detach(
        [one.attach_status for one in found.attachments], volume.status, volume.migration_status
    )
    if wanted == volume.status or volume.migration_status not in states.IDLE_MIGRATION:
        return
    what = f"Status {volume.status}, where the attachments say {wanted},"
    # An attach is complete in Cinder once the attachment is; a detach is not begun there before the guest lets go.
    complete = wanted == states.IN_USE and volume.status != states.DETACHING
    if volume.status in _PASSING and users.attachments and not complete:
        outcome.left.append(f"{what} stays: server {', '.join(users.attachments)} has a row; nova-compute settles it.")
    elif wanted == states.AVAILABLE and (users.guests or users.doubt):
        outcome.left.append(f"{what} stays: {users.doubt or 'a guest has the disk'}.")
    elif not _is_old(found):
        outcome.left.append(f"{what} stays for now: it changed less than {SETTLED_AFTER:.0f} s ago.")
    elif sides.match_status(backend.database, volume.id, volume.status):
        outcome.done.append(f"{what} was corrected.")


def _is_old(found: rows.Exported) -> bool:
    changed = found.volume.updated_at or found.volume.created_at
    return db.utcnow() - changed >= datetime.timedelta(seconds=SETTLED_AFTER)


def _complete_export(backend: Backend, found: rows.Exported, outcome: Outcome) -> None:
    """What an attached volume's export lacks is added; under its sessions, which are not disturbed."""
    if not exports.is_needed(found):
        return
    name = volume_name(found.volume.id)
    before = backend.target.shown([name]).get(name)
    exports.restore_one(backend, found)
    after = backend.target.shown([name]).get(name)
    if before is None:
        outcome.done.append(f"Target {backend.target.iqn(name)} was made again.")
    elif after is not None and (before.path, before.chap, before.initiators) != (
        after.path,
        after.chap,
        after.initiators,
    ):
        outcome.done.append(f"Target {backend.target.iqn(name)} was completed.")


def _drop(backend: Backend, volume_id: str, users: Users, outcome: Outcome) -> None:
    """An export that nobody needs goes, unless somebody is logged in, or a guest has the disk and may log in again."""
    name = volume_name(volume_id)
    if name not in backend.target.exported() and not backend.target.shown([name]):
        return
    if users.guests or users.doubt:
        why = "a guest has the disk" if users.guests else users.doubt
        outcome.left.append(f"Target {backend.target.iqn(name)}, which no row asks for, stays: {why}.")
        return
    exports.drop_unneeded(backend, name)
    if backend.target.shown([name]):
        who = ", ".join(map(str, backend.target.sessions(name))) or "somebody"
        outcome.left.append(f"Target {backend.target.iqn(name)} stays: {who} is logged in.")
    else:
        outcome.done.append(f"Target {backend.target.iqn(name)}, which nobody needed, was removed.")
