"""One domain: which parts of it have a volume's disk, and how a disk gets in and out.

A domain has a live part (the guest in memory, while there is one) and a stored part (what its next start will
have). Both are asked anew for every decision; what a call answered, or an event said, is never taken for the
fact.
"""

from __future__ import annotations

import logging
import time
import xml.etree.ElementTree as ET

import libvirt

from nova_lite.virt import errors
from nova_lite.virt.driver import AttachedVolumes, DiskShown, DisksShown, PowerState
from nova_lite.virt.libvirt import connection, disk_xml, events

LOG = logging.getLogger(__name__)
_POLL = 0.1
_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: PowerState.NOSTATE,
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.SUSPENDED,
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)


class Guest:
    """A domain that was just looked up. Methods raise libvirtError where nothing else is said."""

    def __init__(self, domain: libvirt.virDomain, device_events: events.DeviceEvents) -> None:
        self._domain = domain
        self._events = device_events
        self.uuid: str = domain.UUIDString()

    def state(self) -> PowerState:
        """What the guest is doing."""
        return _STATES.get(self._domain.state()[0], PowerState.NOSTATE)

    def active(self) -> bool:
        """True while there is a guest in memory."""
        return bool(self._domain.isActive())

    def volumes(self) -> AttachedVolumes:
        """The volumes in both parts."""
        return AttachedVolumes(live=frozenset(self._live()), stored=frozenset(self._stored()))

    def shown(self) -> DisksShown:
        """The volumes in both parts, as their descriptions tell them."""
        return DisksShown(live=_shown(self._live()), stored=_shown(self._stored()))

    def attach(self, element: ET.Element, volume_id: str) -> None:
        """Put the disk into each part that lacks it; libvirt changes the stored part only if the live one took it."""
        flags = 0
        if self.active() and volume_id not in self._live():
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        if volume_id not in self._stored():
            flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if flags:
            self._domain.attachDeviceFlags(disk_xml.text(element), flags)

    def detach(self, volume_id: str, attempts: int, timeout: float) -> None:
        """Take the disk out of both parts, or out of none.

        The guest comes first, as only it can refuse: the stored part is changed when the live one has lost
        the disk, so the two agree at any moment a refusal, or the end of this process, may leave them in.
        Raises DeviceNotFound (neither has it) and DeviceDetachFailed (the guest keeps it).
        """
        live = self._live().get(volume_id)
        stored = self._stored().get(volume_id)
        if live is None and stored is None:
            raise errors.DeviceNotFound(volume=volume_id, server=self.uuid)
        if live is not None:
            self._unplug(live, volume_id, attempts, timeout)
        if stored is not None:
            self._domain.detachDeviceFlags(disk_xml.text(stored), libvirt.VIR_DOMAIN_AFFECT_CONFIG)

    def resize(self, volume_id: str, size: int) -> None:
        """Tell the running guest the disk's size in bytes. Raises DeviceNotFound."""
        element = self._live().get(volume_id)
        target = element.find("target") if element is not None else None
        if target is None:
            raise errors.DeviceNotFound(volume=volume_id, server=self.uuid)
        self._domain.blockResize(target.get("dev", ""), size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def shut_down(self, seconds: float) -> None:
        """Ask the guest to shut down and wait; whoever has not done so in time is switched off."""
        deadline = time.monotonic() + seconds
        try:
            if seconds > 0 and self.active():
                self._domain.shutdown()
            while self.active() and time.monotonic() < deadline:
                time.sleep(_POLL)
        except libvirt.libvirtError as exc:
            if connection.is_lost(exc):
                raise
            LOG.info("Server %s does not shut down by itself: %s", self.uuid, exc)
        self.switch_off()

    def switch_off(self) -> None:
        """End the guest at once, if there is one."""
        try:
            if self.active():
                self._domain.destroy()
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
                raise
        self._events.domain_gone(self.uuid)

    def undefine(self) -> None:
        """Forget the domain; one that is gone already is fine."""
        try:
            self._domain.undefineFlags(_UNDEFINE)
        except libvirt.libvirtError as exc:
            if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise

    def suspend(self, paused: bool) -> None:
        """Freeze the guest or let it run on; libvirt minds neither being asked twice."""
        if paused and self.state() is PowerState.RUNNING:
            self._domain.suspend()
        elif not paused and self.state() is PowerState.PAUSED:
            self._domain.resume()

    def _live(self) -> dict[str, ET.Element]:
        # For a stopped domain libvirt answers with the stored description, so it has to be asked for both.
        return disk_xml.volumes(self._domain.XMLDesc(0)) if self.active() else {}

    def _stored(self) -> dict[str, ET.Element]:
        return disk_xml.volumes(self._domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))

    def _has_live(self, volume_id: str) -> bool:
        return volume_id in self._live()

    def _unplug(self, element: ET.Element, volume_id: str, attempts: int, timeout: float) -> None:
        """Ask the guest to let the disk go, until the live description has lost it.

        A guest that boots loses a request, one that is busy answers late: hence several attempts, `timeout`
        seconds each. A paused one would carry the request out much later, when nobody expects it any more: it
        is not asked.
        """
        for attempt in range(1, attempts + 1):
            if self.state() in (PowerState.PAUSED, PowerState.SUSPENDED):
                raise errors.detach_refused_paused(self.uuid, volume_id)
            with self._events.expect(self.uuid, disk_xml.alias(volume_id)) as waiter:
                self._ask_to_unplug(element)
                if not self._has_live(volume_id):
                    return
                outcome = waiter.wait(timeout)
            if not self._has_live(volume_id):
                return
            if outcome is events.Outcome.REFUSED:
                raise _kept(self.uuid, volume_id, "the guest refused to release the disk.")
            LOG.warning(
                "Server %s still has volume %s after attempt %d of %d",
                self.uuid,
                volume_id,
                attempt,
                attempts,
            )
        self._events.give_up(self.uuid, disk_xml.alias(volume_id))
        reason = f"the guest did not release the disk in {attempts} attempts of {timeout:g} s."
        raise _kept(self.uuid, volume_id, reason)

    def _ask_to_unplug(self, element: ET.Element) -> None:
        try:
            self._domain.detachDeviceFlags(disk_xml.text(element), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError as exc:
            if not _decided_by_description(exc):
                raise
            LOG.debug("Server %s: %s", self.uuid, exc)


def _decided_by_description(exc: libvirt.libvirtError) -> bool:
    """True for errors after which only the live description tells: already gone, or still going."""
    code = exc.get_error_code()
    if code in (libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_INVALID):
        return True
    if code == libvirt.VIR_ERR_OPERATION_FAILED:
        return "not found" in str(exc)
    return code == libvirt.VIR_ERR_INTERNAL_ERROR and "in the process of unplug" in str(exc)


def _kept(server: str, volume: str, reason: str) -> errors.DeviceDetachFailed:
    advice = "Unmount it in the guest, wait until the guest has booted, or stop the server, and detach again."
    return errors.DeviceDetachFailed(volume=volume, server=server, reason=reason, advice=advice)


def _shown(disks: dict[str, ET.Element]) -> dict[str, DiskShown]:
    return {volume: DiskShown(disk_xml.alias(volume), disk_xml.source_of(element)) for volume, element in disks.items()}
