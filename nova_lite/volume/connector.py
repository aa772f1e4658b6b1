"""How this host reaches a volume: what it tells the storage service about itself, and what it does before a
guest may use the volume.

`UserspaceConnector` is for hosts where QEMU itself is the iSCSI initiator: there is no device on the host, so
connecting means to make sure that the portal answers and lets us in (`iscsi_login`) before a guest depends on
it.
"""

from __future__ import annotations

import abc
import os
import platform
import secrets
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

from nova_lite.volume import connection_info as connection_information
from nova_lite.volume import iscsi_login

DISTRIBUTION_INITIATOR_FILE = "/etc/iscsi/initiatorname.iscsi"
_INITIATOR_KEY = "InitiatorName="
_OWN_PREFIX = "iqn.2010-10.org.openstack:nova-lite-"


class Connector(abc.ABC):
    """What nova-compute does on its own host for a volume, whatever the protocol.

    Connecting and disconnecting may safely be done twice. All methods may be called from many threads.
    """

    def __init__(self, my_ip: str, host: str, initiator: str) -> None:
        self.initiator = initiator
        self._my_ip = my_ip
        self._host = host

    def properties(self, mountpoint: str | None = None) -> dict[str, Any]:
        """The connector dictionary that goes to the storage service; `mountpoint` is the disk's device name."""
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

        Raises PortalUnreachable, LoginRefused, UnsupportedVolume; after an error nothing is left connected.
        """

    @abc.abstractmethod
    def disconnect_volume(self, connection_info: Mapping[str, Any]) -> None:
        """Undo `connect_volume`; what is not connected is left alone."""


class UserspaceConnector(Connector):
    """QEMU logs in by itself: connecting is a check of the portal that ends within the two limits (seconds)."""

    def __init__(
        self,
        my_ip: str,
        host: str,
        initiator: str,
        connect_timeout: float = 2.0,
        login_timeout: float = 5.0,
    ) -> None:
        super().__init__(my_ip, host, initiator)
        self._connect_timeout = connect_timeout
        self._login_timeout = login_timeout

    def connect_volume(self, connection_info: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the portal whether it lets this host in; the connection information stays as it is."""
        volume = connection_information.iscsi(connection_info)
        iscsi_login.check(volume, self.initiator, self._connect_timeout, self._login_timeout)
        return dict(connection_info)

    def disconnect_volume(self, connection_info: Mapping[str, Any]) -> None:
        """Nothing to undo: QEMU ended its session when the guest let the disk go."""


class FakeConnector(Connector):
    """The twin: remembers which volumes are connected, and raises the errors it was given, first one first."""

    def __init__(
        self,
        my_ip: str = "127.0.0.1",
        host: str = "fake-host",
        initiator: str = _OWN_PREFIX + "fake",
        faults: list[Exception] | None = None,
    ) -> None:
        super().__init__(my_ip, host, initiator)
        self.faults = faults if faults is not None else []
        self._connected: set[str] = set()
        self._lock = threading.Lock()

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
            self._connected.add(connection_information.volume_id(connection_info))
        return dict(connection_info)

    def disconnect_volume(self, connection_info: Mapping[str, Any]) -> None:
        """Forget the volume."""
        with self._lock:
            self._connected.discard(connection_information.volume_id(connection_info))


def initiator_name(state_path: str, distribution_file: str = DISTRIBUTION_INITIATOR_FILE) -> str:
    """This host's iSCSI name: the distribution's if it has one, else our own, made once and kept in `state_path`."""
    for path in (distribution_file, os.path.join(state_path, "initiatorname")):
        name = _read_initiator(path)
        if name is not None:
            return name
    return _make_initiator(os.path.join(state_path, "initiatorname"))


def _read_initiator(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, PermissionError):
        return None
    names = [line.removeprefix(_INITIATOR_KEY).strip() for line in lines if line.startswith(_INITIATOR_KEY)]
    return next((name for name in names if name), None)


def _make_initiator(path: str) -> str:
    """Write a new name, complete or not at all; if another process was first, its name holds."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=directory)  # 0600
    name = _OWN_PREFIX + secrets.token_hex(6)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{_INITIATOR_KEY}{name}\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            name = _read_initiator(path) or name
    finally:
        os.unlink(temporary)
    return name
