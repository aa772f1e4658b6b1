"""The driver for real guests: ties connection, descriptions, secrets and guests together.

It holds no state about servers: what exists is what libvirt says. A domain's uuid is the server's, so it is
found by it; servers of others on the same libvirt are told apart by the mark that `domain_xml` leaves in the
description.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from typing import ClassVar

import libvirt

from lite_common import errors as base
from nova_lite.virt import driver, errors
from nova_lite.virt.driver import PowerState
from nova_lite.virt.libvirt import accel, disk_xml, domain_xml, events, guest, overlay, secrets
from nova_lite.virt.libvirt import connection as link
from nova_lite.virt.libvirt.domain_xml import Files
from nova_lite.volume import connection_info as connection_information

LOG = logging.getLogger(__name__)
_CONSOLE_TAIL_BYTES = 1024 * 1024
_SOCKET_PATH_LIMIT = 107  # sun_path of unix(7), without the closing zero


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose; times in seconds."""

    uri: str = "qemu:///system"
    virt_type: str = accel.AUTO
    state_path: str = "/var/lib/nova-lite"
    detach_attempts: int = 8
    detach_timeout: float = 20.0
    soft_reboot_timeout: float = 120.0


class LibvirtDriver(driver.VirtDriver):
    """Servers as QEMU guests of the local libvirt; `initiator` is the iSCSI name that QEMU logs in with."""

    honours_device_name: ClassVar[bool] = False

    def __init__(self, settings: Settings, initiator: str) -> None:
        self._settings = settings
        self._initiator = initiator
        self._events = events.DeviceEvents()
        self._connection = link.Connection(settings.uri, self._events)
        self._virt_type = settings.virt_type

    def init_host(self) -> None:
        """Connect, make the directories, find out how guests run here.

        Raises HypervisorUnavailable, HypervisorError (the state directory's name leaves no room for sockets in it).
        """
        longest = len(os.fsencode(self._files(str(uuid.UUID(int=0))).console_socket))
        if longest > _SOCKET_PATH_LIMIT:
            why = (
                f"state_path {self._settings.state_path} is {longest - _SOCKET_PATH_LIMIT} bytes too long for sockets."
            )
            raise errors.HypervisorError(operation="keep the consoles", reason=why)
        for name in ("consoles", "instances"):
            # Others may pass but not list: a QEMU that does not run as root has to reach its own files below.
            os.makedirs(os.path.join(self._settings.state_path, name), mode=0o711, exist_ok=True)
        with self._connection.translated("probe this host"):
            scratch = os.path.join(self._settings.state_path, "consoles")
            self._virt_type = accel.choose(self._connection.get(), self._settings.virt_type, scratch)

    def host_facts(self) -> driver.HostFacts:
        """See the contract."""
        with self._connection.translated("ask for the host's facts"):
            connection = self._connection.get()
            _, memory_mb, vcpus, *_ = connection.getInfo()
            kind, version = connection.getType(), connection.getVersion()
        disk = shutil.disk_usage(self._settings.state_path).total
        return driver.HostFacts(kind, version, vcpus=vcpus, memory_mb=memory_mb, local_gb=disk >> 30)

    def close(self) -> None:
        """End the connection; guests run on."""
        self._connection.close()

    def spawn(self, spec: driver.ServerSpec) -> None:
        """See the contract."""
        self.destroy(spec.uuid)
        try:
            self._start(spec)
        except BaseException:  # an interrupt as well must not leave a half-built server; it is raised again
            self._clear(spec.uuid)
            raise

    def destroy(self, server_uuid: str) -> None:
        """See the contract."""
        with (
            contextlib.suppress(errors.ServerNotOnHost),
            self._guest(server_uuid, "destroy the server") as found,
        ):
            found.switch_off()
            found.undefine()
        files = self._files(server_uuid)
        for path in (files.console_socket, files.console_log, files.root_disk):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def power_on(self, spec: driver.ServerSpec) -> None:
        """See the contract."""
        with contextlib.suppress(errors.ServerNotOnHost), self._guest(spec.uuid, "start the server") as found:
            if found.active():
                return
        self._start(spec)

    def power_off(self, server_uuid: str, timeout: float) -> None:
        """See the contract."""
        with self._guest(server_uuid, "stop the server") as found:
            found.shut_down(timeout)

    def reboot(self, spec: driver.ServerSpec, hard: bool) -> None:
        """See the contract."""
        with contextlib.suppress(errors.ServerNotOnHost):
            self.power_off(spec.uuid, 0 if hard else self._settings.soft_reboot_timeout)
        self._start(spec)

    def pause(self, server_uuid: str) -> None:
        """See the contract."""
        self._suspend(server_uuid, "pause")

    def unpause(self, server_uuid: str) -> None:
        """See the contract."""
        self._suspend(server_uuid, "unpause")

    def power_state(self, server_uuid: str) -> PowerState:
        """See the contract."""
        try:
            with self._guest(server_uuid, "read the server's state") as found:
                return found.state()
        except errors.ServerNotOnHost:
            return PowerState.NOSTATE

    def attach_volume(self, server_uuid: str, disk: driver.VolumeDisk) -> None:
        """See the contract; the portal was asked before (connector), so that libvirt does not wait for a dead one."""
        element = disk_xml.build(disk, self._initiator)
        with self._guest(server_uuid, "attach the volume") as found:
            self._refuse_shared(server_uuid, [disk])
            try:
                with secrets.lent(self._connection.get(), [disk]):
                    found.attach(element, disk.volume_id)
            except libvirt.libvirtError as exc:
                if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN or link.is_lost(exc):
                    raise
                why = f"{link.reason(exc)}."
                raise errors.DeviceAttachFailed(volume=disk.volume_id, server=server_uuid, reason=why) from exc

    def detach_volume(self, server_uuid: str, disk: driver.VolumeDisk) -> None:
        """See the contract."""
        settings = self._settings
        with (
            contextlib.suppress(errors.ServerNotOnHost),
            self._guest(server_uuid, "detach the volume") as found,
        ):
            found.detach(disk.volume_id, settings.detach_attempts, settings.detach_timeout)

    def extend_volume(self, server_uuid: str, disk: driver.VolumeDisk, size: int) -> None:
        """See the contract."""
        with self._guest(server_uuid, "show the guest its disk's new size") as found:
            if found.active():
                found.resize(disk.volume_id, size)

    def attached_volumes(self, server_uuid: str) -> driver.AttachedVolumes:
        """See the contract."""
        with self._guest(server_uuid, "read the server's disks") as found:
            return found.volumes()

    def shown_volumes(self, server_uuid: str) -> driver.DisksShown:
        """See the contract."""
        with self._guest(server_uuid, "read the server's disks") as found:
            return found.shown()

    def console_output(self, server_uuid: str, lines: int | None = None) -> str:
        """See the contract; at most the last MiB of the log."""
        with self._guest(server_uuid, "read the server's console"):
            path = self._files(server_uuid).console_log
        try:
            with open(path, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _CONSOLE_TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except PermissionError as exc:
            why = f"{path} belongs to the user of virtlogd; nova-compute has to be root to read it (no run_as)."
            raise errors.HypervisorError(operation="read the console", reason=why) from exc
        chosen = text.splitlines(keepends=True)
        return "".join(chosen if lines is None else chosen[max(0, len(chosen) - lines) :])

    def list_servers(self) -> frozenset[str]:
        """See the contract."""
        with self._connection.translated("list the servers"):
            domains = self._connection.get().listAllDomains()
            return frozenset(domain.UUIDString() for domain in domains if _is_ours(domain))

    @contextlib.contextmanager
    def _guest(self, server_uuid: str, operation: str) -> Iterator[guest.Guest]:
        with self._connection.domain(server_uuid, operation) as domain:
            yield guest.Guest(domain, self._events)

    def _files(self, server_uuid: str) -> Files:
        return Files.of(self._settings.state_path, server_uuid)

    def _start(self, spec: driver.ServerSpec) -> None:
        """Define the server anew from the spec and start it; the passwords are lent for just that long."""
        files = self._files(spec.uuid)
        if spec.image.disk is not None and not os.path.exists(files.root_disk):
            overlay.create(files.root_disk, spec.image.disk, spec.image.disk_format, spec.uuid)
        description = domain_xml.build(spec, files, self._virt_type, self._initiator)
        with self._connection.translated("start the server", spec.uuid):
            connection = self._connection.get()
            self._refuse_shared(spec.uuid, spec.volumes)
            try:
                with secrets.lent(connection, spec.volumes):
                    connection.defineXML(description).create()
            except libvirt.libvirtError as exc:
                if link.is_lost(exc):
                    raise
                raise errors.ServerStartFailed(server=spec.uuid, reason=f"{link.reason(exc)}.") from exc

    def _refuse_shared(self, server_uuid: str, disks: Iterable[driver.VolumeDisk]) -> None:
        """Raises DeviceInUse if another running domain has a block device of these: both would write to it."""
        paths = {disk.volume_id: connection_information.device_path(disk.connection_info) for disk in disks}
        wanted = {os.path.realpath(path): volume for volume, path in paths.items() if path is not None}
        if not wanted:
            return
        for domain in self._connection.get().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            if domain.UUIDString() == server_uuid:
                continue
            for device in wanted.keys() & _devices(domain):
                raise errors.DeviceInUse(
                    volume=wanted[device],
                    device=paths[wanted[device]],
                    users=f"the domain {domain.name()}",
                    advice="Detach it there first.",
                )

    def _suspend(self, server_uuid: str, operation: str) -> None:
        with self._guest(server_uuid, f"{operation} the server") as found:
            if not found.active():
                raise errors.ServerStateUnfit(
                    operation=operation, server=server_uuid, state="stopped", advice="Start it first."
                )
            found.suspend(paused=operation == "pause")

    def _clear(self, server_uuid: str) -> None:
        """Best effort after a failed build, whose error matters more than one of the clearing."""
        try:
            self.destroy(server_uuid)
        except base.LiteError as exc:
            LOG.warning("Something of server %s may be left on this host: %s", server_uuid, exc)


def _devices(domain: libvirt.virDomain) -> set[str]:
    """The block devices that the domain has open; none if it is gone by now."""
    try:
        description = domain.XMLDesc(0)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return set()
        raise
    return {os.path.realpath(path) for path in disk_xml.block_devices(description)}


def _is_ours(domain: libvirt.virDomain) -> bool:
    try:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.NAMESPACE)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return False
        raise
    return True
