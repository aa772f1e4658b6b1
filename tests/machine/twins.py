"""The twins as the machine needs them: guests log in to targets, and storage says when it is taken from one."""

from __future__ import annotations

from typing import Any

from cinder_lite.drivers import base as drivers
from cinder_lite.drivers import fake as fake_storage
from cinder_lite.targets import base as targets
from cinder_lite.targets import fake as fake_target
from nova_lite.virt import driver, errors
from nova_lite.virt import fake as fake_virt
from nova_lite.volume import connector
from tests.machine.sim import Hub

PREFIX = "iqn.2010-10.org.openstack:"
PORTAL = "127.0.0.1:3260"


class Target(fake_target.FakeTarget):
    """Waits for nobody who is logged in, and each change of it is a point."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(PREFIX, PORTAL, busy_wait=0)
        self._hub = hub

    def ensure_export(self, *args: Any, **kwargs: Any) -> str:
        """See the contract."""
        self._hub.pause("ensure_export")
        return super().ensure_export(*args, **kwargs)

    def initialize_connection(self, *args: Any, **kwargs: Any) -> None:
        """See the contract."""
        self._hub.pause("grant")
        super().initialize_connection(*args, **kwargs)

    def remove_export(self, *args: Any, **kwargs: Any) -> None:
        """See the contract."""
        self._hub.pause("remove_export")
        super().remove_export(*args, **kwargs)

    def users(self) -> dict[str, list[str]]:
        """The initiators that are logged in, by volume; volumes without any are told too."""
        return {
            iqn.removeprefix(f"{PREFIX}volume-"): [one.initiator for one in target.sessions]
            for iqn, target in self._targets.items()
        }


class Storage(fake_storage.FakeDriver):
    """`taken` are the volumes whose bytes were deleted while somebody was logged in to them."""

    def __init__(self, hub: Hub, target: Target) -> None:
        super().__init__(drivers.Pool("fake1"), 200)
        self._hub = hub
        self._target = target
        self.taken: list[str] = []

    def create_volume(self, name: str, size_gb: int) -> None:
        """See the contract."""
        self._hub.pause("create the bytes")
        super().create_volume(name, size_gb)

    def delete_volume(self, name: str) -> None:
        """See the contract."""
        self._hub.pause("delete the bytes")
        if self._target.users().get(name.removeprefix("volume-")):
            self.taken.append(name)
        super().delete_volume(name)


class Guests(fake_virt.FakeDriver):
    """A guest that runs is logged in to the target of each of its disks, as QEMU is."""

    def __init__(self, hub: Hub, target: Target, host: connector.FakeConnector) -> None:
        super().__init__()
        self._hub = hub
        self._target = target
        self._host = host
        self._in: dict[tuple[str, str], str] = {}

    def _enter(self, operation: str) -> None:
        self._hub.pause(operation)
        super()._enter(operation)

    def disks(self) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """Live and stored disks of each guest."""
        return {uuid: (frozenset(guest.live), frozenset(guest.stored)) for uuid, guest in sorted(self._guests.items())}

    def attach_volume(self, server_uuid: str, disk: driver.VolumeDisk) -> None:
        """See the contract; without a login there is no disk."""
        super().attach_volume(server_uuid, disk)
        if not self._agree():
            guest = self._guests[server_uuid]
            guest.live.pop(disk.volume_id, None)
            guest.stored.pop(disk.volume_id, None)
            self._agree()
            raise errors.DeviceAttachFailed(
                volume=disk.volume_id, server=server_uuid, reason="the target refused the login."
            )

    def detach_volume(self, server_uuid: str, disk: driver.VolumeDisk) -> None:
        """See the contract."""
        try:
            super().detach_volume(server_uuid, disk)
        finally:
            self._agree()

    def destroy(self, server_uuid: str) -> None:
        """See the contract."""
        super().destroy(server_uuid)
        self._agree()

    def power_off(self, server_uuid: str, timeout: float) -> None:
        """See the contract."""
        super().power_off(server_uuid, timeout)
        self._agree()

    def power_on(self, spec: driver.ServerSpec) -> None:
        """See the contract; a disk without a login keeps the guest from starting."""
        super().power_on(spec)
        self._started(spec)

    def reboot(self, spec: driver.ServerSpec, hard: bool) -> None:
        """See the contract."""
        self._leave(spec.uuid)
        super().reboot(spec, hard)
        self._started(spec)

    def _started(self, spec: driver.ServerSpec) -> None:
        if self._agree():
            return
        guest = self._guests[spec.uuid]
        guest.state = driver.PowerState.SHUTDOWN
        guest.live.clear()
        self._agree()
        raise errors.ServerStartFailed(server=spec.uuid, reason="a target refused the login.")

    def _leave(self, server: str) -> None:
        for key in [key for key in self._in if key[0] == server]:
            self._target.logout(self._in.pop(key), self._host.initiator)

    def _agree(self) -> bool:
        """Log in for disks that are new and out for those that are gone; whether all could log in."""
        wanted = {(uuid, volume): disk for uuid, guest in self._guests.items() for volume, disk in guest.live.items()}
        for key in [key for key in self._in if key not in wanted]:
            self._target.logout(self._in.pop(key), self._host.initiator)
        fine = True
        for key, disk in wanted.items():
            if key in self._in:
                continue
            data = disk.connection_info["data"]
            where = f"{data['target_portal']},1 {data['target_iqn']} {data['target_lun']}"
            auth = targets.Auth(data.get("auth_username", ""), data.get("auth_password", ""))
            if self._target.login(where, auth, self._host.initiator):
                self._in[key] = where
            else:
                fine = False
        return fine
