"""Records of the LIO side: an export as it is wanted or saved, and a portal. No I/O, no library."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from lite_common import errors


@dataclass(frozen=True, order=True)
class Portal:
    """Where a target listens; an IPv6 address is in brackets, as configfs wants it."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Portal:
        """Return the portal "address:port" in the one form in which the kernel's name of it can be compared.

        Raises errors.Invalid when it is not one. Host names are none: the kernel knows addresses only.
        """
        address, _, port = text.rpartition(":")
        try:
            found = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
            number = int(port)
        except ValueError as err:
            raise errors.Invalid(
                f"{text!r} is not a portal of the form address:port, with an IPv6 address in brackets. "
                "Check target_ip_address, target_secondary_ip_addresses and target_port."
            ) from err
        return cls(f"[{found}]" if found.version == 6 else str(found), number)

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.address.strip("[]")


@dataclass(frozen=True)
class Entry:
    """One export: a block device behind one target, for some initiators, with one CHAP login for all of them.

    `serial` is what the disk calls itself, `discard` whether it takes a guest's discards.
    """

    iqn: str
    device: str
    serial: str
    portals: tuple[Portal, ...]
    userid: str = ""
    password: str = field(default="", repr=False)
    initiators: frozenset[str] = frozenset()
    discard: bool = False
