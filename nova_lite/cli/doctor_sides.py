"""All sides of every attachment beside each other, gathered from both APIs, for `nlite doctor`.

Each API tells its own half, and names whoever did not answer it; an API that is down is a side not seen, and the other
half is shown all the same. What is not seen is never taken for not being there.
"""

import dataclasses
import typing
from collections.abc import Iterable, Sequence

from nova_lite.cli import errors, lookup, session

Record = dict[str, typing.Any]
# The sides that can be out of sight, by the names under which they are told.
NOVA, CINDER = "nova-api", "cinder-api"
COMPUTE, GUESTS, INITIATOR = "nova-compute", "guests", "initiator"
BACKEND, TARGET, STORAGE = "cinder-volume", "target", "storage"
NOVA_PATH, CINDER_PATH = "/os-attachment-sides", "/os-volume-sides"


@dataclasses.dataclass(frozen=True)
class Unseen:
    """Somebody who did not tell: which daemon on which host, what of it, and why."""

    service: str
    host: str | None
    side: str
    reason: str

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        what = "" if self.side == "all" else f" ({self.side})"
        return f"{self.service}{where}{what}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Sides:
    """One volume and one server that some side connects, or a volume that some side says is not at rest.

    `row` is Nova's block device (with `compute`, what its host sees), `stray` a disk or session that no row knows,
    `volume` Cinder's row (with `export`, what its backend sees), `attachment` the volume's attachment to this server.
    A side that is None and not in `blind` is not there; one in `blind` was not seen.
    """

    server_id: str | None
    volume_id: str
    row: Record | None = None
    stray: Record | None = None
    volume: Record | None = None
    attachment: Record | None = None
    blind: frozenset[str] = frozenset()

    @property
    def compute(self) -> Record | None:
        """What the host sees of the row; None where there is no row or nobody told."""
        return self.row["compute"] if self.row else None

    @property
    def export(self) -> Record | None:
        """What the backend sees of the volume's export."""
        return self.volume["export"] if self.volume else None

    @property
    def live(self) -> Record | None:
        """The disk in the running guest."""
        return (self.compute or self.stray or {}).get("live")

    @property
    def stored(self) -> Record | None:
        """The disk in the configuration for the guest's next start."""
        return (self.compute or self.stray or {}).get("stored")


@dataclasses.dataclass(frozen=True)
class Seen:
    """One look at everything: the attachments, exports of no volume as (backend, volume id), and who did not tell."""

    sides: Sequence[Sides]
    exports: Sequence[tuple[str | None, str]]
    unseen: Sequence[Unseen]
    names: typing.Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class About:
    """What is asked about: one server, one volume, or everything (both None)."""

    server_id: str | None = None
    volume_id: str | None = None


class _Half:
    """What one API told: items, strays, and whether it answered."""

    def __init__(self) -> None:
        self.items: list[Record] = []
        self.strays: list[Record] = []
        self.unseen: list[Unseen] = []
        self.answered = True

    def ask(self, cloud: session.Cloud, service: str, path: str, key: str, query: Record, name: str) -> None:
        """Read all pages; an API that does not answer, or is broken, is noted as unseen.

        Raises ApiError for a refusal of the caller (4xx), CliError when no login is possible.
        """
        try:
            for page in _pages(cloud, service, path, key, query):
                self.items += page[key]
                self.strays += page["strays"]
                self.unseen += [
                    Unseen(one["service"], one["host"], one["side"], one["reason"]) for one in page["unseen"]
                ]
        except errors.ApiError as error:
            if error.status < 500:
                raise
            self._lost(name, error)
        except errors.Unreachable as error:
            self._lost(name, error)

    def _lost(self, name: str, error: errors.CliError) -> None:
        self.answered = False
        self.unseen.append(Unseen(name, None, "all", error.message))


def _pages(cloud: session.Cloud, service: str, path: str, key: str, query: Record) -> Iterable[Record]:
    wanted: Record | None = query
    for _ in range(session.MAX_PAGES):
        page = cloud.get(service, path, wanted)
        yield page
        wanted = session.next_query(page, key)
        if wanted is None:
            return


def look(cloud: session.Cloud, about: About) -> Seen:
    """Ask both APIs. Raises CliError when the caller may not ask, or what is asked about is not known to either."""
    nova, cinder = _Half(), _Half()
    everything = {} if about.server_id or about.volume_id else {"all_tenants": "true"}
    asked = {name: value for name, value in dataclasses.asdict(about).items() if value is not None}
    nova.ask(cloud, "compute", NOVA_PATH, "attachment_sides", everything | asked, NOVA)
    if about.server_id is None:
        _ask_cinder(cloud, cinder, about, everything, nova)
    else:
        _ask_about_volumes(cloud, cinder, about.server_id, nova)
    rows = {(one["server_id"], one["volume_id"]): one for one in nova.items}
    strays = {(one["server_id"], one["volume_id"]): one for one in nova.strays}
    volumes = {one["id"]: one for one in cinder.items}
    held = {
        (one["server_id"], volume["id"]): one
        for volume in volumes.values()
        for one in volume["attachments"]
        if about.server_id in (None, one["server_id"])
    }
    pairs = dict.fromkeys((*rows, *strays, *held))
    with_pair = {volume_id for _, volume_id in pairs}
    alone = [one for one in volumes if one not in with_pair and not (about.server_id or _at_rest(volumes[one]))]
    pairs |= dict.fromkeys((None, one) for one in alone)
    sides = []
    for server_id, volume_id in pairs:
        row, stray, volume = (
            rows.get((server_id, volume_id)),
            strays.get((server_id, volume_id)),
            volumes.get(volume_id),
        )
        sides.append(
            Sides(
                server_id,
                volume_id,
                row=row,
                stray=stray,
                volume=volume,
                attachment=held.get((server_id, volume_id)),
                blind=_blind(nova, cinder, row or stray, volume, server_id),
            )
        )
    return Seen(
        sorted(sides, key=lambda one: (one.server_id or "", one.volume_id)),
        [(one["host"], one["volume_id"]) for one in cinder.strays],
        [*nova.unseen, *cinder.unseen],
        _names(nova, cinder),
    )


def _ask_cinder(cloud: session.Cloud, cinder: _Half, about: About, everything: Record, nova: _Half) -> None:
    query = everything if about.volume_id is None else {"volume_id": about.volume_id}
    try:
        cinder.ask(cloud, "volume", CINDER_PATH, "volume_sides", query, CINDER)
    except errors.ApiError as error:
        # A volume that Cinder has no more may still be in a row or a guest.
        if error.status != 404 or not (nova.items or nova.strays):
            raise


def _ask_about_volumes(cloud: session.Cloud, cinder: _Half, server_id: str, nova: _Half) -> None:
    """The volumes that Nova names for the server, and those that Cinder says it has."""
    wanted = {one["volume_id"] for one in (*nova.items, *nova.strays)}
    try:
        found = cloud.pages("volume", "/attachments", "attachments", {"all_tenants": "true", "instance_id": server_id})
        wanted |= {one["volume_id"] for one in found if one.get("instance") == server_id}
    except (errors.Unreachable, errors.ApiError) as error:
        cinder._lost(CINDER, error)
        return
    for volume_id in sorted(wanted):
        try:
            cinder.ask(cloud, "volume", CINDER_PATH, "volume_sides", {"volume_id": volume_id}, CINDER)
        except errors.ApiError as error:
            if error.status != 404:
                raise


def _at_rest(volume: Record) -> bool:
    """Whether nothing says that anybody has, gets or had the volume."""
    target = (volume["export"] or {}).get("target")
    return volume["status"] not in ("in-use", "reserved", "attaching", "detaching") and not (target or {}).get(
        "present"
    )


def _blind(
    nova: _Half, cinder: _Half, row: Record | None, volume: Record | None, server_id: str | None
) -> frozenset[str]:
    """Which sides of this attachment were not seen."""
    found = set()
    if not nova.answered:
        found |= {NOVA, COMPUTE, GUESTS, INITIATOR}
    if not cinder.answered:
        found |= {CINDER, BACKEND, TARGET, STORAGE}
    host = row["host"] if row else None
    for one in nova.unseen:
        # Without a row (or with its host hidden) any host may have the disk.
        if one.service == COMPUTE and (host is None or one.host in (None, host)):
            found |= {COMPUTE, GUESTS, INITIATOR} if one.side == "all" else {one.side}
    if row and "compute" in row and row["compute"] is None:
        found |= {COMPUTE, GUESTS, INITIATOR}
    export = volume["export"] if volume else None
    if volume and volume["attachments"] and export is None:
        found |= {BACKEND, TARGET, STORAGE}
    if export is not None:
        found |= {TARGET} if export["target"] is None else set()
        found |= {STORAGE} if export["bytes"] is None else set()
    return frozenset(found)


def _names(nova: _Half, cinder: _Half) -> dict[str, str]:
    servers = {one["server_id"]: one["server_name"] for one in nova.items if one["server_name"]}
    return servers | {one["id"]: one["name"] for one in cinder.items if one["name"]}


def resolve(cloud: session.Cloud, reference: str | None) -> About:
    """What the name or id means: a server's if there is such a server, else a volume's.

    With one API down the other one is believed. Raises NotFound, Ambiguous, or as Cloud.call does.
    """
    if reference is None:
        return About()
    down: errors.CliError | None = None
    try:
        return About(server_id=str(lookup.server(cloud, reference)["id"]))
    except errors.NotFound:
        pass
    except errors.Unreachable as error:
        down = error
    try:
        return About(volume_id=str(lookup.volume(cloud, reference)["id"]))
    except errors.NotFound:
        if lookup.is_uuid(reference):
            # Gone, or of a server that is: something of it may be left.
            return About(volume_id=reference)
        raise (down or errors.NotFound(f"no server or volume has the name or id {reference!r}", _HINT)) from None
    except errors.Unreachable:
        if lookup.is_uuid(reference):
            return About(volume_id=reference)
        raise


_HINT = "`nlite list` and `nlite volume-list` show them; without a name all attachments are looked at"
