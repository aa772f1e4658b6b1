"""Exports through tgtd, the iSCSI target daemon in user space: works where the kernel has no target of its own.

tgtd keeps its targets in memory only. What should be exported is therefore kept twice: in the database, from which
the service restores exports (`ensure_all`), and as one file per volume in tgt-admin's own format, from which tgtd
restores them by itself when its configuration holds `include <directory>/*.conf` (one such line per backend: tgt
takes the `*/` of a deeper pattern for the end of a comment). Those files also tell which
targets are this backend's: no other target is ever touched.

An export grows in an order in which it is never open: target, CHAP account, disk, and last the rule that lets
initiators in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Sequence

from cinder_lite.targets import base, tgt_show
from cinder_lite.targets.tgt_control import Control, Mode, Op, Refusal, Refused
from lite_common import errors

LOG = logging.getLogger(__name__)

# An initiator that is logging out is gone within a few milliseconds.
_POLL = 0.005
_SUFFIX = ".conf"
_UNFINISHED = ".new-"
_SAFE_PATH = re.compile(r"[A-Za-z0-9/_.:@%+=-]+")
_LOGIN = re.compile(r"^\s*incominguser (\S+) ", re.MULTILINE)


class TgtTarget(base.TargetDriver):
    """Exports of one backend through the tgtd behind `control`, with its files in `directory` (mode 0700)."""

    def __init__(
        self,
        prefix: str,
        portal: str,
        directory: str,
        control: Control,
        secondary: Sequence[str] = (),
        *,
        busy_wait: float = base.BUSY_WAIT,
    ) -> None:
        super().__init__(prefix, portal, secondary)
        self.directory = os.path.abspath(directory)
        self.control = control
        self.busy_wait = busy_wait
        self._guard = threading.Lock()
        self._next_tid = 0

    def check_for_setup_error(self) -> None:
        """Make the directory and ask tgtd whether it is there."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            for name in os.listdir(self.directory):
                if name.startswith(_UNFINISHED):
                    os.unlink(os.path.join(self.directory, name))
        except OSError as err:
            raise self._file_error(self.directory, err) from err
        self.control.check()
        self._check_location_length()
        self._warn_of_portals()

    def ensure_export(
        self,
        volume_name: str,
        path: str,
        auth: base.Auth,
        location: str | None = None,
        initiators: Collection[str] = (),
    ) -> str:
        """Ensure file and target. A target that was here before keeps its number where that is free."""
        if not _SAFE_PATH.fullmatch(path):
            raise errors.BackendError(
                f"tgt cannot export {path!r}: use a volumes_dir of letters, digits and the characters / _ . : @ % + = -"
            )
        is_new = self._write(volume_name, path, auth)
        try:
            tid = self._ensure_target(self.iqn(volume_name), path, auth, _tid_of(location))
        except BaseException:
            if is_new:
                self._forget(volume_name)
            raise
        return self._location(volume_name, tid)

    def ensure_all(self, exports: Iterable[base.Export]) -> dict[str, str | errors.LiteError]:
        """Ensure many with one listing: an export that is right costs no request."""
        shown = tgt_show.parse(self._show())
        outcome: dict[str, str | errors.LiteError] = {}
        missing = []
        for export in exports:
            target = shown.get(self.iqn(export.volume_name))
            if target is not None and self._is_right(target, export.path, export.auth):
                outcome[export.volume_name] = self._kept(export, target)
            else:
                missing.append(export)
        return outcome | super().ensure_all(missing)

    def remove_export(self, volume_name: str, location: str | None) -> None:
        """Ensure that target, account and file are gone."""
        iqn = self.iqn(volume_name)
        target = tgt_show.find(self._show(), iqn)
        users = self._users(volume_name)
        if target is not None:
            users |= target.accounts
            self._delete_target(volume_name, target)
        for user in users:
            self._ask(iqn, Mode.ACCOUNT, Op.DELETE, parameters={"user": user}, tolerate=(Refusal.NO_ACCOUNT,))
        self._forget(volume_name)

    def sessions(self, volume_name: str) -> list[base.Session]:
        """Return who is logged in."""
        target = tgt_show.find(self._show(), self.iqn(volume_name))
        return target.sessions if target is not None else []

    def shown(self, volume_names: Collection[str]) -> dict[str, base.Shown]:
        """Return what tgtd lists of them, with one request."""
        listed = tgt_show.parse(self._show())
        found = {name: listed.get(self.iqn(name)) for name in volume_names}
        return {
            name: base.Shown(
                target.units.get(self.lun),
                chap=bool(target.accounts),
                initiators=frozenset(target.acl),
                sessions=tuple(target.sessions),
            )
            for name, target in found.items()
            if target is not None
        }

    def exported(self) -> set[str]:
        """Return the names for which there is a file."""
        try:
            names = os.listdir(self.directory)
        except OSError as err:
            raise self._file_error(self.directory, err) from err
        return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")}

    def extend_target(self, volume_name: str, path: str) -> None:
        """tgtd looks at a disk's size once, so the disk is given to it anew; not under the feet of an initiator."""
        iqn = self.iqn(volume_name)
        target = tgt_show.find(self._show(), iqn)
        if target is None or self.lun not in target.units:
            return
        if target.sessions:
            raise base.busy(volume_name, iqn, target.sessions)
        self._ask(iqn, Mode.UNIT, Op.DELETE, tid=target.tid, lun=self.lun, tolerate=(Refusal.NO_UNIT,))
        self._add_disk(iqn, target.tid, path)

    def generation(self) -> str:
        """Return process and socket of the running tgtd."""
        return self.control.generation()

    def _warn_of_portals(self) -> None:
        """tgtd listens where its own start says, or where an administrator of another network leads to it."""
        try:
            listening = set(tgt_show.portals(self.control.request(Mode.PORTAL, Op.SHOW)))
        except Refused:
            # Not known to every tgtd; the warning is all that is lost.
            return
        for portal in self.portals:
            port = portal.rpartition(":")[2]
            if not {portal, f"0.0.0.0:{port}", f"[::]:{port}"} & listening:
                LOG.warning(
                    "tgtd does not listen on %s itself (but on %s); hosts reach it only if something leads there",
                    portal,
                    ", ".join(sorted(listening)) or "nothing",
                )

    def _kept(self, export: base.Export, target: tgt_show.Target) -> str | errors.LiteError:
        try:
            self._write(export.volume_name, export.path, export.auth)
        except errors.LiteError as err:
            return err
        return self._location(export.volume_name, target.tid)

    def _ensure_target(self, iqn: str, path: str, auth: base.Auth, tid: int | None) -> int:
        """Make the target without looking first: on an attach there is none, and a listing grows with all targets."""
        for _ in range(5):
            tid = tid or self._new_tid()
            try:
                self.control.request(Mode.TARGET, Op.NEW, tid=tid, parameters={"targetname": iqn})
            except Refused as err:
                if err.number != Refusal.TARGET_EXISTS:
                    raise self._failed(iqn, err) from err
                found = tgt_show.find(self._show(), iqn)
                if found is not None:
                    return self._repair(found, path, auth)
                tid = None
                continue
            return self._fill(iqn, tid, path, auth)
        raise errors.BackendError(f"tgtd has no free number for target {iqn}. Repeat the request.")

    def _fill(self, iqn: str, tid: int, path: str, auth: base.Auth) -> int:
        try:
            self._bind_account(iqn, tid, auth)
            self._add_disk(iqn, tid, path)
            self._ask(iqn, Mode.TARGET, Op.BIND, tid=tid, parameters={"initiator-address": "ALL"})
        except BaseException:
            with contextlib.suppress(errors.LiteError):
                self._ask(iqn, Mode.TARGET, Op.DELETE, tid=tid)
                self._ask(iqn, Mode.ACCOUNT, Op.DELETE, parameters={"user": auth.username})
            raise
        return tid

    def _repair(self, target: tgt_show.Target, path: str, auth: base.Auth) -> int:
        """Add what the target lacks; one that nobody uses and that holds something foreign is made anew."""
        if self._is_right(target, path, auth):
            return target.tid
        iqn, tid = target.iqn, target.tid
        if not target.sessions:
            LOG.warning("target %s is not as it should be; making it anew", iqn)
            self._ask(iqn, Mode.TARGET, Op.DELETE, tid=tid)
            self._ask(iqn, Mode.TARGET, Op.NEW, tid=tid, parameters={"targetname": iqn})
            return self._fill(iqn, tid, path, auth)
        if target.units.get(self.lun, path) != path:
            raise errors.BackendError(
                f"Target {iqn} serves {target.units[self.lun]} to {target.sessions[0]} where {path} should be. "
                "Detach the disk there, then repeat the request."
            )
        LOG.warning("target %s lacks something; adding it under its session", iqn)
        if auth.username not in target.accounts:
            self._bind_account(iqn, tid, auth)
        if self.lun not in target.units:
            self._add_disk(iqn, tid, path)
        if "ALL" not in target.acl:
            self._ask(iqn, Mode.TARGET, Op.BIND, tid=tid, parameters={"initiator-address": "ALL"})
        return tid

    def _is_right(self, target: tgt_show.Target, path: str, auth: base.Auth) -> bool:
        # A user name is generated together with its password and belongs to one volume, so the name proves both.
        return target.units.get(self.lun) == path and target.accounts == {auth.username} and target.acl == {"ALL"}

    def _bind_account(self, iqn: str, tid: int, auth: base.Auth) -> None:
        login = {"user": auth.username, "password": auth.password}
        try:
            self.control.request(Mode.ACCOUNT, Op.NEW, parameters=login)
        except Refused as err:
            if err.number != Refusal.ACCOUNT_EXISTS:
                raise self._failed(iqn, err) from err
            # Left by an export that was cut short; its password cannot be read back, so it is set again.
            self._ask(iqn, Mode.ACCOUNT, Op.DELETE, parameters={"user": auth.username})
            self._ask(iqn, Mode.ACCOUNT, Op.NEW, parameters=login)
        self._ask(iqn, Mode.ACCOUNT, Op.BIND, tid=tid, parameters={"user": auth.username})

    def _add_disk(self, iqn: str, tid: int, path: str) -> None:
        try:
            self.control.request(Mode.UNIT, Op.NEW, tid=tid, lun=self.lun, parameters={"path": path})
        except Refused as err:
            if err.number == Refusal.INVALID:
                raise errors.BackendError(
                    f"tgtd cannot open {path} for target {iqn}. Check that the file exists and that tgtd may read and "
                    "write it."
                ) from err
            raise self._failed(iqn, err) from err
        names = {"scsi_id": _serial(iqn), "scsi_sn": _serial(iqn)}
        self._ask(iqn, Mode.UNIT, Op.UPDATE, tid=tid, lun=self.lun, prefix="targetOps ", parameters=names)

    def _delete_target(self, volume_name: str, target: tgt_show.Target) -> None:
        deadline = time.monotonic() + self.busy_wait
        while True:
            try:
                self.control.request(Mode.TARGET, Op.DELETE, tid=target.tid)
                return
            except Refused as err:
                if err.number == Refusal.NO_TARGET:
                    return
                if err.number != Refusal.TARGET_ACTIVE:
                    raise self._failed(target.iqn, err) from err
            if time.monotonic() >= deadline:
                raise base.busy(volume_name, target.iqn, self.sessions(volume_name))
            time.sleep(_POLL)

    def _ask(
        self,
        iqn: str,
        mode: Mode,
        op: Op,
        *,
        tid: int | None = None,
        lun: int | None = None,
        parameters: dict[str, str] | None = None,
        prefix: str = "",
        tolerate: Collection[int] = (),
    ) -> None:
        try:
            self.control.request(mode, op, tid=tid, lun=lun, parameters=parameters, prefix=prefix)
        except Refused as err:
            if err.number not in tolerate:
                raise self._failed(iqn, err) from err

    def _failed(self, iqn: str, err: Refused) -> errors.BackendError:
        return errors.BackendError(
            f"tgtd refused a change of target {iqn}: {err}. Look at `tgtadm --lld iscsi --op show --mode target` and "
            "at tgtd's log, then repeat the request."
        )

    def _show(self) -> str:
        try:
            shown = self.control.request(Mode.TARGET, Op.SHOW)
        except Refused as err:
            raise self._failed("(all)", err) from err
        with self._guard:
            self._next_tid = max([self._next_tid, *(tid + 1 for tid in tgt_show.numbers(shown))])
        return shown

    def _new_tid(self) -> int:
        if not self._next_tid:
            self._show()
        with self._guard:
            # Numbers are not used again while this process lives, so that an old one can never name a new target.
            tid = max(self._next_tid, 1)
            self._next_tid = tid + 1
        return tid

    def _file(self, volume_name: str) -> str:
        return os.path.join(self.directory, volume_name + _SUFFIX)

    def _write(self, volume_name: str, path: str, auth: base.Auth) -> bool:
        """Ensure the volume's file; True when there was none. Not synced: the database holds the same facts."""
        final = self._file(volume_name)
        text = (
            f"<target {self.iqn(volume_name)}>\n    driver iscsi\n    backing-store {path}\n"
            f"    incominguser {auth.username} {auth.password}\n"
            f"    scsi_id {_serial(volume_name)}\n    scsi_sn {_serial(volume_name)}\n</target>\n"
        )
        try:
            old = _content(final)
            if old != text:
                # mkstemp creates with mode 0600.
                descriptor, unfinished = tempfile.mkstemp(dir=self.directory, prefix=_UNFINISHED)
                with os.fdopen(descriptor, "w") as file:
                    file.write(text)
                os.rename(unfinished, final)
        except OSError as err:
            raise self._file_error(final, err) from err
        return old is None

    def _users(self, volume_name: str) -> set[str]:
        try:
            return set(_LOGIN.findall(_content(self._file(volume_name)) or ""))
        except OSError as err:
            raise self._file_error(self._file(volume_name), err) from err

    def _forget(self, volume_name: str) -> None:
        try:
            os.unlink(self._file(volume_name))
        except FileNotFoundError:
            return
        except OSError as err:
            raise self._file_error(self._file(volume_name), err) from err

    def _file_error(self, path: str, err: OSError) -> errors.BackendError:
        return errors.BackendError(
            f"{path} cannot be used: {err.strerror}. Check the option target_conf_dir of the backend, and owner, mode "
            "and free space of that directory."
        )


def _content(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _serial(name: str) -> str:
    """The volume's id: SCSI serial numbers in tgt end after 36 characters, just enough for a UUID."""
    return name.rpartition("volume-")[2][:36]


def _tid_of(location: str | None) -> int | None:
    match = re.match(r"\S+,(\d+) ", location or "")
    return int(match[1]) if match else None
