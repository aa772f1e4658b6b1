"""The in-memory twin of a hypervisor: the whole contract without a guest.

It serves the functional tests and the measurements of the control plane. It refuses what libvirt refuses (a
paused guest keeps its disk, a stopped server cannot be paused), and it can be told to be slow or to fail.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, MutableMapping, MutableSet
from typing import ClassVar

from nova_lite.virt import driver, errors
from nova_lite.virt.driver import PowerState


@dataclasses.dataclass
class _Guest:
    """One server in memory; changed only under the driver's lock."""

    spec: driver.ServerSpec
    state: PowerState
    live: dict[str, driver.VolumeDisk]
    stored: dict[str, driver.VolumeDisk]
    console: list[str]


class FakeDriver(driver.VirtDriver):
    """Servers as records in a dictionary.

    `delays` gives the seconds that an operation takes, by method name. `faults` gives, by method name, errors
    that the next calls of it raise, first one first, before anything is changed. `stubborn` holds the uuids
    of servers whose guests keep every disk. All three may be changed while the driver is in use.
    """

    honours_device_name: ClassVar[bool] = True

    def __init__(
        self,
        delays: Mapping[str, float] | None = None,
        faults: MutableMapping[str, list[Exception]] | None = None,
        stubborn: MutableSet[str] | None = None,
    ) -> None:
        self.delays: Mapping[str, float] = delays if delays is not None else {}
        self.faults: MutableMapping[str, list[Exception]] = faults if faults is not None else {}
        self.stubborn: MutableSet[str] = stubborn if stubborn is not None else set()
        self.sizes: dict[tuple[str, str], int] = {}
        self._guests: dict[str, _Guest] = {}
        self._lock = threading.Lock()

    def init_host(self) -> None:
        """Nothing to connect to; an injected fault stands for a hypervisor that is down."""
        self._enter("init_host")

    def host_facts(self) -> driver.HostFacts:
        """See the contract."""
        self._enter("host_facts")
        return driver.HostFacts("fake", 1000000, vcpus=1000, memory_mb=8000000, local_gb=600000)

    def close(self) -> None:
        """Servers are kept: as with a real hypervisor they outlive the service's connection."""

    def spawn(self, spec: driver.ServerSpec) -> None:
        """See the contract."""
        self._enter("spawn")
        with self._lock:
            self._start(spec, console=[])

    def destroy(self, server_uuid: str) -> None:
        """See the contract."""
        self._enter("destroy")
        with self._lock:
            self._guests.pop(server_uuid, None)

    def power_on(self, spec: driver.ServerSpec) -> None:
        """See the contract."""
        self._enter("power_on")
        with self._lock:
            guest = self._guests.get(spec.uuid)
            if guest is None or not guest.state.active:
                self._start(spec, console=guest.console if guest else [])

    def power_off(self, server_uuid: str, timeout: float) -> None:
        """See the contract; a guest in memory shuts down at once."""
        self._enter("power_off")
        with self._lock:
            guest = self._guest(server_uuid)
            guest.state = PowerState.SHUTDOWN
            guest.live.clear()

    def reboot(self, spec: driver.ServerSpec, hard: bool) -> None:
        """See the contract."""
        self._enter("reboot")
        with self._lock:
            guest = self._guests.get(spec.uuid)
            self._start(spec, console=guest.console if guest else [])

    def pause(self, server_uuid: str) -> None:
        """See the contract."""
        self._enter("pause")
        self._switch("pause", server_uuid, PowerState.PAUSED)

    def unpause(self, server_uuid: str) -> None:
        """See the contract."""
        self._enter("unpause")
        self._switch("unpause", server_uuid, PowerState.RUNNING)

    def power_state(self, server_uuid: str) -> PowerState:
        """See the contract."""
        self._enter("power_state")
        with self._lock:
            guest = self._guests.get(server_uuid)
            return guest.state if guest else PowerState.NOSTATE

    def attach_volume(self, server_uuid: str, disk: driver.VolumeDisk) -> None:
        """See the contract; a device name that another volume has is refused, as the name is honoured here."""
        self._enter("attach_volume")
        with self._lock:
            guest = self._guest(server_uuid)
            for other in (*guest.live.values(), *guest.stored.values()):
                if other.device_name == disk.device_name and other.volume_id != disk.volume_id:
                    reason = f"its device name {disk.device_name} is in use by volume {other.volume_id}."
                    raise errors.DeviceAttachFailed(volume=disk.volume_id, server=server_uuid, reason=reason)
            if guest.state.active:
                guest.live[disk.volume_id] = disk
            guest.stored[disk.volume_id] = disk

    def detach_volume(self, server_uuid: str, disk: driver.VolumeDisk) -> None:
        """See the contract; paused and stubborn guests keep the disk."""
        self._enter("detach_volume")
        with self._lock:
            guest = self._guests.get(server_uuid)
            if guest is None:
                return
            if disk.volume_id not in guest.live and disk.volume_id not in guest.stored:
                raise errors.DeviceNotFound(volume=disk.volume_id, server=server_uuid)
            if disk.volume_id in guest.live:
                self._refuse_if_kept(guest, disk)
            guest.live.pop(disk.volume_id, None)
            guest.stored.pop(disk.volume_id, None)

    def extend_volume(self, server_uuid: str, disk: driver.VolumeDisk, size: int) -> None:
        """See the contract; `sizes` keeps what guests were told, by server and volume."""
        self._enter("extend_volume")
        with self._lock:
            guest = self._guest(server_uuid)
            if not guest.state.active:
                return
            if disk.volume_id not in guest.live:
                raise errors.DeviceNotFound(volume=disk.volume_id, server=server_uuid)
            self.sizes[server_uuid, disk.volume_id] = size

    def attached_volumes(self, server_uuid: str) -> driver.AttachedVolumes:
        """See the contract."""
        self._enter("attached_volumes")
        with self._lock:
            guest = self._guest(server_uuid)
            return driver.AttachedVolumes(live=frozenset(guest.live), stored=frozenset(guest.stored))

    def shown_volumes(self, server_uuid: str) -> driver.DisksShown:
        """See the contract."""
        self._enter("shown_volumes")
        with self._lock:
            guest = self._guest(server_uuid)
            return driver.DisksShown(
                live={volume: _shown(disk) for volume, disk in guest.live.items()},
                stored={volume: _shown(disk) for volume, disk in guest.stored.items()},
            )

    def lose_disk(self, server_uuid: str, volume_id: str, *, live: bool = True, stored: bool = True) -> None:
        """Lose a disk from one part or both, as if somebody had taken it out at the hypervisor by hand."""
        with self._lock:
            guest = self._guest(server_uuid)
            if live:
                guest.live.pop(volume_id, None)
            if stored:
                guest.stored.pop(volume_id, None)

    def console_output(self, server_uuid: str, lines: int | None = None) -> str:
        """See the contract; the twin writes one line at each start."""
        self._enter("console_output")
        with self._lock:
            log = self._guest(server_uuid).console
            chosen = log if lines is None else log[max(0, len(log) - lines) :]
            return "".join(f"{line}\n" for line in chosen)

    def list_servers(self) -> frozenset[str]:
        """See the contract."""
        self._enter("list_servers")
        with self._lock:
            return frozenset(self._guests)

    def _enter(self, operation: str) -> None:
        """Take the operation's time and raise its next injected error; no lock is held while waiting."""
        delay = self.delays.get(operation, 0)
        if delay > 0:
            time.sleep(delay)
        with self._lock:
            waiting = self.faults.get(operation)
            fault = waiting.pop(0) if waiting else None
        if fault is not None:
            raise fault

    def _guest(self, server_uuid: str) -> _Guest:
        guest = self._guests.get(server_uuid)
        if guest is None:
            raise errors.ServerNotOnHost(server=server_uuid)
        return guest

    def _start(self, spec: driver.ServerSpec, console: list[str]) -> None:
        disks = {disk.volume_id: disk for disk in spec.volumes}
        console.append(f"{spec.instance_name}: started with {len(disks)} volumes")
        self._guests[spec.uuid] = _Guest(spec, PowerState.RUNNING, disks, dict(disks), console)

    def _switch(self, operation: str, server_uuid: str, state: PowerState) -> None:
        with self._lock:
            guest = self._guest(server_uuid)
            if not guest.state.active:
                raise errors.ServerStateUnfit(
                    operation=operation, server=server_uuid, state="stopped", advice="Start it first."
                )
            guest.state = state

    def _refuse_if_kept(self, guest: _Guest, disk: driver.VolumeDisk) -> None:
        if guest.state is PowerState.PAUSED:
            raise errors.detach_refused_paused(guest.spec.uuid, disk.volume_id)
        if guest.spec.uuid in self.stubborn:
            raise errors.DeviceDetachFailed(
                volume=disk.volume_id,
                server=guest.spec.uuid,
                reason="the guest did not let go of the disk.",
                advice="Unmount it in the guest and detach again.",
            )


def _shown(disk: driver.VolumeDisk) -> driver.DiskShown:
    data = disk.connection_info.get("data", {})
    source = data.get("device_path") or f"iscsi://{data.get('target_portal')}/{data.get('target_iqn')}"
    return driver.DiskShown(f"ua-{disk.volume_id}", source)
