"""LVM's command line, played: understands what cinder_lite/privileged/lvm.py runs, keeps one volume group in memory
and answers in LVM's own words. The real thing is tested in tests/kernel/test_lvm.py."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cinder_lite.privileged import lvm

EXTENT = 4 << 20


@dataclass
class Lv:
    size: int
    kind: str = "thick"
    tags: set[str] = field(default_factory=set)
    origin: str = ""
    pool: str = ""
    active: bool = True
    opened: int = 0


class Lvm:
    """`group` is None when the group is missing; `fails` maps a command to (code, words) that it ends with."""

    def __init__(self, group: str, size: int) -> None:
        self.group: str | None = group
        self.size = size
        self.volumes: dict[str, Lv] = {}
        self.fails: dict[str, tuple[int | None, str]] = {}
        self.ran: list[tuple[str, ...]] = []
        self.missing_targets: set[str] = set()
        self.zeroed: list[tuple[Any, ...]] = []  # name, offset, length; pieces in a row are one
        self.copied: list[tuple[Any, ...]] = []  # source, target, offset, length
        self.offered = ""  # the extents last told
        self.pool_zeroing = True
        self.pool_data = 0.0
        self.pool_metadata = 10.0

    def run(self, *command: str) -> str:
        name, arguments = (command[1], list(command[2:])) if command[0] == "lvm" else (command[0], list(command[1:]))
        self.ran.append((name, *arguments))
        if name in self.fails:
            raise lvm.CommandFailed(name, *self.fails[name])
        if "--config" in arguments:
            at = arguments.index("--config")
            assert "scan_lvs = 0" in arguments[at + 1]
            del arguments[at : at + 2]
        work: Callable[[list[str]], str] = getattr(self, f"_{name}")
        return work(arguments)

    @property
    def free(self) -> int:
        return self.size - sum(lv.size for lv in self.volumes.values() if lv.kind != "thin")

    # -- the parts of `blocks` that the driver uses ------------------------------------------------------------------

    def device_size(self, vg: str, name: str) -> int:
        return self.volumes[name].size

    def zero(self, vg: str, name: str, offset: int, length: int) -> None:
        assert self.volumes[name].active
        _join(self.zeroed, (name,), offset, length)

    def copy(self, vg: str, source: str, target: str, offset: int, length: int) -> None:
        assert self.volumes[source].active
        assert self.volumes[target].active
        _join(self.copied, (source, target), offset, length)

    def users(self, vg: str, name: str) -> list[str]:
        return ["blkid (pid 7)"] if self.volumes[name].opened else []

    # -- the commands ----------------------------------------------------------------------------------------------

    def _lvmconfig(self, arguments: list[str]) -> str:
        return 'global_filter=["a|.*/|"]\n'

    def _dmsetup(self, arguments: list[str]) -> str:
        if arguments[-1] in self.missing_targets:
            self._fail("dmsetup", "device-mapper: get target version ioctl failed: Invalid argument")
        return ""

    _thin_check = _udevadm = _dmsetup

    def _vgs(self, arguments: list[str]) -> str:
        self._check_group(arguments[-1])
        row = {
            "vg_name": self.group,
            "vg_size": str(self.size),
            "vg_free": str(self.free),
            "vg_extent_size": str(EXTENT),
            "vg_missing_pv_count": "0",
            "lv_count": str(len(self.volumes)),
        }
        return json.dumps({"report": [{"vg": [row]}]})

    def _lvs(self, arguments: list[str]) -> str:
        if "seg_pe_ranges" in arguments:
            self.offered = f"/dev/sim:0-{self._volume(arguments[-1]).size // EXTENT - 1}"
            return f"  {self.offered}\n"
        self._check_group(arguments[-1])
        only = arguments[arguments.index("--select") + 1].removeprefix("lv_name=") if "--select" in arguments else None
        rows = [self._row(name) for name in self.volumes if only in (None, name)]
        return json.dumps({"report": [{"lv": rows}]})

    def _row(self, name: str) -> dict[str, str]:
        lv = self.volumes[name]
        is_origin = any(other.kind == "snapshot" and other.origin == name for other in self.volumes.values())
        letter = {"thin": "V", "pool": "t", "snapshot": "s"}.get(lv.kind, "o" if is_origin else "-")
        state = "a" if lv.active else "-"
        return {
            "lv_name": name,
            "lv_size": str(lv.size),
            "lv_attr": f"{letter}wi-{state}{'o' if lv.opened else '-'}----",
            "lv_tags": ",".join(sorted(lv.tags)),
            "origin": lv.origin,
            "pool_lv": lv.pool,
            "data_percent": str(self.pool_data) if lv.kind == "pool" else "",
            "metadata_percent": str(self.pool_metadata) if lv.kind == "pool" else "",
            "zero": "zero" if lv.kind == "pool" and self.pool_zeroing else "unknown",
            "vg_extent_size": str(EXTENT),
        }

    def _lvcreate(self, arguments: list[str]) -> str:
        options = _options(arguments)
        name = options["-n"]
        if name in self.volumes:
            self._fail("lvcreate", f'Logical Volume "{name}" already exists in volume group "{self.group}"')
        tags = {options["--addtag"]} if "--addtag" in options else set()
        if options.get("--type") == "thin-pool":
            made = Lv(self.free * 95 // 100, "pool")
        elif "-V" in options:
            self._volume(arguments[-1])
            made = Lv(_bytes(options["-V"]), "thin", pool=f"{self.group}-pool")
        elif "-s" in arguments:
            made = self._snapshot(arguments[-1].partition("/")[2], "-ay" in arguments)
        else:
            self._check_group(arguments[-1])
            made = Lv(_bytes(options["-L"]))
        if made.kind != "thin" and made.size > self.free:
            self._fail("lvcreate", f'Volume group "{self.group}" has insufficient free space (1 extents): 2 required.')
        made.tags = tags
        self.volumes[name] = made
        return ""

    def _snapshot(self, origin: str, active: bool) -> Lv:
        lv = self._volume(f"{self.group}/{origin}")
        if lv.kind == "thin":
            return Lv(lv.size, "thin", origin=origin, pool=lv.pool, active=active)
        return Lv(lv.size + EXTENT, "snapshot", origin=origin)

    def _lvextend(self, arguments: list[str]) -> str:
        path = next(argument for argument in arguments if argument.startswith(f"{self.group}/"))
        lv, size = self._volume(path), _bytes(_options(arguments)["-L"])
        if size <= lv.size:
            self._fail("lvextend", "New size given (1 extents) not larger than existing size (1 extents)")
        if lv.kind != "thin" and size - lv.size > self.free:
            self._fail("lvextend", "Insufficient free space: 2 extents needed, but only 1 available")
        if lv.kind == "thick":
            assert arguments[-1] == self.offered == f"/dev/sim:0-{(size - lv.size) // EXTENT - 1}"
        if self._row(path.partition("/")[2])["lv_attr"][0] == "o":
            assert not lv.active
        lv.size = size
        return ""

    def _lvchange(self, arguments: list[str]) -> str:
        lv, options = self._volume(arguments[-1]), _options(arguments)
        if "--addtag" in options:
            lv.tags.add(options["--addtag"])
        if "--deltag" in options:
            lv.tags.discard(options["--deltag"])
        if "-ay" in arguments or "-an" in arguments:
            lv.active = "-ay" in arguments
        return ""

    def _lvremove(self, arguments: list[str]) -> str:
        lv, name = self._volume(arguments[-1]), arguments[-1].partition("/")[2]
        if lv.opened:
            lv.opened -= 1
            self._fail("lvremove", f"Logical volume {arguments[-1]} in use.")
        for other in [other for other, row in self.volumes.items() if row.kind == "snapshot" and row.origin == name]:
            del self.volumes[other]
        del self.volumes[name]
        return ""

    def _check_group(self, group: str) -> None:
        if group != self.group:
            self._fail("vgs", f'Volume group "{group}" not found\n  Cannot process volume group {group}')

    def _volume(self, path: str) -> Lv:
        group, _, name = path.partition("/")
        self._check_group(group)
        if name not in self.volumes:
            self._fail("lvs", f'Failed to find logical volume "{path}"')
        return self.volumes[name]

    def _fail(self, command: str, words: str) -> None:
        raise lvm.CommandFailed(command, 5, words)


def _join(ranges: list[tuple[Any, ...]], names: tuple[str, ...], offset: int, length: int) -> None:
    if ranges and ranges[-1][: len(names)] == names and sum(ranges[-1][len(names) :]) == offset:
        offset, length = ranges[-1][len(names)], ranges[-1][-1] + length
        ranges.pop()
    ranges.append((*names, offset, length))


def _options(arguments: list[str]) -> dict[str, str]:
    return {key: value for key, value in itertools.pairwise(arguments) if key.startswith("-")}


def _bytes(size: str) -> int:
    assert size.endswith("b")
    return int(size[:-1])
