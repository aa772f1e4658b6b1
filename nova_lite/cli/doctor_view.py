"""How `nlite doctor` shows what it saw: a table for each attachment, or one JSON object for programs."""

import typing
from collections.abc import Mapping, Sequence

from nova_lite.cli import doctor_rules as rules
from nova_lite.cli import doctor_sides as sides_of
from nova_lite.cli.doctor_sides import Record, Seen, Sides

Judged = Sequence[tuple[Sides, rules.Verdict]]
SIDES = (
    "nova row",
    "cinder volume",
    "cinder attachment",
    "volume bytes",
    "target",
    "LUN",
    "ACL",
    "session",
    "host device",
    "live XML",
    "stored XML",
)
_NOT_SEEN = "(not seen)"
_NONE = "none"


def text(seen: Seen, judged: Judged, *, all_of_them: bool = True) -> str:
    """What a person reads: a table for each attachment, what is to be done, who was not seen, and a last line.

    Without `all_of_them` attachments that agree are only counted.
    """
    blocks = [_block(seen, one, verdict) for one, verdict in judged if all_of_them or verdict.word != rules.AGREE]
    blocks += [
        f"export of volume {volume_id} on {host or 'a backend'}   {rules.DISAGREE}\n"
        "  ! target: it is there, and no such volume is; cinder-volume would remove it"
        for host, volume_id in seen.exports
    ]
    if seen.unseen:
        blocks.append("\n".join(["Not seen:", *(f"  {one}" for one in dict.fromkeys(map(str, seen.unseen)))]))
    return "\n\n".join([*blocks, summary(seen, judged)]) + "\n"


def summary(seen: Seen, judged: Judged) -> str:
    """One line: how many attachments, and how many of each verdict."""
    words = [verdict.word for _, verdict in judged]
    counts = [f"{words.count(word)} {word}" for word in (rules.AGREE, rules.MOTION, rules.UNSEEN) if word in words]
    wrong = words.count(rules.DISAGREE) + len(seen.exports)
    counts += [f"{wrong} {rules.DISAGREE}"] if wrong else []
    total = len(judged) + len(seen.exports)
    return f"{total} attachment{'' if total == 1 else 's'}: {', '.join(counts) or 'nothing to compare'}"


def title(seen: Seen, sides: Sides) -> str:
    """Names, where they are known, and ids."""
    volume = _named(seen.names, sides.volume_id)
    return f"volume {volume} in server {_named(seen.names, sides.server_id)}" if sides.server_id else f"volume {volume}"


def _named(names: Mapping[str, str], thing: str) -> str:
    return f"{names[thing]} ({thing})" if names.get(thing) else thing


def _block(seen: Seen, sides: Sides, verdict: rules.Verdict) -> str:
    shown = cells(sides)
    marks = {finding.side for finding in verdict.findings}
    width = max(map(len, SIDES))
    lines = [f"{title(seen, sides)}   {verdict.word}"]
    for side in SIDES:
        mark = "!" if side in marks and verdict.word == rules.DISAGREE else "~" if side in marks else " "
        lines.append(f"{mark} {side:<{width}} | {shown[side]}")
    for one in verdict.findings:
        sign = "!" if verdict.word == rules.DISAGREE else "~"
        since = f" (unchanged since {one.since})" if one.since else ""
        lines.append(f"  {sign} {one.side}: {one.what}{since}; {_would(one)}")
    return "\n".join(lines)


def _would(finding: rules.Finding) -> str:
    if finding.by == rules.PERSON:
        return f"for a person: {finding.action}"
    return f"{finding.by} would {finding.action}"


def cells(sides: Sides) -> dict[str, str]:
    """Each side in a few words."""
    return {
        "nova row": _row(sides),
        "cinder volume": _volume(sides),
        "cinder attachment": _attachment(sides),
        **_export(sides),
        "session": _sessions(sides),
        "host device": _device(sides),
        "live XML": _disk(sides, sides.live, running=True),
        "stored XML": _disk(sides, sides.stored, running=False),
    }


def _row(sides: Sides) -> str:
    row = sides.row
    if row is None:
        return _NOT_SEEN if sides_of.NOVA in sides.blind else _NONE
    state = f"attachment {row['attachment_id'] or 'of the volume actions'}" if row["connected"] else "reserved only"
    where = f" on {row['host']}" if row["host"] else ""
    return f"{row['device']}, {state}; server {row['vm_state']}{where}"


def _volume(sides: Sides) -> str:
    volume = sides.volume
    if volume is None:
        return _NOT_SEEN if sides_of.CINDER in sides.blind else _NONE
    return f"{volume['status']}, {volume['size']} GiB" + (f" on {volume['host']}" if volume["host"] else "")


def _attachment(sides: Sides) -> str:
    held = sides.attachment
    if held is None:
        return _NOT_SEEN if sides_of.CINDER in sides.blind else _NONE
    return f"{held['id']} {held['status']}" + (f" on {held['host']}" if held["host"] else "")


def _export(sides: Sides) -> dict[str, str]:
    found = sides.export
    target = (found or {}).get("target")
    lost = _NOT_SEEN if sides_of.TARGET in sides.blind or sides_of.CINDER in sides.blind else _NONE
    size = (found or {}).get("bytes")
    stored = _NOT_SEEN if sides.blind & {sides_of.STORAGE, sides_of.CINDER} else _NONE
    if size is not None:
        stored = f"{size['path']}, {size['size']} bytes" if size["size"] is not None else f"no {size['path']}"
    if found is None or not target or not target["present"]:
        return {"volume bytes": stored, "target": lost, "LUN": lost, "ACL": lost}
    lun = f"{target['lun']}: {target['path']}" if target["lun"] is not None else _NONE
    return {
        "volume bytes": stored,
        "target": f"{found['iqn']} at {', '.join(target['portals'])}",
        "LUN": lun,
        "ACL": f"{'CHAP' if target['chap'] else 'no login'}; {', '.join(target['initiators']) or 'nobody'}",
    }


def _sessions(sides: Sides) -> str:
    storage = (sides.compute or {}).get("storage") or {}
    target = (sides.export or {}).get("target") or {}
    told = [f"{one['initiator']} ({one['address']})" for one in target.get("sessions", ())]
    here = [f"host: {one['portal']} {one['state']}" for one in storage.get("sessions", ())]
    here += [f"host: {one['portal']} {one['state']}" for one in (sides.stray or {}).get("sessions", ())]
    if storage.get("initiator") == "qemu":
        here.append("in QEMU")
    if not (told or here) and sides.blind & {sides_of.TARGET, sides_of.CINDER, sides_of.INITIATOR}:
        return _NOT_SEEN
    return "; ".join([*here, *(f"target: {one}" for one in told)]) or _NONE


def _device(sides: Sides) -> str:
    storage = (sides.compute or {}).get("storage")
    if storage is None:
        return _NOT_SEEN if sides_of.INITIATOR in sides.blind else _NONE
    if storage["initiator"] != "host":
        return f"{_NONE}: {'QEMU connects by itself' if storage['initiator'] == 'qemu' else 'a host in memory'}"
    return f"{storage['device']} -> {storage['leads_to'] or 'nothing'}"


def _disk(sides: Sides, disk: Record | None, *, running: bool) -> str:
    if disk is not None:
        return f"{disk['alias']}, {disk['source']}"
    if sides_of.GUESTS in sides.blind:
        return _NOT_SEEN
    power = (sides.compute or {}).get("power_state")
    return f"{_NONE} ({power})" if running and power and power != "running" else _NONE


def data(seen: Seen, judged: Judged, code: int, healed: Sequence[Record] = ()) -> Record:
    """What a program reads. `healed` is what daemons answered to --fix."""
    return {
        "attachments": [
            {
                "server_id": one.server_id,
                "server_name": seen.names.get(one.server_id or ""),
                "volume_id": one.volume_id,
                "volume_name": seen.names.get(one.volume_id),
                "verdict": verdict.word,
                "sides": {
                    "row": one.row,
                    "stray": one.stray,
                    "volume": one.volume,
                    "attachment": one.attachment,
                },
                "not_seen": sorted(one.blind),
                "findings": [_finding(finding) for finding in verdict.findings],
            }
            for one, verdict in judged
        ],
        "exports_of_no_volume": [{"host": host, "volume_id": volume_id} for host, volume_id in seen.exports],
        "unseen": [dict(vars(one)) for one in seen.unseen],
        "healed": list(healed),
        "exit_code": code,
    }


def _finding(finding: rules.Finding) -> dict[str, typing.Any]:
    return dict(vars(finding))
