"""The connector of a host on which QEMU itself is the iSCSI initiator.

There is no device on the host, so connecting means to make sure that the portal answers and lets us in
(`iscsi_login`) before a guest depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nova_lite.virt import errors
from nova_lite.volume import connection_info as connection_information
from nova_lite.volume import connector, iscsi_login


class UserspaceConnector(connector.Connector):
    """QEMU logs in by itself: connecting is a check of the portal that ends within the two limits (seconds).

    `for_devices` gives the connector for volumes that this host itself was connected to before its mode was changed.
    """

    def __init__(
        self,
        my_ip: str,
        host: str,
        initiator: str,
        connect_timeout: float = 2.0,
        login_timeout: float = 5.0,
        for_devices: Callable[[], connector.Connector] | None = None,
    ) -> None:
        super().__init__(my_ip, host)
        self._initiator = initiator
        self._connect_timeout = connect_timeout
        self._login_timeout = login_timeout
        self._for_devices = for_devices

    @property
    def initiator(self) -> str:
        """See Connector."""
        return self._initiator

    def connect_volume(self, connection_info: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the portal whether it lets this host in; the connection information stays as it is."""
        volume = connection_information.iscsi(connection_info)
        iscsi_login.check(volume, self.initiator, self._connect_timeout, self._login_timeout)
        return dict(connection_info)

    def disconnect_volume(self, connection_info: Mapping[str, Any], force: bool = False) -> None:
        """Nothing to undo, unless the host had a device of the volume: QEMU ended its session with the disk."""
        if self._for_devices is not None and connection_information.device_path(connection_info) is not None:
            self._for_devices().disconnect_volume(connection_info, force)

    def extend_volume(self, connection_info: Mapping[str, Any]) -> int:
        """Refused: QEMU's initiator keeps the size that it found at its login."""
        if self._for_devices is not None and connection_information.device_path(connection_info) is not None:
            return self._for_devices().extend_volume(connection_info)
        volume = connection_information.volume_id(connection_info)
        reason = (
            "QEMU's own iSCSI initiator cannot grow a disk in use. Stop the server, then start it, to see the size."
        )
        raise errors.UnsupportedVolume(volume=volume, reason=reason)
