"""How this host reaches a volume: what it tells the storage service about itself, and what it does before a
guest may use the volume.

Two connectors keep this contract, and a twin for tests. Where QEMU itself is the iSCSI initiator there is no
device on the host (`qemu_connector`); where the host is, it logs in and has a block device (`brick_connector`).
"""

from __future__ import annotations

import abc
import platform
import sys
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from nova_lite.virt import errors
from nova_lite.volume import connection_info as connection_information
from nova_lite.volume import host_view, sysfs
from nova_lite.volume import initiator as initiators

_GIB = 2**30


class Connector(abc.ABC):
    """What nova-compute does on its own host for a volume, whatever the protocol.

    Connecting and disconnecting may safely be done twice. All methods may be called from many threads.
    """

    has_devices: ClassVar[bool] = False
    """True if connecting leaves a device on this host, which somebody has to take away again."""

    def __init__(self, my_ip: str, host: str) -> None:
        self._my_ip = my_ip
        self._host = host

    def init_host(self) -> None:  # noqa: B027 - not every host has something to check
        """Check that this host can connect volumes. Called once, before any other method.

        Raises InitiatorUnfit, which says what is missing.
        """

    @property
    @abc.abstractmethod
    def initiator(self) -> str:
        """This host's iSCSI name. Raises InitiatorUnfit where it has none."""

    def properties(self, mountpoint: str | None = None) -> dict[str, Any]:
        """The connector dictionary that goes to the storage service; `mountpoint` is the disk's device name.

        Raises InitiatorUnfit.
        """
        properties: dict[str, Any] = {
            "platform": platform.machine(),
            "os_type": sys.platform,
            "ip": self._my_ip,
            "host": self._host,
            "multipath": False,
            "initiator": self.initiator,
            "do_local_attach": False,
        }
        if mountpoint is not None:
            properties["mountpoint"] = mountpoint
        return properties

    @abc.abstractmethod
    def connect_volume(self, connection_info: Mapping[str, Any]) -> dict[str, Any]:
        """Make the volume usable on this host; the answer is the connection information to store and to use.

        Where the host has a block device then, it is `data.device_path` (as Nova stores it). Raises
        PortalUnreachable, LoginRefused, UnsupportedVolume, DeviceMissing, DeviceInUse, InitiatorUnfit; after an
        error nothing is connected that was not before.
        """

    @abc.abstractmethod
    def disconnect_volume(self, connection_info: Mapping[str, Any], force: bool = False) -> None:
        """Undo `connect_volume`, after the last guest has let the disk go; what is not connected is left alone.

        What the host still holds in its buffers is written first. When that fails the volume stays connected and
        DisconnectFailed is raised; with `force` it is disconnected all the same, because nobody can want its
        contents any more or a login with new parameters is to follow.
        """

    def look(self, connection_info: Mapping[str, Any]) -> host_view.HostView:
        """What this host has of the volume now: device and sessions; nothing is changed or waited for."""
        return host_view.of(connection_info, self._kernel(), logs_in=self.has_devices)

    def volume_sessions(self) -> dict[str, list[host_view.SessionView]]:
        """Every session that this host has with the target of a volume, by the volume's id."""
        return host_view.sessions(self._kernel())

    def _kernel(self) -> sysfs.Sysfs:
        return sysfs.Sysfs()

    @abc.abstractmethod
    def extend_volume(self, connection_info: Mapping[str, Any]) -> int:
        """Have a connected volume's device take its new size; the size in bytes.

        Raises UnsupportedVolume where a connected volume cannot grow, DeviceMissing when it is not connected.
        """


class FakeConnector(Connector):
    """The twin: remembers which volumes are connected, and raises the errors it was given, first one first.

    `sizes` are the sizes of volumes in bytes, 1 GiB for one that is not named.
    """

    def __init__(
        self,
        my_ip: str = "127.0.0.1",
        host: str = "fake-host",
        initiator: str = initiators.OWN_PREFIX + "fake",
        faults: list[Exception] | None = None,
    ) -> None:
        super().__init__(my_ip, host)
        self.faults = faults if faults is not None else []
        self.sizes: dict[str, int] = {}
        self._initiator = initiator
        self._connected: dict[str, tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    @property
    def initiator(self) -> str:
        """See Connector."""
        return self._initiator

    @property
    def connected(self) -> frozenset[str]:
        """Ids of the volumes that are connected now."""
        with self._lock:
            return frozenset(self._connected)

    def connect_volume(self, connection_info: Mapping[str, Any]) -> dict[str, Any]:
        """Remember the volume, or raise the next injected error."""
        with self._lock:
            if self.faults:
                raise self.faults.pop(0)
            volume = connection_information.volume_id(connection_info)
            self._connected[volume] = connection_information.where(connection_info)
        return dict(connection_info)

    def disconnect_volume(self, connection_info: Mapping[str, Any], force: bool = False) -> None:
        """Forget the volume, if it is connected in this way."""
        volume = connection_information.volume_id(connection_info)
        with self._lock:
            if self._connected.get(volume) == connection_information.where(connection_info):
                del self._connected[volume]

    def look(self, connection_info: Mapping[str, Any]) -> host_view.HostView:
        """Nothing: there is nobody here who would log in."""
        return host_view.HostView(host_view.NOBODY)

    def volume_sessions(self) -> dict[str, list[host_view.SessionView]]:
        """None: this initiator exists in memory only."""
        return {}

    def extend_volume(self, connection_info: Mapping[str, Any]) -> int:
        """The size that the volume has now."""
        volume = connection_information.volume_id(connection_info)
        with self._lock:
            if volume not in self._connected:
                raise errors.DeviceMissing(volume=volume, reason="it is not connected.")
            return self.sizes.get(volume, _GIB)
