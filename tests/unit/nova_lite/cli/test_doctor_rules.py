"""What sides say about each other: one break at a time, and whatever else hypothesis thinks of."""

from __future__ import annotations

import dataclasses
import datetime
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_lite.cli import doctor_rules as rules
from nova_lite.cli import doctor_sides as sides_of
from nova_lite.cli.doctor_sides import Sides
from tests.unit.nova_lite.cli import sides as samples

NOW = datetime.datetime(2026, 1, 2)
COMPUTE, BACKEND, PERSON = rules.COMPUTE, rules.BACKEND, rules.PERSON
TARGET = "export/target"
NO_TARGET = {"present": False, "portals": []}
ALL_SIDES = (
    sides_of.NOVA, sides_of.CINDER, sides_of.COMPUTE, sides_of.GUESTS, sides_of.INITIATOR, sides_of.BACKEND,
    sides_of.TARGET, sides_of.STORAGE,
)  # fmt: skip


def whole(**parts: typing.Any) -> Sides:
    held = parts.pop("attachment", samples.attachment())
    made = {"row": samples.row(), "volume": samples.volume(*([held] if held else [])), "attachment": held}
    return Sides(samples.SERVER, samples.VOLUME, **(made | parts))


def row(path: str, value: object) -> Sides:
    return whole(row=samples.changed(samples.row(), path, value))


def volume(path: str, value: object) -> Sides:
    return whole(volume=samples.changed(samples.volume(samples.attachment()), path, value))


def found(sides: Sides) -> list[tuple[str, str]]:
    return [(one.side, one.by) for one in rules.judge(sides, NOW).findings]


def host_mode(**storage: object) -> Sides:
    device = "/dev/disk/by-path/ip-10.0.0.4:3260-iscsi-x-lun-1"
    session = {"portal": "10.0.0.4:3260", "iqn": samples.IQN, "state": "LOGGED_IN"}
    full = {"initiator": "host", "device": device, "leads_to": "/dev/sdb", "sessions": [session]}
    return row("compute/storage", full | storage)


BROKEN = [
    ("a row without an attachment", whole(attachment=None), [("cinder attachment", BACKEND)]),
    (
        "the same, and the guest has no disk",
        dataclasses.replace(
            row("compute/live", None),
            row=samples.changed(samples.changed(samples.row(), "compute/live", None), "compute/stored", None),
            volume=samples.changed(samples.volume(), "status", "available") | {"export": None},
            attachment=None,
        ),
        [("cinder attachment", COMPUTE)],
    ),
    ("a volume that is gone", whole(volume=None, attachment=None), [("cinder volume", COMPUTE)]),
    ("an attachment without a row", whole(row=None), [("nova row", BACKEND)]),
    ("the same, and the guest has the disk", whole(row=None, stray=samples.stray()), [("nova row", COMPUTE)]),
    ("a disk of nobody", whole(row=None, stray=samples.stray(), volume=None, attachment=None), [("nova row", COMPUTE)]),
    (
        "a session of nobody",
        Sides(None, samples.VOLUME, stray=samples.stray("session")),
        [("session", COMPUTE)],
    ),
    ("a reservation that waits", row("connected", False), [("nova row", COMPUTE)]),
    ("a volume that stays detaching", volume("status", "detaching"), [("cinder volume", COMPUTE)]),
    ("a status that lags behind", volume("status", "attaching"), [("cinder volume", BACKEND)]),
    ("a volume in error", volume("status", "error"), [("cinder volume", PERSON)]),
    ("an attached volume that is available", volume("status", "available"), [("cinder volume", BACKEND)]),
    ("two attachments", row("attachment_id", "other"), [("cinder attachment", PERSON)]),
    ("no disk in the guest", row("compute/live", None), [("live XML", COMPUTE)]),
    ("no stored disk", row("compute/stored", None), [("stored XML", COMPUTE)]),
    ("a server that its hypervisor forgot", row("compute/power_state", "nostate"), [("live XML", PERSON)]),
    ("no target", volume(TARGET, NO_TARGET), [("target", BACKEND)]),
    ("no LUN", volume(f"{TARGET}/lun", None), [("LUN", BACKEND)]),
    ("another's bytes", volume(f"{TARGET}/path", "/volumes/other"), [("LUN", BACKEND)]),
    ("no login", volume(f"{TARGET}/chap", False), [("ACL", BACKEND)]),
    ("a host that is not let in", volume(f"{TARGET}/initiators", ["iqn.x:other"]), [("ACL", BACKEND)]),
    ("QEMU is not logged in", volume(f"{TARGET}/sessions", []), [("session", PERSON)]),
    ("no bytes", volume("export/bytes/size", None), [("volume bytes", PERSON)]),
    ("too few bytes", volume("export/bytes/size", 1 << 29), [("volume bytes", PERSON)]),
    ("no device", host_mode(leads_to=None), [("host device", COMPUTE)]),
    ("no session of the host", host_mode(sessions=[]), [("session", COMPUTE)]),
    (
        "a lost session",
        host_mode(sessions=[{"portal": "p", "iqn": samples.IQN, "state": "FAILED"}]),
        [("session", PERSON)],
    ),
    (
        "an export that nobody needs",
        Sides(None, samples.VOLUME, volume=samples.changed(samples.volume(), "status", "available")),
        [("target", BACKEND)],
    ),
    ("in use by nobody", Sides(None, samples.VOLUME, volume=samples.volume()), [("cinder volume", BACKEND)]),
]
IN_ORDER = [
    ("everything is there", whole()),
    ("names of hosts are the same in both cases", volume(f"{TARGET}/initiators", [samples.INITIATOR.upper()])),
    ("a host that logs in itself", host_mode()),
    ("the older flow names no attachment", row("attachment_id", None)),
    ("a stopped server needs neither disk nor session", whole(
        row=samples.row() | {"vm_state": "stopped", "compute": samples.row()["compute"] | {
            "power_state": "shutdown", "live": None}})),
    ("a volume larger than asked for", volume("export/bytes/size", 2 << 30)),
    ("a server at work", row("task_state", "rebooting")),
    ("nobody has the volume", Sides(None, samples.VOLUME, volume=samples.changed(
        samples.changed(samples.volume(), "status", "available"), TARGET, NO_TARGET))),
]  # fmt: skip


@pytest.mark.parametrize(("sides", "wanted"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_is_broken_is_found_and_nothing_else(sides: Sides, wanted: list[tuple[str, str]]) -> None:
    assert found(sides) == wanted
    verdict = rules.judge(sides, NOW)
    assert verdict.word == rules.DISAGREE
    assert all(one.what and one.action for one in verdict.findings)


@pytest.mark.parametrize("sides", [case[1] for case in IN_ORDER], ids=[case[0] for case in IN_ORDER])
def test_what_is_in_order_agrees(sides: Sides) -> None:
    assert rules.judge(sides, NOW) == rules.Verdict(rules.AGREE)


@pytest.mark.parametrize("status", sorted(rules.PASSING))
def test_in_motion_until_its_time_has_passed(status: str) -> None:
    moving = volume("status", status)
    began = datetime.datetime.fromisoformat(samples.LONG_AGO)
    for seconds, word in ((3, rules.MOTION), (59, rules.MOTION), (61, rules.DISAGREE)):
        assert rules.judge(moving, began + datetime.timedelta(seconds=seconds)).word == word
    (finding,) = rules.judge(moving, NOW).findings
    assert finding.since == "2026-01-01T00:00:00Z"


def test_what_changed_a_moment_ago_is_no_excuse_where_nobody_is_at_work() -> None:
    assert rules.judge(volume(TARGET, NO_TARGET), datetime.datetime(2026, 1, 1, 0, 0, 3)).word == rules.DISAGREE
    busy = dataclasses.replace(volume(TARGET, NO_TARGET), row=samples.changed(samples.row(), "compute/busy", True))
    assert rules.judge(busy, datetime.datetime(2026, 1, 1, 0, 0, 3)).word == rules.MOTION


@pytest.mark.parametrize(
    ("words", "unseen", "leftovers", "code"),
    [
        ([], False, False, 0),
        ([rules.AGREE, rules.MOTION], False, False, 0),
        ([rules.AGREE, rules.DISAGREE], True, False, 1),
        ([rules.AGREE], False, True, 1),
        ([rules.AGREE], True, False, 2),
        ([rules.UNSEEN], False, False, 2),
    ],
)
def test_exit_codes(words: list[str], unseen: bool, leftovers: bool, code: int) -> None:
    assert rules.exit_code([rules.Verdict(word) for word in words], unseen, leftovers) == code


_NOVA = frozenset({sides_of.NOVA, sides_of.COMPUTE, sides_of.GUESTS, sides_of.INITIATOR})
_CINDER = frozenset({sides_of.CINDER, sides_of.BACKEND, sides_of.TARGET, sides_of.STORAGE})
_WHOLE = {
    sides_of.NOVA: _NOVA,
    sides_of.CINDER: _CINDER,
    sides_of.COMPUTE: _NOVA - {sides_of.NOVA},
    sides_of.BACKEND: _CINDER - {sides_of.CINDER},
}


def blinded(sides: Sides, blind: frozenset[str]) -> Sides:
    """What would be known with these sides, and what hangs on them, out of sight."""
    blind = blind.union(*(_WHOLE.get(side, frozenset()) for side in blind))
    row = None if sides_of.NOVA in blind else sides.row
    volume, held = (None, None) if sides_of.CINDER in blind else (sides.volume, sides.attachment)
    if row is not None and sides_of.COMPUTE in blind:
        row = row | {"compute": None}
    elif row is not None and sides_of.GUESTS in blind:
        row = row | {"compute": row["compute"] | {"power_state": None, "live": None, "stored": None}}
    if volume is not None and sides_of.BACKEND in blind:
        volume = volume | {"export": None}
    elif volume is not None:
        lost = {name: None for side, name in _PARTS.items() if side in blind}
        volume = volume | {"export": volume["export"] | lost}
    return dataclasses.replace(sides, row=row, volume=volume, attachment=held, blind=blind)


_PARTS = {sides_of.TARGET: "target", sides_of.STORAGE: "bytes"}


@given(
    st.sampled_from([case[1] for case in IN_ORDER]),
    st.frozensets(st.sampled_from(ALL_SIDES), min_size=1),
)
def test_what_is_in_order_is_never_called_wrong_for_what_was_not_seen(sides: Sides, blind: frozenset[str]) -> None:
    seen = blinded(sides, blind)
    if seen.row is None and seen.volume is None:
        return
    assert rules.judge(seen, NOW) == rules.Verdict(rules.UNSEEN)


STATUSES = ("available", "reserved", "attaching", "in-use", "detaching", "error", "deleting", "creating")


@st.composite
def anything(draw: st.DrawFn) -> Sides:
    """Sides that disagree in whatever way."""
    held = draw(st.none() | st.sampled_from([samples.attachment(), samples.attachment() | {"status": "reserved"}]))
    own = draw(st.none() | st.just(samples.row()))
    if own is not None:
        own["connected"] = draw(st.booleans())
        own["attachment_id"] = draw(st.sampled_from([None, samples.ATTACHMENT, "other"]))
        seen = own["compute"] = draw(st.none() | st.just(own["compute"]))
        if seen is not None:
            for name in ("live", "stored", "storage"):
                seen[name] = draw(st.none() | st.just(seen[name]))
            seen["power_state"] = draw(st.sampled_from([None, "running", "paused", "shutdown", "nostate"]))
            seen["busy"] = draw(st.booleans())
    stored = draw(st.none() | st.just(samples.volume(*([held] if held else []))))
    if stored is not None:
        stored["status"] = draw(st.sampled_from(STATUSES))
        export = stored["export"] = draw(st.none() | st.just(stored["export"]))
        if export is not None:
            export["target"] = draw(st.sampled_from([None, NO_TARGET, export["target"]]))
            export["bytes"] = draw(st.none() | st.just(export["bytes"]))
    stray = None if own else draw(st.none() | st.just(samples.stray()))
    blind = draw(st.frozensets(st.sampled_from(ALL_SIDES)))
    if stored is not None and (stored["export"] is None or stored["export"]["target"] is None):
        blind |= {sides_of.TARGET, sides_of.BACKEND}
    return Sides(samples.SERVER, samples.VOLUME, own, stray, stored, held if stored else None, blind)


@given(anything())
def test_any_sides_are_judged_and_every_finding_is_somebodys(sides: Sides) -> None:
    verdict = rules.judge(sides, NOW)
    assert all(one.by in (COMPUTE, BACKEND, PERSON) for one in verdict.findings)
    assert (verdict.word == rules.DISAGREE) == bool(verdict.findings)
    if not verdict.findings:
        assert verdict.word == (rules.UNSEEN if sides.blind else rules.AGREE)
    assert rules.judge(sides, NOW) == verdict


@given(anything())
def test_nothing_is_said_of_a_side_that_was_not_seen(sides: Sides) -> None:
    for one in rules.judge(sides, NOW).findings:
        if one.side in ("target", "LUN", "ACL"):
            assert sides_of.TARGET not in sides.blind
        if one.side in ("live XML", "stored XML"):
            assert sides_of.GUESTS not in sides.blind
