"""What cinder-volume asks of the thing that lets hosts reach a volume over iSCSI.

Every operation is an *ensure present* or an *ensure absent*. One target per volume; the disk is one LUN of it.
A target knows no rows: the caller holds the volume's lock and keeps location and secret in the database.
"""

from __future__ import annotations

import abc
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cinder_lite import errors as cinder_errors
from lite_common import errors

# Cinder's alphabet for generated secrets: no characters that are mistaken for each other.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
USER_LENGTH = 20
PASSWORD_LENGTH = 16
# What the columns provider_location and provider_auth hold, in characters.
LOCATION_LENGTH = 256
_LOCATION = re.compile(r"([^\s,;]+(?:;[^\s,;]+)*),(\S+) (\S+) (\d+)")
_UUID_LENGTH = 36
# Stands for the names of initiators where the login alone decides.
EVERYBODY = "ALL"
# How long `remove_export` waits for an initiator that is logging out.
BUSY_WAIT = 5.0


@dataclass(frozen=True)
class Auth:
    """The CHAP login of one target; the password is never shown."""

    username: str
    password: str = field(repr=False)

    @classmethod
    def generate(cls) -> Auth:
        """Return a new random login."""
        return cls(_random(USER_LENGTH), _random(PASSWORD_LENGTH))

    @classmethod
    def parse(cls, provider_auth: str) -> Auth:
        """Return the login held in `volumes.provider_auth` ("CHAP user password").

        Raises errors.BackendError when it is not one.
        """
        parts = provider_auth.split()
        if len(parts) != 3 or parts[0] != "CHAP":
            raise errors.BackendError("The volume's provider_auth is not of the form 'CHAP user password'.")
        return cls(parts[1], parts[2])

    def provider_auth(self) -> str:
        """Return the form in which the database holds it."""
        return f"CHAP {self.username} {self.password}"


@dataclass(frozen=True)
class Export:
    """One export that should exist. `location` is where it was last, if it ever was.

    `initiators` are the hosts that must reach it. With `recall` those to which it was granted before count, too, as
    far as the target's own memory goes: the database does not know the hosts of attachments of the older flow.
    """

    volume_name: str
    path: str
    auth: Auth
    location: str | None = None
    initiators: frozenset[str] = frozenset()
    recall: bool = False


@dataclass(frozen=True)
class Session:
    """One initiator that is logged in to a target."""

    initiator: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.initiator} ({self.address})" if self.address else self.initiator


@dataclass(frozen=True)
class Shown:
    """What a target really holds of one export. `path` is what its LUN serves (None: it has no LUN), `chap` whether
    it asks for a login, `initiators` who may try one: names of hosts, or "ALL" for whoever has the login."""

    path: str | None
    chap: bool
    initiators: frozenset[str]
    sessions: tuple[Session, ...] = ()


@dataclass(frozen=True)
class Location:
    """A provider_location: the portals ("address:port", the first is the main one) of a target and its LUN."""

    portals: tuple[str, ...]
    target_id: str
    iqn: str
    lun: int

    @property
    def portal(self) -> str:
        """The portal for a host that uses one path."""
        return self.portals[0]

    def __str__(self) -> str:
        return f"{';'.join(self.portals)},{self.target_id} {self.iqn} {self.lun}"


class TargetDriver(abc.ABC):
    """One backend's target. Called from several threads, never twice at a time for one volume.

    What goes wrong is raised as errors.BackendError, or errors.Unavailable when the target daemon is down; both
    name the target and what to do.
    """

    lun = 1

    def __init__(self, prefix: str, portal: str, secondary: Sequence[str] = ()) -> None:
        """`prefix` is what the IQNs begin with, `portal` the "address:port" that hosts connect to; `secondary` are
        further ones, by which a host with multipath reaches the same disk."""
        self.prefix = prefix
        self.portal = portal
        self.portals = (portal, *(one for one in secondary if one != portal))

    def iqn(self, volume_name: str) -> str:
        """Return the name of the volume's target."""
        return f"{self.prefix}{volume_name}"

    @abc.abstractmethod
    def check_for_setup_error(self) -> None:
        """Return when the target daemon can work. Raises errors.LiteError that says what to repair."""

    @abc.abstractmethod
    def ensure_export(
        self,
        volume_name: str,
        path: str,
        auth: Auth,
        location: str | None = None,
        initiators: Collection[str] = (),
    ) -> str:
        """Ensure that hosts with the login reach `path`, and return the provider_location.

        Where access belongs to the host, `initiators` have it, as after `initialize_connection`, before the target
        answers anybody. What is missing of an export is added without disturbing its sessions. After an error nothing
        new is left.
        """

    @abc.abstractmethod
    def remove_export(self, volume_name: str, location: str | None) -> None:
        """Ensure that nobody reaches the volume any more.

        Raises errors.VolumeIsBusy, naming the initiator, when one is still logged in after BUSY_WAIT seconds; a
        session is never cut, because a guest would lose its disk.
        """

    @abc.abstractmethod
    def sessions(self, volume_name: str) -> list[Session]:
        """Return who is logged in to the volume's target; nobody when there is none."""

    @abc.abstractmethod
    def shown(self, volume_names: Collection[str]) -> dict[str, Shown]:
        """What there is of these exports, however incomplete; one that has no target is left out."""

    @abc.abstractmethod
    def exported(self) -> set[str]:
        """Return the names of the volumes that this backend exported and has not taken back."""

    @abc.abstractmethod
    def generation(self) -> str:
        """Return a text that changes when the target daemon was started anew and may have lost its targets."""

    def ensure_all(self, exports: Iterable[Export]) -> dict[str, str | errors.LiteError]:
        """Ensure many exports; returns location or error of each volume by name. One failure stops no other."""
        outcome: dict[str, str | errors.LiteError] = {}
        for export in exports:
            try:
                outcome[export.volume_name] = self.ensure_export(
                    export.volume_name, export.path, export.auth, export.location, export.initiators
                )
            except errors.LiteError as err:
                outcome[export.volume_name] = err
        return outcome

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        """Return when the connector names an initiator. Raises InvalidInput (400) otherwise."""
        initiator = connector.get("initiator")
        if not isinstance(initiator, str) or not initiator:
            raise cinder_errors.InvalidInput(
                reason="the connector has no 'initiator'. Send the iSCSI initiator name of the host that connects."
            )

    # The next three do nothing where access belongs to the target, and a new size is seen without help.

    def initialize_connection(  # noqa: B027 - see above
        self, volume_name: str, auth: Auth, connector: Mapping[str, Any]
    ) -> None:
        """Ensure that the initiator of `connector` may log in to the export, which must be there.

        What is granted outlives a restart of target and host. After an error it is as it was before.
        """

    def terminate_connection(self, volume_name: str, connector: Mapping[str, Any]) -> None:  # noqa: B027 - see above
        """Ensure that nothing is granted to the initiator of `connector` alone.

        Raises errors.VolumeIsBusy, naming it, when it is still logged in after BUSY_WAIT seconds.
        """

    def extend_target(self, volume_name: str, path: str) -> None:  # noqa: B027 - see above
        """Ensure that hosts which look again see the device's new size.

        Raises errors.VolumeIsBusy where the target cannot show it to a host that is logged in.
        """

    def connection_properties(
        self, location: str, provider_auth: str, volume_id: str, connector: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return {"driver_volume_type", "data"} for the host of `connector` (the form of os-brick's iSCSI)."""
        where = parse_location(location)
        auth = Auth.parse(provider_auth)
        data: dict[str, Any] = {
            "target_discovered": False,
            "target_portal": where.portal,
            "target_iqn": where.iqn,
            "target_lun": where.lun,
            "volume_id": volume_id,
            "auth_method": "CHAP",
            "auth_username": auth.username,
            "auth_password": auth.password,
        }
        paths = len(where.portals)
        if paths > 1 or connector.get("multipath"):
            data |= {
                "target_portals": list(where.portals),
                "target_iqns": [where.iqn] * paths,
                "target_luns": [where.lun] * paths,
            }
        return {"driver_volume_type": "iscsi", "data": data}

    def _check_location_length(self) -> None:
        """Raises errors.Invalid when there are more portals than a provider_location holds."""
        name = f"volume-{'0' * _UUID_LENGTH}"
        if len(self._location(name, self.iqn(name))) > LOCATION_LENGTH:
            raise errors.Invalid(
                f"{len(self.portals)} portals and the prefix {self.prefix} make a provider_location longer than "
                f"{LOCATION_LENGTH} characters. Shorten target_secondary_ip_addresses or target_prefix."
            )

    def _location(self, volume_name: str, target_id: int | str) -> str:
        return str(Location(self.portals, str(target_id), self.iqn(volume_name), self.lun))


def parse_location(location: str) -> Location:
    """Return the parts of a provider_location. Raises errors.BackendError when it is not one."""
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise errors.BackendError(
            f"The volume's provider_location {location!r} is not of the form 'ip:port[;ip:port],id iqn lun'."
        )
    portals, target_id, iqn, lun = match.groups()
    return Location(tuple(portals.split(";")), target_id, iqn, int(lun))


def busy(volume_name: str, iqn: str, sessions: Iterable[Session]) -> cinder_errors.VolumeIsBusy:
    """Return the error that names who is still logged in."""
    who = ", ".join(sorted({str(session) for session in sessions})) or "an initiator that is logging in"
    return cinder_errors.VolumeIsBusy(
        volume_id=volume_name.removeprefix("volume-"),
        reason=f"target {iqn} is used by {who}. Detach the disk there, then repeat the request.",
    )


def _random(length: int) -> str:
    while True:
        found = "".join(secrets.choice(ALPHABET) for _ in range(length))
        # Linux's own target takes a name or secret that begins so for "none".
        if not found.startswith("NULL"):
            return found
