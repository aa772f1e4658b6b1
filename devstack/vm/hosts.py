"""The three hosts: their names, addresses and sizes, and the files that tell a machine who it is.

Every machine has `eth0`, a user-mode network that leads nowhere but to its own ssh port, and `eth1`, the private
network that the three share.  The addresses are fixed: two environments on one machine are two separate networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

NETWORK = "10.111.0"
NETWORK6 = "fd00:111:"
# Where QEMU's user-mode network expects the guest.
USER_ADDRESS = "10.0.2.15/24"


class VmError(Exception):
    """The machines cannot do what was asked; the message says what to do."""


@dataclass(frozen=True)
class Host:
    """One machine: `number` is the last part of its addresses, memory is in MiB, `disks` are spare ones in GiB.

    It has `processors` even where it is emulated and others run beside it, if the machine below has as many.
    """

    name: str
    number: int
    memory: int
    more: tuple[int, ...] = ()
    disks: tuple[int, ...] = ()
    processors: int = 1

    @property
    def address(self) -> str:
        """The first address on the private network."""
        return f"{NETWORK}.{self.number}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses on the private network, with their prefix lengths."""
        fourth = [f"{NETWORK}.{number}/24" for number in (self.number, *self.more)]
        return (*fourth, f"{NETWORK6}:{self.number}/64")

    def mac(self, interface: int) -> str:
        """The hardware address of eth0 or eth1; the same in every environment, which never meet."""
        return f"52:54:00:6e:{interface:02x}:{self.number:02x}"


HOSTS = (
    # Database, bus and four daemons start at the same time there, while the others wait for them.
    Host("controller", 10, 3072, more=(110,), disks=(10, 5), processors=2),
    Host("compute1", 21, 2048, disks=(10,)),
    Host("compute2", 22, 2048, disks=(10,)),
)
NAMES = tuple(host.name for host in HOSTS)


def chosen(names: Iterable[str] | None) -> tuple[Host, ...]:
    """Return the hosts with these names, all of them for None; raise VmError for a name that is none."""
    wanted = list(NAMES if names is None else names)
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown or not wanted:
        raise VmError(f"no such host: {', '.join(unknown) or 'none named'}; there are {', '.join(NAMES)}")
    return tuple(host for host in HOSTS if host.name in wanted)


def hosts_file() -> str:
    """Return /etc/hosts: all machines under their private addresses."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{one.address} {one.name}" for one in HOSTS]
    return "\n".join(lines) + "\n"


def network_script(host: Host) -> str:
    """Return the shell lines that give the interfaces their addresses, for the start of the machine."""
    lines = ["ip link set lo up", f"ip addr add {USER_ADDRESS} dev eth0", "ip link set eth0 up"]
    # An IPv6 address must be usable at once, not after a second of looking for others who have it.
    lines.append("echo 0 >/proc/sys/net/ipv6/conf/eth1/accept_dad")
    lines += [f"ip {'-6 ' if ':' in address else ''}addr add {address} dev eth1" for address in host.addresses]
    return "\n".join([*lines, "ip link set eth1 up"]) + "\n"


def identity(host: Host, *, environment: str, public_key: str, host_key: tuple[str, str]) -> dict[str, tuple[int, str]]:
    """Return the files that make the common image this host: path -> (mode, content).

    `environment` is any text that tells environments apart; `host_key` is the private and the public ssh host key.
    """
    machine = hashlib.sha256(f"{environment} {host.name}".encode()).hexdigest()[:32]
    initiator = f"InitiatorName=iqn.2010-10.org.nlite:{host.name}"
    return {
        "etc/hostname": (0o644, f"{host.name}\n"),
        "etc/hosts": (0o644, hosts_file()),
        "etc/machine-id": (0o444, f"{machine}\n"),
        "etc/iscsi/initiatorname.iscsi": (0o600, f"{initiator}\n"),
        "root/.ssh/authorized_keys": (0o600, public_key.strip() + "\n"),
        "etc/ssh/ssh_host_ed25519_key": (0o600, host_key[0]),
        "etc/ssh/ssh_host_ed25519_key.pub": (0o644, host_key[1]),
    }
