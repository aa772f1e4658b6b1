"""LVM's commands, one function for each thing that the LVM driver may do as root.

A volume group may hold more than our volumes, so every logical volume that is changed must carry one of our names.
What LVM answers is not judged here: a command that failed is raised as `CommandFailed` with LVM's own words, which
cinder_lite/drivers/lvm_errors.py turns into errors for people.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
from typing import Any

from cinder_lite import privileged

# Seconds for one command. It also waits for LVM's lock there, which another command may hold.
COMMAND_TIMEOUT = 60.0
# What a command that is stopped gets to put its devices in order.
STOP_TIMEOUT = 10.0
SETTLE_TIMEOUT = 10

# Tags on logical volumes, set by the very command that makes them: what a killed daemon leaves is known by them.
UNFINISHED = "nlite-unfinished"
TEMPORARY = "nlite-temporary"
SIZE = "nlite-size-"  # and the bytes that a snapshot's volume had

_GROUP = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_+.-]{0,100}")
_VOLUME = re.compile(r"(volume|_snapshot|clone-snap|grow)-[A-Za-z0-9][A-Za-z0-9_.-]{0,90}")
_EXTENTS = re.compile(r"/dev/[A-Za-z0-9_./:+-]+:[0-9]+-[0-9]+")
_TAG = re.compile(rf"{UNFINISHED}|{TEMPORARY}|{SIZE}[0-9]{{1,20}}")

_FIELDS = "lv_name,lv_size,lv_attr,lv_tags,origin,pool_lv,data_percent,metadata_percent,zero,vg_extent_size"
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LVM_SUPPRESS_FD_WARNINGS": "1"}
# Disks that hosts reach over iSCSI may be ours, seen from the other side: a guest decides what is on them, and a
# volume group with our own name there would make every command here ambiguous.
_OUR_DISKS = "r|^/dev/disk/by-path/.*-iscsi-.*:volume-.*|"


class CommandFailed(Exception):
    """A command ended with an error: its name, the exit code (None: it was stopped for taking too long), its words."""

    def __init__(self, command: str, code: int | None, words: str) -> None:
        super().__init__(command, code, words)
        self.command = command
        self.code = code
        self.words = words


@privileged.sys_admin.entrypoint
def group(vg: str) -> dict[str, Any]:
    """Sizes of the volume group, in bytes; raises CommandFailed when there is no such group."""
    rows = _rows("vg", "vgs", "-o", "vg_name,vg_size,vg_free,vg_extent_size,vg_missing_pv_count,lv_count", _group(vg))
    row = rows[0]
    return {
        "size": int(row["vg_size"]),
        "free": int(row["vg_free"]),
        "extent": int(row["vg_extent_size"]),
        "missing": int(row["vg_missing_pv_count"]),
        "volumes": int(row["lv_count"]),
    }


@privileged.sys_admin.entrypoint
def volumes(vg: str, name: str | None = None) -> list[dict[str, Any]]:
    """The group's logical volumes, or the one of that name; sizes in bytes."""
    only = [] if name is None else ["--select", f"lv_name={_own(vg, name)}"]
    return [_volume(row) for row in _rows("lv", "lvs", "-o", _FIELDS, *only, _group(vg))]


@privileged.sys_admin.entrypoint
def kernel() -> dict[str, Any]:
    """Whether the kernel has the device mapper and its thin pools and snapshots, and what runs beside it."""
    return {
        "device_mapper": os.path.exists("/dev/mapper/control") and _succeeds("dmsetup", "version"),
        "udev": os.path.exists("/run/udev/control"),
        "targets": {name: _has_target(name) for name in ("thin-pool", "snapshot")},
        "thin_check": _succeeds("thin_check", "--version"),
    }


@privileged.sys_admin.entrypoint
def create_pool(vg: str) -> None:
    """Make the thin pool VG-pool with 95 % of the free space; the rest is for its metadata's spare and growth."""
    _lvm("lvcreate", "--yes", "--type", "thin-pool", "--zero", "y", "-l", "95%FREE", "-n", f"{_group(vg)}-pool", vg)


@privileged.sys_admin.entrypoint
def create_thin(vg: str, name: str, size: int) -> None:
    """Make a thin volume of `size` bytes in VG-pool."""
    _lvm("lvcreate", "--yes", "-T", "-V", _bytes(size), "-n", _own(vg, name), f"{vg}/{vg}-pool")


@privileged.sys_admin.entrypoint
def create_thick(vg: str, name: str, size: int) -> None:
    """Make a volume of `size` bytes, tagged as unfinished: what it reads as is not known yet."""
    _lvm("lvcreate", "--yes", "-L", _bytes(size), "-n", _own(vg, name), "--addtag", UNFINISHED, vg)


@privileged.sys_admin.entrypoint
def snapshot(vg: str, name: str, origin: str, thin: bool, mark: str) -> None:
    """Make a snapshot with a tag. A thick one gets all the space it can ever need, so that it never becomes invalid;
    a thin one that is to be a volume is active like a volume.

    The kernel reads a thick snapshot chunk by chunk, and copies a chunk before the volume's first write to it: large
    ones make copies fast, small ones first writes. A snapshot that is there only to be copied gets the largest.
    """
    options = ["-l", "100%ORIGIN", "-c", "512k" if mark == TEMPORARY else "64k"]
    if thin:
        options = ["-kn", "-ay"] if name.startswith("volume-") else []
    _lvm("lvcreate", "--yes", "-s", "-n", _own(vg, name), *options, "--addtag", _tag(mark), f"{vg}/{_own(vg, origin)}")


@privileged.sys_admin.entrypoint
def extend(vg: str, name: str, size: int) -> None:
    """Make a volume larger, to `size` bytes."""
    _lvm("lvextend", "--yes", "-L", _bytes(size), f"{vg}/{_own(vg, name)}")


@privileged.sys_admin.entrypoint
def extend_onto(vg: str, name: str, size: int, other: str) -> None:
    """Make a volume larger by the very extents of another one, which is removed. What stands on them stays."""
    ranges = _lvm("lvs", "--noheadings", "-o", "seg_pe_ranges", f"{vg}/{_own(vg, other)}").split()
    if not ranges or not all(_EXTENTS.fullmatch(one) for one in ranges):
        raise CommandFailed("lvs", 0, f"{' '.join(ranges)!r} are no extents")
    _lvm("lvremove", "-f", f"{vg}/{other}")
    _lvm("lvextend", "--yes", "-L", _bytes(size), f"{vg}/{_own(vg, name)}", *ranges)


@privileged.sys_admin.entrypoint
def activate(vg: str, name: str, active: bool = True) -> None:
    """Have the volume's device node, or not have it."""
    options = ["-ay", "-K"] if active else ["-an"]
    _lvm("lvchange", "--yes", *options, f"{vg}/{_own(vg, name)}")


@privileged.sys_admin.entrypoint
def tag(vg: str, name: str, mark: str, present: bool) -> None:
    """Add one of our tags to a volume, or take it away."""
    _lvm("lvchange", "--addtag" if present else "--deltag", _tag(mark), f"{vg}/{_own(vg, name)}")


@privileged.sys_admin.entrypoint
def remove(vg: str, name: str) -> None:
    """Remove a volume. The caller made sure that it has no snapshots: LVM would take them along."""
    _lvm("lvremove", "-f", f"{vg}/{_own(vg, name)}")


@privileged.sys_admin.entrypoint
def settle() -> None:
    """Wait until udev has done what earlier changes caused; not longer than ten seconds, and without an error."""
    _succeeds("udevadm", "settle", "--timeout", str(SETTLE_TIMEOUT))


def device(vg: str, name: str) -> str:
    """The path of the device node of one of our volumes."""
    return f"/dev/{_group(vg)}/{_own(vg, name)}"


def _group(vg: str) -> str:
    if not _GROUP.fullmatch(vg):
        raise CommandFailed("lvm", 3, f"{vg!r} cannot be the name of a volume group")
    return vg


def _own(vg: str, name: str) -> str:
    _group(vg)
    if not _VOLUME.fullmatch(name):
        raise CommandFailed("lvm", 3, f"{name!r} cannot be the name of a volume")
    return name


def _tag(mark: str) -> str:
    if not _TAG.fullmatch(mark):
        raise CommandFailed("lvm", 3, f"{mark!r} is none of the tags")
    return mark


def _bytes(size: int) -> str:
    return f"{int(size)}b"


def _volume(row: dict[str, str]) -> dict[str, Any]:
    attributes = row["lv_attr"]
    return {
        "name": row["lv_name"],
        "size": int(row["lv_size"]),
        "extent": int(row["vg_extent_size"]),
        # lvs(8): the first letter is the kind, the fifth the state, the sixth whether the device is open.
        "kind": {"V": "thin", "t": "pool", "s": "snapshot", "S": "snapshot", "o": "origin", "O": "origin"}.get(
            attributes[0], "thick" if attributes[0] == "-" else "other"
        ),
        "active": attributes[4] == "a",
        "broken": attributes[4] in "ISd",
        "open": attributes[5] == "o",
        "tags": [tag for tag in row["lv_tags"].split(",") if tag],
        "origin": row["origin"],
        "pool": row["pool_lv"],
        "data_percent": float(row["data_percent"] or 0),
        "metadata_percent": float(row["metadata_percent"] or 0),
        "zeroing": row["zero"] == "zero",
    }


def _rows(kind: str, command: str, *arguments: str) -> list[dict[str, str]]:
    out = _lvm(command, "--reportformat", "json", "--units", "b", "--nosuffix", *arguments)
    rows: list[dict[str, str]] = json.loads(out)["report"][0][kind]
    return rows


def _lvm(command: str, *arguments: str) -> str:
    """What the command printed; run as `lvm COMMAND`, which exists also where the short names do not."""
    return _run("lvm", command, "--config", _config(), *arguments)


@functools.cache
def _config() -> str:
    """Settings for every command: never look for volume groups inside volumes or behind our own targets."""
    try:
        own = _run("lvm", "lvmconfig", "--type", "full", "devices/global_filter")
    except CommandFailed:
        own = ""
    filters = ",".join(f'"{one}"' for one in [_OUR_DISKS, *re.findall(r'"([^"]*)"', own)])
    return f"devices {{ scan_lvs = 0 global_filter = [ {filters} ] }} activation {{ retry_deactivation = 1 }}"


def _has_target(name: str) -> bool:
    """Whether the device mapper knows this kind; the kernel loads the module for the question, so nobody needs to."""
    return os.path.exists(f"/sys/module/dm_{name.replace('-', '_')}") or _succeeds("dmsetup", "target-version", name)


def _succeeds(*command: str) -> bool:
    try:
        _run(*command)
    except CommandFailed:
        return False
    return True


def _run(*command: str) -> str:
    """What the command printed. Raises CommandFailed; a command that takes too long is stopped, gently at first."""
    name = command[1] if command[0] == "lvm" else command[0]
    try:
        process = subprocess.Popen(
            command,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            umask=0o022,
            # A signal to the daemon's group must not hit LVM while it has devices suspended.
            start_new_session=True,
        )
    except OSError as err:
        raise CommandFailed(name, 127, f"{command[0]} cannot be run: {err.strerror}") from err
    try:
        out, words = process.communicate(timeout=COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise CommandFailed(name, None, f"stopped after {COMMAND_TIMEOUT:.0f} s") from None
    if process.returncode != 0:
        raise CommandFailed(name, process.returncode, words.strip())
    return out
