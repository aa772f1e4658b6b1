"""What the sides of an attachment say about each other: a function of what was seen, and of nothing else.

A finding needs to have seen every side that it speaks of. What is between two steps of an attach or a detach is in
motion and no disagreement, until the time that such a step may take has passed.
"""

import dataclasses
import datetime
import typing
from collections.abc import Callable, Iterator

from nova_lite.cli import doctor_sides as sides_of
from nova_lite.cli.doctor_sides import Sides

# Seconds that an attachment may be between two steps; after them the daemons' own recovery is due.
MOTION_LIMIT = 60.0
PASSING = frozenset({"reserved", "attaching", "detaching"})
COMPUTE, BACKEND, PERSON = "nova-compute", "cinder-volume", "a person"
ACTIVE = frozenset({"running", "paused"})

AGREE, MOTION, DISAGREE, UNSEEN = "agree", "in motion", "disagree", "not all seen"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that does not agree: at which side, since when at the earliest, what would be done and by whom."""

    side: str
    what: str
    action: str
    by: str
    since: str | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be said of one attachment; `word` is one of AGREE, MOTION, DISAGREE, UNSEEN."""

    word: str
    findings: tuple[Finding, ...] = ()


def judge(sides: Sides, now: datetime.datetime, limit: float = MOTION_LIMIT) -> Verdict:
    """The findings, and what they come to at that moment (UTC, without a zone)."""
    found = tuple(dict.fromkeys(finding for rule in RULES for finding in rule(sides)))
    moved = _last_change(sides)
    if (found or _is_passing(sides)) and _in_motion(sides, moved, now, limit):
        return Verdict(MOTION, found)
    since = moved.isoformat(timespec="seconds") + "Z" if moved is not None else None
    found = tuple(dataclasses.replace(one, since=since) for one in found)
    if found:
        return Verdict(DISAGREE, found)
    return Verdict(UNSEEN if sides.blind else AGREE)


def _in_motion(sides: Sides, moved: datetime.datetime | None, now: datetime.datetime, limit: float) -> bool:
    """Whether somebody may be at work: a status says so, a row waits for its attach, a daemon holds the lock."""
    busy = bool((sides.compute or {}).get("busy") or (sides.export or {}).get("busy"))
    if not (busy or _is_passing(sides)):
        return False
    return moved is not None and (now - moved).total_seconds() < limit


def _is_passing(sides: Sides) -> bool:
    volume, row = sides.volume, sides.row
    return bool((volume and volume["status"] in PASSING) or (row and not row["connected"]))


def _last_change(sides: Sides) -> datetime.datetime | None:
    found = [
        _moment(record.get(name))
        for record in (sides.row, sides.volume, sides.attachment)
        if record is not None
        for name in ("created_at", "updated_at")
    ]
    return max((one for one in found if one is not None), default=None)


def _moment(text: str | None) -> datetime.datetime | None:
    if not text:
        return None
    found = datetime.datetime.fromisoformat(text)
    return found.astimezone(datetime.UTC).replace(tzinfo=None) if found.tzinfo else found


# ------------------------------------------------------------------ the rules


def row_without_attachment(sides: Sides) -> Iterator[Finding]:
    """Nova says that the server has the volume, Cinder does not."""
    row = sides.row
    if row is None or not row["connected"] or sides.attachment is not None or _is_blind(sides, sides_of.CINDER):
        return
    if sides.volume is None:
        yield Finding("cinder volume", "Cinder has no such volume", "take the disk out, release Nova's row", COMPUTE)
    elif row["attachment_id"] is not None and (sides.live or sides.stored):
        what = "the guest has the disk, and its attachment is gone in Cinder"
        yield Finding("cinder attachment", what, "put the attachment back, or else have the disk taken out", BACKEND)
    elif not (sides.volume["status"] in PASSING and row["attachment_id"] is None):
        yield Finding(
            "cinder attachment", "Nova's row has none in Cinder", "take the disk out, release the row", COMPUTE
        )


def attachment_without_row(sides: Sides) -> Iterator[Finding]:
    """Cinder says that the server has the volume, Nova does not."""
    held = sides.attachment
    if held is None or held["server_id"] is None or sides.row is not None or _is_blind(sides, sides_of.NOVA):
        return
    if sides.live or sides.stored:
        what = "no row knows the disk that the guest has"
        yield Finding("nova row", what, "take it out of the guest, then end the attachment", COMPUTE)
    elif not _is_blind(sides, sides_of.GUESTS):
        yield Finding("nova row", "Nova has none for this attachment", "remove the attachment", BACKEND)


def stray(sides: Sides) -> Iterator[Finding]:
    """A disk or a session that neither Nova nor Cinder knows."""
    if sides.row is not None or sides.attachment is not None or sides.stray is None:
        return
    if sides.stray["kind"] == "session":
        yield Finding("session", "a host is logged in for no row", "log out", COMPUTE)
    else:
        yield Finding("nova row", "no row knows the disk that the guest has", "take it out of the guest", COMPUTE)


def reservation(sides: Sides) -> Iterator[Finding]:
    """A row that no attach took up in time."""
    if sides.row is not None and not sides.row["connected"]:
        yield Finding("nova row", "reserved, and no attach has taken it up", "give the reservation up", COMPUTE)


def status(sides: Sides) -> Iterator[Finding]:
    """The volume's status against who has it."""
    volume, row, held = sides.volume, sides.row, sides.attachment
    if volume is None:
        return
    now = volume["status"]
    if now.startswith("error"):
        if row is not None or held is not None:
            yield Finding("cinder volume", f"its status is {now}", "look why, then set it right", PERSON)
        return
    if now in PASSING:
        if held is not None and held["status"] == "attached" and now != "detaching":
            yield Finding("cinder volume", f"it is {now} and attached", "correct the status", BACKEND)
        elif row is not None and row["connected"]:
            yield Finding("cinder volume", f"it stays {now}", "finish the attach or undo it", COMPUTE)
        elif row is None and not _is_blind(sides, sides_of.NOVA):
            yield Finding("cinder volume", f"it stays {now} for nobody", "give it back", BACKEND)
    elif now == "available" and held is not None and row is not None:
        yield Finding("cinder volume", "it is available and attached", "correct the status", BACKEND)
    elif now == "in-use" and not volume["attachments"] and row is None and not _is_blind(sides, sides_of.NOVA):
        yield Finding("cinder volume", "it is in use by nobody", "correct the status", BACKEND)


def names(sides: Sides) -> Iterator[Finding]:
    """Both sides speak of the same attachment."""
    row, held = sides.row, sides.attachment
    if row and held and row["attachment_id"] is not None and row["attachment_id"] != held["id"]:
        what = f"Nova's row names attachment {row['attachment_id']}, Cinder has {held['id']}"
        yield Finding("cinder attachment", what, "detach the volume and attach it again", PERSON)


def disks(sides: Sides) -> Iterator[Finding]:
    """What the guest has of a volume that both services say it has."""
    seen = sides.compute
    if not _is_attached(sides) or seen is None or _is_blind(sides, sides_of.GUESTS):
        return
    if seen["power_state"] == "nostate":
        if sides.row and sides.row["vm_state"] in ("active", "paused"):
            what = "the hypervisor does not know the server"
            yield Finding("live XML", what, f"nlite reboot --hard {sides.server_id}", PERSON)
        return
    # A server that is stopped is described anew when it starts.
    if seen["power_state"] in ACTIVE:
        for side, disk in (("live XML", sides.live), ("stored XML", sides.stored)):
            if disk is None:
                yield Finding(side, "the disk is not there", "plug it in again", COMPUTE)


def device(sides: Sides) -> Iterator[Finding]:
    """Device and sessions of a host that logs in itself, for a guest that runs."""
    seen = sides.compute
    storage = (seen or {}).get("storage")
    if not _is_attached(sides) or not seen or not storage or storage["initiator"] != "host":
        return
    if seen["power_state"] not in ACTIVE or _is_blind(sides, sides_of.INITIATOR):
        return
    if storage["leads_to"] is None:
        yield Finding("host device", f"{storage['device']} leads nowhere", "connect the volume again", COMPUTE)
    if not storage["sessions"]:
        yield Finding("session", "the host is not logged in", "connect the volume again", COMPUTE)
    for one in storage["sessions"]:
        if one["state"] != "LOGGED_IN":
            what = f"the session with {one['portal']} is {one['state']}"
            yield Finding("session", what, "look at target and network; it comes back by itself", PERSON)


def export(sides: Sides) -> Iterator[Finding]:
    """Target, LUN and access of a volume that somebody has; and one that nobody has."""
    volume, found = sides.volume, sides.export
    if volume is None or found is None or _is_blind(sides, sides_of.TARGET):
        return
    target, held = found["target"], sides.attachment
    used = held is not None and held["status"] in ("attached", "attaching", "detaching")
    if not used:
        if target["present"] and not volume["attachments"] and volume["status"] not in (*PASSING, "in-use"):
            yield Finding("target", "it is there and nobody needs it", "remove it", BACKEND)
        return
    if not target["present"]:
        yield Finding("target", f"{found['iqn']} is not there", "make it again", BACKEND)
        return
    path = (found["bytes"] or {}).get("path")
    if target["lun"] is None:
        yield Finding("LUN", "the target has none", "add it", BACKEND)
    elif path is not None and target["path"] != path:
        yield Finding("LUN", f"it serves {target['path']}, not {path}", "make the target again", BACKEND)
    if not target["chap"]:
        yield Finding("ACL", "the target asks for no login", "add the CHAP account", BACKEND)
    wanted = (held or {}).get("initiator")
    allowed = {one.lower() for one in target["initiators"]}
    # An attachment of the older flow does not tell its host; then it is enough that somebody is let in.
    if not allowed if wanted is None else not {"all", wanted.lower()} & allowed:
        yield Finding("ACL", f"{wanted or 'nobody'} is not let in", "let the host in again", BACKEND)


def login(sides: Sides) -> Iterator[Finding]:
    """The session of QEMU's own initiator, of which only the target can tell."""
    seen, found = sides.compute, sides.export
    storage = (seen or {}).get("storage")
    if not _is_attached(sides) or not seen or not storage or found is None or _is_blind(sides, sides_of.TARGET):
        return
    if storage["initiator"] != "qemu" or not sides.live or not found["target"]["present"]:
        return
    if seen["initiator"] not in {one["initiator"] for one in found["target"]["sessions"]}:
        what = "the guest has the disk, and QEMU is not logged in"
        yield Finding(
            "session", what, "it comes back by itself when the target is there; else reboot the guest", PERSON
        )


def content(sides: Sides) -> Iterator[Finding]:
    """The bytes themselves."""
    volume, found = sides.volume, sides.export
    if volume is None or found is None or found["bytes"] is None or volume["status"] in ("creating", "deleting"):
        return
    size = found["bytes"]["size"]
    if size is None:
        yield Finding("volume bytes", f"{found['bytes']['path']} does not exist", "find it, or the backup", PERSON)
    elif size < volume["size"] << 30 and volume["status"] != "extending":
        yield Finding("volume bytes", f"they are {size}, fewer than {volume['size']} GiB", "find out why", PERSON)


def _is_attached(sides: Sides) -> bool:
    """Whether both services say that the server has the volume, and neither is about to change that."""
    row, held, volume = sides.row, sides.attachment, sides.volume
    return bool(
        row
        and row["connected"]
        and held
        and held["status"] == "attached"
        and volume
        and volume["status"] == "in-use"
        and not row["task_state"]
    )


def _is_blind(sides: Sides, side: str) -> bool:
    return side in sides.blind


Rule = Callable[[Sides], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    row_without_attachment,
    attachment_without_row,
    stray,
    reservation,
    status,
    names,
    disks,
    device,
    export,
    login,
    content,
)


def exit_code(verdicts: typing.Iterable[Verdict], unseen: bool, leftovers: bool = False) -> int:
    """0 when all agrees (or is in motion), 1 when something does not, 2 when not everything was seen."""
    words = {one.word for one in verdicts}
    if DISAGREE in words or leftovers:
        return 1
    return 2 if unseen or UNSEEN in words else 0
