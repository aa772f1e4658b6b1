"""The world as the probe sees it: what is left of each volume anywhere, read from those who have it.

Nothing here asks an API. `Found` holds all traces of one volume; `attached`, `detached` and `gone` are the only three
ways in which they agree with each other, and the text they return otherwise names what does not.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import sqlalchemy as sa

from cinder_lite.targets import tgt_control, tgt_show
from devstack import system as systems

IQN = "iqn.2010-10.org.openstack:volume-"
QUERIES = {
    "volumes": ("cinder", "SELECT id, status, attach_status, display_name FROM volumes WHERE deleted = 0"),
    "attachments": (
        "cinder",
        "SELECT volume_id, id, attach_status, instance_uuid FROM volume_attachment WHERE deleted = 0",
    ),
    "devices": (
        "nova",
        "SELECT volume_id, instance_uuid, attachment_id, connection_info IS NOT NULL FROM block_device_mapping "
        "WHERE deleted = 0 AND volume_id IS NOT NULL",
    ),
    "tasks": ("nova", "SELECT uuid, task_state FROM instances WHERE deleted = 0 AND task_state IS NOT NULL"),
    "reservations": ("cinder", "SELECT uuid, delta, resource FROM reservations WHERE deleted = 0"),
    "usage": (
        "cinder",
        "SELECT resource, in_use, reserved FROM quota_usages WHERE resource IN ('volumes', 'gigabytes')",
    ),
    "counted": ("cinder", "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM volumes WHERE deleted = 0"),
}


@dataclass
class Found:
    """All traces of one volume. `status` is None where no row is left."""

    status: str | None = None
    attach_status: str | None = None
    name: str | None = None
    attachments: list[tuple[str, str, str]] = field(default_factory=list)
    devices: list[tuple[str, str | None, bool]] = field(default_factory=list)
    target: tgt_show.Target | None = None
    live: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    bytes: bool = False
    saved: bool = False

    def attached(self, server: str) -> str:
        """Empty, if the volume is in use with exactly one disk, in this server; else what is wrong."""
        sessions = len(self.target.sessions) if self.target else -1
        wrong = [
            *_unless(self.status == "in-use", f"status {self.status}"),
            *_unless(self.attach_status == "attached", f"attach_status {self.attach_status}"),
            *_unless([one[1:] for one in self.attachments] == [("attached", server)], f"rows {self.attachments}"),
            *_unless([(one[0], one[2]) for one in self.devices] == [(server, True)], f"devices {self.devices}"),
            *_unless(self.live == [server], f"live in {self.live}"),
            *_unless(self.stored == [server], f"stored in {self.stored}"),
            *_unless(sessions == 1, f"{sessions} sessions" if self.target else "no target"),
            *_unless(self.bytes, "no bytes"),
        ]
        if self.target is not None:
            ready = len(self.target.units) == 2 and self.target.acl and self.target.accounts
            wrong += _unless(ready, f"target half made: {self.target}")
        known = {one[1] for one in self.devices} - {None}
        wrong += _unless(known <= {one[0] for one in self.attachments}, "nova has another attachment than cinder")
        return ", ".join(wrong)

    def detached(self) -> str:
        """Empty, if the volume is available and nothing is left of any attachment; else what is wrong."""
        wrong = [
            *_unless(self.status == "available", f"status {self.status}"),
            *_unless(self.attach_status == "detached", f"attach_status {self.attach_status}"),
            *_unless(self.bytes, "no bytes"),
        ]
        return ", ".join([*wrong, *self._unfreed()])

    def gone(self) -> str:
        """Empty, if nothing at all is left of the volume; else what is."""
        wrong = _unless(self.status is None, f"status {self.status}")
        return ", ".join([*wrong, *_unless(not self.bytes, "its bytes"), *self._unfreed()])

    def _unfreed(self) -> list[str]:
        return [
            *_unless(not self.attachments, f"rows {self.attachments}"),
            *_unless(not self.devices, f"devices {self.devices}"),
            *_unless(not self.live, f"live in {self.live}"),
            *_unless(not self.stored, f"stored in {self.stored}"),
            *_unless(self.target is None, f"target {self.target}"),
            *_unless(not self.saved, "a saved target"),
        ]


@dataclass
class World:
    """One look: the traces of each volume that has any, and what is wrong beside them."""

    volumes: dict[str, Found]
    strays: list[str]

    def of(self, volume: str) -> Found:
        """The traces of a volume."""
        return self.volumes.get(volume, Found())

    def named(self, name: str) -> list[str]:
        """The volumes that have this name."""
        return [volume for volume, found in self.volumes.items() if found.name == name]


class Looker:
    """Looks at the world of one started system."""

    def __init__(self, system: systems.System, engines: dict[str, sa.Engine]) -> None:
        self._system = system
        self._engines = engines
        self._libvirt: libvirt.virConnect | None = None

    def forget(self) -> None:
        """Connect anew to all that is looked at: some of it was away."""
        self._libvirt = None
        for engine in self._engines.values():
            engine.dispose()

    def world(self) -> World:
        """What there is now. Raises what those raise that are asked and not there."""
        rows = {name: self._sql(*query) for name, query in QUERIES.items()}
        volumes: dict[str, Found] = {}

        def of(volume: str) -> Found:
            return volumes.setdefault(volume, Found())

        for volume, status, attach_status, name in rows["volumes"]:
            found = of(volume)
            found.status, found.attach_status, found.name = status, attach_status, name
        for volume, *rest in rows["attachments"]:
            of(volume).attachments.append((rest[0], rest[1], rest[2]))
        for volume, server, attachment, connected in rows["devices"]:
            of(volume).devices.append((server, attachment, bool(connected)))
        for iqn, target in self._targets().items():
            of(iqn.removeprefix(IQN)).target = target
        for server, live, stored in self._domains():
            for volume in live:
                of(volume).live.append(server)
            for volume in stored:
                of(volume).stored.append(server)
        for volume in _ids(self._system.directory / "volumes"):
            of(volume).bytes = True
        for volume in _ids(self._system.short / "cinder-state" / "targets"):
            of(volume).saved = True
        return World(volumes, [*_strays(rows), *self._secrets()])

    def _sql(self, database: str, query: str) -> list[tuple[Any, ...]]:
        with self._engines[database].connect() as conn:
            return [tuple(row) for row in conn.execute(sa.text(query))]

    def _targets(self) -> dict[str, tgt_show.Target]:
        control = tgt_control.Control(str(self._system.tgtd.ipc_socket))
        return tgt_show.parse(control.request(tgt_control.Mode.TARGET, tgt_control.Op.SHOW))

    def _connection(self) -> libvirt.virConnect:
        if self._libvirt is None or not self._libvirt.isAlive():
            self._libvirt = libvirt.open(self._system.libvirtd.uri)
        return self._libvirt

    def _domains(self) -> Iterator[tuple[str, list[str], list[str]]]:
        for domain in self._connection().listAllDomains():
            live = _serials(domain.XMLDesc(0)) if domain.isActive() else []
            yield domain.UUIDString(), live, _serials(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))

    def _secrets(self) -> list[str]:
        return [f"libvirt has the secret {one.usageID()}" for one in self._connection().listAllSecrets()]


def _strays(rows: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    """What is wrong with servers and quotas."""
    wrong = [f"server {server} is in task {task}" for server, task in rows["tasks"]]
    wrong += [f"reservation {uuid} of {delta} {resource}" for uuid, delta, resource in rows["reservations"]]
    ((number, size),) = rows["counted"]
    for resource, in_use, reserved in rows["usage"]:
        true = number if resource == "volumes" else int(size)
        aside = sum(delta for _, delta, what in rows["reservations"] if what == resource)
        if (in_use, reserved) != (true, aside):
            wrong.append(f"quota of {resource}: {in_use} in use and {reserved} reserved, {true} are there")
    return wrong


def _ids(place: Path) -> set[str]:
    names = (re.search(r"volume-([0-9a-f-]{36})", one.name) for one in place.rglob("*"))
    return {match[1] for match in names if match}


def _serials(description: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(description).iterfind("./devices/disk/serial")]


def _unless(right: object, wrong: str) -> list[str]:
    return [] if right else [wrong]
