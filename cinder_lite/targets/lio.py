"""Exports through LIO, the iSCSI target in the Linux kernel: the target of LVM volumes.

What a host may do is a rule of its own (ACL): it is made when the host attaches and ends when it has detached, so one
that knows a volume's secret from earlier reaches nothing. This side decides and waits; what touches the kernel is one
call of `privileged.lio` each, because only root may. A reboot takes all targets: the database and, for attachments of
the older flow, the saved configuration tell what is to be there again (`ensure_all`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cinder_lite import errors as cinder_errors
from cinder_lite.privileged import lio
from cinder_lite.privileged.lio_records import Portal
from cinder_lite.targets import base
from lite_common import errors, privilege

# An initiator that is logging out is gone within a few milliseconds; one that is not costs no more than this.
_POLL = (0.005, 0.1)
# So many exports are made in one call, which keeps far below its time limit.
_BATCH = 25
_PREFIX = re.compile(r"iqn\.\d{4}-\d{2}\.[a-z0-9-]+\.[a-z0-9.:-]+")
_ANYWHERE = ("0.0.0.0", "::")
_TARGETS = "/sys/kernel/config/target/iscsi"
_BOOT = "/proc/sys/kernel/random/boot_id"


class LioTarget(base.TargetDriver):
    """Exports of the backend whose devices are in `directory` (/dev/<volume group>), by which it knows them again:
    several backends, and others, share the kernel's one target."""

    lun = 0

    def __init__(
        self,
        prefix: str,
        portal: str,
        directory: str,
        secondary: Sequence[str] = (),
        *,
        busy_wait: float = base.BUSY_WAIT,
    ) -> None:
        super().__init__(prefix, portal, secondary)
        self.directory = directory
        self.busy_wait = busy_wait
        self._made: set[str] = set()
        self._losses = 0
        self._lost: frozenset[str] = frozenset()

    def check_for_setup_error(self) -> None:
        """Look at options, kernel, library, saved configuration and portals."""
        if not lio.DIRECTORY.fullmatch(self.directory):
            raise errors.Invalid(
                f"The volumes of this backend are in {self.directory}, and target_helper = lioadm exports logical "
                "volumes only. Use volume_driver = lvm, or target_helper = tgtadm."
            )
        if not _PREFIX.fullmatch(self.prefix):
            raise errors.Invalid(
                f"The option target_prefix is {self.prefix!r}; the kernel's target takes names like "
                "iqn.2010-10.org.openstack: in lower case and without underscores."
            )
        portals = [Portal.parse(portal) for portal in self.portals]
        if any(portal.host in _ANYWHERE for portal in portals):
            raise errors.Invalid(
                "The options target_ip_address and target_secondary_ip_addresses must name addresses to which hosts "
                "can connect; 0.0.0.0 and :: are none."
            )
        self.portals = tuple(dict.fromkeys(map(str, portals)))
        self.portal = self.portals[0]
        self._check_location_length()
        with privilege.calling("the check of the kernel's iSCSI target"):
            lio.check(list(self.portals))

    def ensure_export(
        self,
        volume_name: str,
        path: str,
        auth: base.Auth,
        location: str | None = None,
        initiators: Collection[str] = (),
    ) -> str:
        """Ensure the target. It is saved for the next boot as soon as an initiator is let in."""
        wanted = base.Export(volume_name, path, auth, location, frozenset(initiators))
        outcome = self._ensure([wanted])[volume_name]
        if isinstance(outcome, errors.LiteError):
            raise outcome
        return outcome

    def ensure_all(self, exports: Iterable[base.Export]) -> dict[str, str | errors.LiteError]:
        """Ensure many with few calls, each of which saves once."""
        wanted = list(exports)
        outcome: dict[str, str | errors.LiteError] = {}
        for start in range(0, len(wanted), _BATCH):
            outcome |= self._ensure(wanted[start : start + _BATCH])
        return outcome

    def initialize_connection(self, volume_name: str, auth: base.Auth, connector: Mapping[str, Any]) -> None:
        """Make the initiator's rule, and save it."""
        with privilege.calling(f"the rule of {connector['initiator']} on {self.iqn(volume_name)}"):
            lio.grant(self.iqn(volume_name), auth.username, auth.password, connector["initiator"])

    def terminate_connection(self, volume_name: str, connector: Mapping[str, Any]) -> None:
        """Delete the initiator's rule once it has logged out, for that would cut its session."""
        iqn, initiator = self.iqn(volume_name), str(connector["initiator"])
        if lio.INITIATOR.fullmatch(initiator.lower()):
            self._once_unused(volume_name, lambda: lio.withdraw(iqn, initiator))

    def remove_export(self, volume_name: str, location: str | None) -> None:
        """Remove target, rules, storage object and what is saved, once nobody is logged in."""
        iqn = self.iqn(volume_name)
        was_made = volume_name in self._made
        self._made.discard(volume_name)
        try:
            self._once_unused(volume_name, lambda: lio.remove(iqn))
        except errors.LiteError:
            if was_made:
                self._made.add(volume_name)
            raise

    def sessions(self, volume_name: str) -> list[base.Session]:
        """Return who is logged in."""
        iqn = self.iqn(volume_name)
        with privilege.calling(f"the list of sessions of {iqn}"):
            return [base.Session(*one) for one in lio.sessions(iqn)]

    def shown(self, volume_names: Collection[str]) -> dict[str, base.Shown]:
        """Return what the kernel holds of them, asked in batches; secrets stay with the privileged half."""
        names = list(volume_names)
        found: dict[str, base.Shown] = {}
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            with privilege.calling(f"a look at {len(batch)} targets"):
                told = lio.shown([self.iqn(name) for name in batch])
            for name, one in zip(batch, told, strict=True):
                if one is not None:
                    found[name] = base.Shown(
                        one["path"],
                        chap=one["chap"],
                        initiators=frozenset(one["initiators"]),
                        sessions=tuple(base.Session(*session) for session in one["sessions"]),
                    )
        return found

    def exported(self) -> set[str]:
        """Return what is exported from the backend's directory, in the kernel or only saved."""
        with privilege.calling("the list of exports"):
            return {name.removeprefix(self.prefix) for name in lio.exported(self.prefix, self.directory)}

    def generation(self) -> str:
        """Return the boot, and how often since the start targets were found to be gone (`targetctl clear`)."""
        lost = frozenset(name for name in list(self._made) if not os.path.isdir(f"{_TARGETS}/{self.iqn(name)}"))
        if lost - self._lost:
            self._losses += 1
        self._lost = lost
        with open(_BOOT) as file:
            return f"{file.read().strip()}-{self._losses}"

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        """The initiator's name must be one that the kernel's target takes."""
        super().validate_connector(connector)
        name = connector["initiator"].lower()
        if len(name) > lio.INITIATOR_LENGTH or not lio.INITIATOR.fullmatch(name):
            raise cinder_errors.InvalidInput(
                reason=f"the connector's initiator {connector['initiator'][:300]!r} is not an iSCSI name, such as "
                "iqn.1993-08.org.debian:01:abcdef. Correct /etc/iscsi/initiatorname.iscsi of the host that connects."
            )

    def _ensure(self, exports: Sequence[base.Export]) -> dict[str, str | errors.LiteError]:
        wanted = [
            {
                "iqn": self.iqn(one.volume_name),
                "device": one.path,
                "portals": list(self.portals),
                "userid": one.auth.username,
                "password": one.auth.password,
                "initiators": sorted(one.initiators),
                "recall": one.recall,
            }
            for one in exports
        ]
        what = wanted[0]["iqn"] if len(wanted) == 1 else f"{len(wanted)} targets"
        with privilege.calling(f"the export of {what}"):
            failures = lio.ensure(wanted)
        outcome: dict[str, str | errors.LiteError] = {}
        for one, failure in zip(exports, failures, strict=True):
            if failure is None:
                self._made.add(one.volume_name)
                outcome[one.volume_name] = self._location(one.volume_name, self.iqn(one.volume_name))
            else:
                outcome[one.volume_name] = errors.BackendError(failure)
        return outcome

    def _once_unused(self, volume_name: str, work: Callable[[], list[list[str]]]) -> None:
        """Do it as soon as nobody is logged in. Raises errors.VolumeIsBusy after `busy_wait` seconds."""
        deadline = time.monotonic() + self.busy_wait
        pause, longest = _POLL
        while True:
            with privilege.calling(f"the removal of access to {self.iqn(volume_name)}"):
                sessions = work()
            if not sessions:
                return
            if time.monotonic() >= deadline:
                raise base.busy(volume_name, self.iqn(volume_name), [base.Session(*one) for one in sessions])
            time.sleep(pause)
            pause = min(2 * pause, longest)
