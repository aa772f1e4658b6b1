"""The contract between nova-compute and a hypervisor: what a server is here, and what can be done to it.

Everything above this line speaks of servers and volumes, everything below of domains and devices. Two drivers
keep the contract: `virt.libvirt.driver` (real guests) and `virt.fake` (memory only); one test suite runs
against both.

Rules for every driver:

* All methods may be called from many threads; calls for one server are made one at a time (the caller holds
  the server's lock).
* Every call ends within a limit that the driver was built with. Errors are those of `virt.errors`; every
  method may raise `HypervisorUnavailable` when the hypervisor cannot be reached. After that one error the
  operation may or may not have happened: ask (`power_state`, `attached_volumes`) or do it again.
* Operations may safely run twice: what is already as asked for is left alone.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, ClassVar


class PowerState(enum.IntEnum):
    """What the hypervisor says a server is doing; the numbers are those of the Nova API's `OS-EXT-STS:power_state`."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7

    @property
    def active(self) -> bool:
        """True while a guest exists in memory, so that a disk has to be plugged into it and pulled out of it."""
        return self in (PowerState.RUNNING, PowerState.PAUSED)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFiles:
    """Absolute paths of an image on this host: a kernel (with ramdisk and command line), a disk, or both.

    `disk` is never written: every server gets its own copy-on-write file above it. `disk_format` is raw or
    qcow2.
    """

    kernel: str | None = None
    ramdisk: str | None = None
    cmdline: str | None = None
    disk: str | None = None
    disk_format: str = "qcow2"


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeDisk:
    """One volume as a disk of a server.

    `device_name` is Nova's name for it (`/dev/vdb`). `connection_info` is what Nova keeps in
    `block_device_mapping.connection_info`: `driver_volume_type`, `data` and `serial`. It holds a password, so
    it is left out of the representation that may end in a log.
    """

    volume_id: str
    device_name: str
    connection_info: Mapping[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSpec:
    """All that a driver has to know to build a server: sizes (MiB of memory), image, and the volumes it has now."""

    uuid: str
    instance_name: str
    display_name: str
    memory_mb: int
    vcpus: int
    image: ImageFiles
    volumes: tuple[VolumeDisk, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class AttachedVolumes:
    """Ids of the volumes in the running guest (`live`) and in the configuration kept for its next start
    (`stored`).

    The two are equal for a running or paused server that is in order; `live` is empty for a stopped one.
    """

    live: frozenset[str]
    stored: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class DiskShown:
    """A volume's disk as a description has it: the alias by which it is found, and where its bytes come from."""

    alias: str
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class DisksShown:
    """As AttachedVolumes, with what each description says of the disk; by volume id."""

    live: Mapping[str, DiskShown]
    stored: Mapping[str, DiskShown]


@dataclasses.dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host is and has: memory in MiB, disk in GiB; the version as a number (7002022 is 7.2.22)."""

    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    memory_mb: int
    local_gb: int


class VirtDriver(abc.ABC):
    """A hypervisor on this host."""

    honours_device_name: ClassVar[bool] = False
    """True if a guest really sees the device name that was asked for; then a taken name is an error of the API."""

    @abc.abstractmethod
    def init_host(self) -> None:
        """Connect and check that guests can run here. Called once, before any other method."""

    @abc.abstractmethod
    def host_facts(self) -> HostFacts:
        """What this host is and has. Raises HypervisorUnavailable."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let the hypervisor go; servers keep running. Nothing but `init_host` may be called afterwards."""

    @abc.abstractmethod
    def spawn(self, spec: ServerSpec) -> None:
        """Build and start a new server. Leftovers of an interrupted build under the same uuid are replaced.

        Raises ServerStartFailed (nothing is left of the server), UnsupportedVolume.
        """

    @abc.abstractmethod
    def destroy(self, server_uuid: str) -> None:
        """Stop the server and remove all that is kept for it here. An unknown server is already destroyed."""

    @abc.abstractmethod
    def power_on(self, spec: ServerSpec) -> None:
        """Start a stopped server, built anew from `spec` with the connection information given there.

        Builds it too if this host does not know it (any more). A server that is running or paused is left
        alone. Raises ServerStartFailed (the server stays stopped), UnsupportedVolume.
        """

    @abc.abstractmethod
    def power_off(self, server_uuid: str, timeout: float) -> None:
        """Ask the guest to shut down, and switch it off after `timeout` seconds (0: at once).

        Raises ServerNotOnHost.
        """

    @abc.abstractmethod
    def reboot(self, spec: ServerSpec, hard: bool) -> None:
        """Start the server again from `spec`: after a shutdown by the guest, or (hard) by switching it off.

        A guest that does not shut down in time is switched off. Raises as `power_on`.
        """

    @abc.abstractmethod
    def pause(self, server_uuid: str) -> None:
        """Freeze a running guest in memory. Raises ServerNotOnHost, ServerStateUnfit (it is stopped)."""

    @abc.abstractmethod
    def unpause(self, server_uuid: str) -> None:
        """Let a paused guest run on. Raises ServerNotOnHost, ServerStateUnfit (it is stopped)."""

    @abc.abstractmethod
    def power_state(self, server_uuid: str) -> PowerState:
        """What the server is doing now; NOSTATE when this host does not know it. Never raises NotFound."""

    @abc.abstractmethod
    def attach_volume(self, server_uuid: str, disk: VolumeDisk) -> None:
        """Give the server the disk: at once if it is running or paused, and in any case for its next start.

        A part (running, stored) that has the disk already is left alone. Raises ServerNotOnHost,
        UnsupportedVolume, DeviceAttachFailed; after an error the server has what it had before.
        """

    @abc.abstractmethod
    def detach_volume(self, server_uuid: str, disk: VolumeDisk) -> None:
        """Take the disk away; on return neither the guest nor its stored configuration has it.

        A server that is not (or no longer) on this host has no disk: that is success. Raises DeviceNotFound
        when neither part has the disk, DeviceDetachFailed when the guest keeps it; then both parts still have
        it.
        """

    @abc.abstractmethod
    def extend_volume(self, server_uuid: str, disk: VolumeDisk, size: int) -> None:
        """Show the guest that the disk has `size` bytes now; a server that is not running sees it at its next start.

        Raises ServerNotOnHost, DeviceNotFound when the running guest does not have the disk.
        """

    @abc.abstractmethod
    def attached_volumes(self, server_uuid: str) -> AttachedVolumes:
        """Which volumes the hypervisor holds for the server. Raises ServerNotOnHost."""

    @abc.abstractmethod
    def shown_volumes(self, server_uuid: str) -> DisksShown:
        """The same with what the descriptions say of each disk, for people. Raises ServerNotOnHost."""

    @abc.abstractmethod
    def console_output(self, server_uuid: str, lines: int | None = None) -> str:
        """The last `lines` lines of the serial console's log, all of it for None; empty if nothing was
        written.

        Raises ServerNotOnHost.
        """

    @abc.abstractmethod
    def list_servers(self) -> frozenset[str]:
        """Uuids of the servers that this service built on this host, whatever their power state."""
