"""The connector of a host that logs in to iSCSI targets itself and gives its guests block devices (os-brick).

os-brick does the logins, the scans, the multipath maps and the removal of devices, under its own locks. Around it
stands here what an operator of a busy host would miss: portals are asked before a login (a dead one costs two
seconds, not six minutes), the device gets a name that stays right over reboots, a device that something else uses is
refused, and after a failure nothing is left that was not there before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from os_brick import opts as brick_options
from os_brick.initiator import linuxscsi
from os_brick.initiator.connectors import iscsi
from os_brick.privileged import rootwrap
from oslo_concurrency import lockutils, processutils

from lite_common import errors as base_errors
from lite_common import privilege
from nova_lite.virt import errors
from nova_lite.volume import brick_commands, brick_failures, brick_scsi, connector, initiator, iscsi_login
from nova_lite.volume import connection_info as connection_information
from nova_lite.volume.connection_info import IscsiPath, IscsiVolume
from nova_lite.volume.sysfs import Session, Sysfs

LOG = logging.getLogger(__name__)

_ROOT_HELPER = "sudo"  # os-brick wants one; its privileged functions take another way
_POLL = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose, and the limits; times in seconds.

    `lock_path` is where os-brick's locks are files, the same for all that use os-brick on a host.
    `replacement_timeout` is how long a guest's reads and writes wait for a portal that is lost before they fail.
    """

    my_ip: str
    host: str
    lock_path: str
    multipath: bool = False
    enforce_multipath: bool = False
    scan_attempts: int = 3
    connect_timeout: float = 2.0
    check_timeout: float = 5.0
    login_timeout: int = 10
    command_timeout: float = 30.0
    device_timeout: float = 30.0
    recovery_timeout: float = 5.0
    replacement_timeout: int = 300


class BrickConnector(connector.Connector):
    """The host's own initiator; `run` and `sysfs` are replaced in tests."""

    has_devices: ClassVar[bool] = True

    def __init__(
        self, settings: Settings, run: brick_commands.Run = rootwrap.execute, sysfs: Sysfs | None = None
    ) -> None:
        super().__init__(settings.my_ip, settings.host)
        self._settings = settings
        self._run = run
        self._sysfs = sysfs or Sysfs()
        self._multipath = settings.multipath
        self._initiator: str | None = None
        self._lock = threading.Lock()
        os.makedirs(settings.lock_path, mode=0o700, exist_ok=True)
        lockutils.set_defaults(settings.lock_path)
        brick_options.set_defaults()

    def init_host(self) -> None:
        """See Connector."""
        if shutil.which("iscsiadm", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise errors.InitiatorUnfit(reason="iscsiadm is not installed. Install the package open-iscsi.")
        if not self._sysfs.has_module("iscsi_tcp"):
            release = os.uname().release
            reason = (
                f"kernel {release} has no module iscsi_tcp. "
                "Boot a kernel that has it, or set [libvirt] iscsi_initiator = qemu."
            )
            raise errors.InitiatorUnfit(reason=reason)
        LOG.info("this host logs in to iSCSI targets as %s", self.initiator)
        if self._multipath and not self._multipathd_runs():
            if self._settings.enforce_multipath:
                reason = (
                    "multipathd does not run, and [libvirt] volume_enforce_multipath asks for it. Start multipathd."
                )
                raise errors.InitiatorUnfit(reason=reason)
            LOG.warning("multipathd does not run: volumes get a single path until this service is started anew")
            self._multipath = False

    @property
    def initiator(self) -> str:
        """See Connector; read once, as iscsid reads it once."""
        with self._lock:
            if self._initiator is None:
                with self._privileged("reading the initiator's name"):
                    found = iscsi.ISCSIConnector.get_connector_properties(_ROOT_HELPER, execute=self._run)
                self._initiator = found.get("initiator") or None
            if self._initiator is None:
                path = initiator.DISTRIBUTION_FILE
                reason = (
                    f"{path} has no line InitiatorName=iqn... Write one that no other host has "
                    f"(`echo InitiatorName=$(iscsi-iname) > {path}`) and restart iscsid and this service."
                )
                raise errors.InitiatorUnfit(reason=reason)
            return self._initiator

    def properties(self, mountpoint: str | None = None) -> dict[str, Any]:
        """See Connector."""
        found = super().properties(mountpoint)
        return {**found, "multipath": self._multipath, "enforce_multipath": self._settings.enforce_multipath}

    def connect_volume(self, connection_info: Mapping[str, Any]) -> dict[str, Any]:
        """See Connector; a volume that is connected already stays so, undisturbed."""
        volume = connection_information.iscsi(connection_info)
        before = self._sessions(volume)
        usable = self._usable(volume, before)
        commands = self._commands(volume)
        properties = {**connection_info["data"], **_targets(usable)}
        with contextlib.ExitStack() as undo:
            undo.callback(self._undo, volume, before, self._disks(volume, *before))
            with self._translated(volume, commands):
                found = self._brick(commands).connect_volume(properties)
            device = self._stable_name(volume, found)
            self._refuse_used(volume, device)
            undo.pop_all()
        return connection_information.with_device(connection_info, device, found.get("multipath_id"))

    def disconnect_volume(self, connection_info: Mapping[str, Any], force: bool = False) -> None:
        """See Connector."""
        if connection_info.get("driver_volume_type") != "iscsi":  # none of ours, or never connected
            return
        volume = connection_information.iscsi(connection_info, secrets=False)
        sessions = self._sessions(volume)
        if any(one.healthy for one in sessions):
            self._remove(volume, connection_information.device_path(connection_info), force)
        elif sessions:
            self._abandon(volume, sessions, force)
        else:
            self._forget(volume)
        # A session without our disk serves other volumes of the same target.
        left = [
            one for one in self._sessions(volume) if not self._serves_others(volume, one) or self._disks(volume, one)
        ]
        if left:
            names = ", ".join(one.portal for one in left)
            raise errors.DisconnectFailed(volume=volume.volume_id, reason=f"its sessions with {names} are still open.")

    def extend_volume(self, connection_info: Mapping[str, Any]) -> int:
        """See Connector."""
        volume = connection_information.iscsi(connection_info, secrets=False)
        sessions = self._sessions(volume)
        if not sessions:
            raise errors.DeviceMissing(volume=volume.volume_id, reason="this host has no session with its target.")
        connected = [path for path in volume.paths if any(_matches(one, path) for one in sessions)]
        commands = self._commands(volume)
        properties = {**connection_info["data"], **_targets(connected)}
        with self._translated(volume, commands):
            size = self._brick(commands).extend_volume(properties)
        if not size:
            raise errors.DeviceMissing(volume=volume.volume_id, reason="the kernel does not tell its size.")
        return int(size)

    def _kernel(self) -> Sysfs:
        return self._sysfs

    def _sessions(self, volume: IscsiVolume) -> list[Session]:
        found = [one for iqn in dict.fromkeys(path.iqn for path in volume.paths) for one in self._sysfs.sessions(iqn)]
        return [one for one in found if any(_matches(one, path) for path in volume.paths)]

    def _usable(self, volume: IscsiVolume, sessions: list[Session]) -> list[IscsiPath]:
        """The paths to connect: those in use, else those whose portals let us in. Raises what the first one said."""
        usable: list[IscsiPath] = []
        refusals: list[base_errors.LiteError] = []
        healthy = [path for path in volume.paths if any(_matches(one, path) and one.healthy for one in sessions)]
        for path in volume.paths:
            if usable and not self._multipath:
                break
            if healthy and not self._multipath:
                return healthy[:1]
            if path in healthy:
                usable.append(path)
                continue
            try:
                self._ask(volume.over(path))
            except base_errors.LiteError as err:
                LOG.warning("%s", err.message)
                refusals.append(err)
                continue
            for lost in (one for one in sessions if _matches(one, path)):
                self._recover(volume, path, lost)
            usable.append(path)
        if not usable:
            raise refusals[0]
        return usable

    def _ask(self, volume: IscsiVolume) -> None:
        limits = self._settings.connect_timeout, self._settings.check_timeout
        iscsi_login.check(volume, self.initiator, *limits)

    def _recover(self, volume: IscsiVolume, path: IscsiPath, lost: Session) -> None:
        """Give iscsid a moment to get a lost session back, as the portal answers; then end it for a new login."""
        deadline = time.monotonic() + self._settings.recovery_timeout
        while time.monotonic() < deadline:
            now = [one for one in self._sysfs.sessions(path.iqn) if one.number == lost.number]
            if not now or now[0].healthy:
                return
            time.sleep(_POLL * 10)
        if self._serves_others(volume, lost):
            reason = "its session with this host is lost and does not recover"
            raise errors.PortalUnreachable(portal=path.portal, iqn=path.iqn, reason=reason)
        LOG.warning("the session with %s of volume %s does not recover; it is made anew", path.portal, volume.volume_id)
        self._log_out(volume, path)

    def _remove(self, volume: IscsiVolume, device: str | None, force: bool) -> None:
        """Flush and remove the device, end the sessions that have no other one, delete their node records."""
        if device is not None and not force:
            with contextlib.suppress(FileNotFoundError):
                users = self._sysfs.users(device)
                if users:
                    reason = f"its device {device} is in use on this host by {', '.join(users)}."
                    raise errors.DisconnectFailed(volume=volume.volume_id, reason=reason)
        commands = self._commands(volume)
        info = {"type": "block", "path": device} if device is not None else None
        try:
            with self._privileged(f"disconnecting volume {volume.volume_id}"):
                self._brick(commands).disconnect_volume(
                    _targets(list(volume.paths)), info, force=force, ignore_errors=force
                )
        except brick_failures.RAISED as err:
            raise errors.DisconnectFailed(volume=volume.volume_id, reason=brick_failures.words(err)) from err

    def _abandon(self, volume: IscsiVolume, sessions: list[Session], force: bool) -> None:
        """All portals are lost, so nothing can be written now; a removal of the device would wait for them.

        Once the kernel has given up on them, what was not written is lost in any case, and nothing is waited for.
        """
        disks = self._disks(volume, *sessions)
        given_up = all(self._sysfs.given_up(disk) for disk in disks)
        if not force and not given_up:
            names = ", ".join(one.portal for one in sessions)
            reason = f"the sessions with {names} are lost, so its buffers cannot be written."
            raise errors.DisconnectFailed(volume=volume.volume_id, reason=reason)
        for path in volume.paths:
            for one in sessions:
                if _matches(one, path) and not self._serves_others(volume, one):
                    self._log_out(volume, path)
        self._forget(volume)

    def _log_out(self, volume: IscsiVolume, path: IscsiPath) -> None:
        self._iscsiadm(volume, "-T", path.iqn, "-p", path.portal, "--logout")

    def _forget(self, volume: IscsiVolume) -> None:
        """Delete the node records of targets without a session, whatever portals they name."""
        for iqn in dict.fromkeys(path.iqn for path in volume.paths):
            if not self._sysfs.sessions(iqn):
                self._iscsiadm(volume, "-T", iqn, "--op", "delete")

    def _iscsiadm(self, volume: IscsiVolume, *arguments: str) -> None:
        good = [0, brick_commands.NO_RECORD]
        limit = self._settings.command_timeout
        try:
            with self._privileged(f"ending the logins for volume {volume.volume_id}"):
                self._run("iscsiadm", "-m", "node", *arguments, run_as_root=True, check_exit_code=good, timeout=limit)
        except processutils.ProcessExecutionError as err:
            raise errors.DisconnectFailed(volume=volume.volume_id, reason=brick_failures.words(err)) from err

    def _undo(self, volume: IscsiVolume, before: list[Session], disks: set[str]) -> None:
        """After a failed connect: take away the device, the sessions and the node records that it made."""
        known = {one.number for one in before}
        try:
            if disks:
                for one in self._sessions(volume):
                    if one.number not in known:
                        self._log_out(volume, next(path for path in volume.paths if _matches(one, path)))
                return
            if self._sessions(volume):
                self._remove(volume, None, force=True)
            self._forget(volume)
        except base_errors.LiteError as err:
            LOG.error("something of volume %s is left on this host: %s", volume.volume_id, err.message)

    def _disks(self, volume: IscsiVolume, *sessions: Session) -> set[str]:
        """Names of the volume's disks in these sessions."""
        luns = {(path.iqn, path.lun) for path in volume.paths}
        return {disk for one in sessions for iqn, lun in luns if iqn == one.iqn for disk in self._sysfs.disks(one, lun)}

    def _serves_others(self, volume: IscsiVolume, session: Session) -> bool:
        return bool(set(self._sysfs.disks(session)) - self._disks(volume, session))

    def _stable_name(self, volume: IscsiVolume, found: Mapping[str, Any]) -> str:
        """The link to the device that names the volume; `/dev/sdb` may be another volume after a reboot."""
        names = [path.by_path for path in volume.paths]
        if found.get("multipath_id"):
            names = [f"/dev/disk/by-id/dm-uuid-mpath-{found['multipath_id']}"]
        device = self._sysfs.real(found["path"])
        deadline = time.monotonic() + self._settings.device_timeout
        while True:
            for name in names:
                if self._sysfs.real(name) == device:
                    return name
            if time.monotonic() > deadline:
                reason = (
                    f"{found['path']} is there, but udev made no link {names[0]} to it "
                    f"within {self._settings.device_timeout:g} s. Check that systemd-udevd runs."
                )
                raise errors.DeviceMissing(volume=volume.volume_id, reason=reason)
            time.sleep(_POLL)

    def _refuse_used(self, volume: IscsiVolume, device: str) -> None:
        users = self._sysfs.users(device)
        if users:
            advice = (
                "Unmount or deactivate it. If LVM or multipathd on this host took it by itself, keep them off "
                "iSCSI disks (global_filter in lvm.conf, blacklist in multipath.conf)."
            )
            raise errors.DeviceInUse(volume=volume.volume_id, device=device, users=", ".join(users), advice=advice)

    def _commands(self, volume: IscsiVolume) -> brick_commands.Commands:
        limits = {
            "node.session.initial_login_retry_max": "1",
            "node.conn[0].timeo.login_timeout": str(self._settings.login_timeout),
        }
        if not self._multipath:
            limits["node.session.timeo.replacement_timeout"] = str(self._settings.replacement_timeout)
        nodes = [(path.portal, path.iqn) for path in volume.paths]
        return brick_commands.Commands(self._run, self._sysfs, nodes, limits, self._settings.command_timeout)

    def _brick(self, commands: brick_commands.Commands) -> iscsi.ISCSIConnector:
        made = iscsi.ISCSIConnector(
            _ROOT_HELPER,
            execute=commands,
            use_multipath=self._multipath,
            device_scan_attempts=self._settings.scan_attempts,
        )
        made._linuxscsi = brick_scsi.Scsi(commands, self._sysfs, self._multipath)
        return made

    def _multipathd_runs(self) -> bool:
        return bool(linuxscsi.LinuxSCSI.is_multipath_running(_ROOT_HELPER, execute=self._run))

    @contextlib.contextmanager
    def _privileged(self, what: str) -> Iterator[None]:
        with privilege.calling(what):
            yield

    @contextlib.contextmanager
    def _translated(self, volume: IscsiVolume, commands: brick_commands.Commands) -> Iterator[None]:
        """os-brick's errors in the block as ours, with the reason of a login that failed."""
        try:
            with self._privileged(f"connecting volume {volume.volume_id}"):
                yield
        except brick_failures.RAISED as err:
            limit = self._settings.login_timeout
            found = brick_failures.of_connect(volume, self.initiator, limit, commands.login_failures, err)
            raise found from err


def _matches(session: Session, path: IscsiPath) -> bool:
    return (session.host, session.port, session.iqn) == (path.host, path.port, path.iqn)


def _targets(paths: list[IscsiPath]) -> dict[str, Any]:
    """The paths under the keys that os-brick reads. The lists are always there: without them it would discover."""
    first = paths[0]
    return {
        "target_portal": first.portal,
        "target_iqn": first.iqn,
        "target_lun": first.lun,
        "target_portals": [path.portal for path in paths],
        "target_iqns": [path.iqn for path in paths],
        "target_luns": [path.lun for path in paths],
    }
