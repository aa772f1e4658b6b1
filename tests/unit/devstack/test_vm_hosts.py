"""Who the machines are: addresses, files and the archive that brings them in."""

from __future__ import annotations

import pytest

from devstack.guest import build
from devstack.vm import hosts, initrd

CONTROLLER, COMPUTE1, COMPUTE2 = hosts.HOSTS


def test_the_controller_has_a_second_portal_and_an_ipv6_address() -> None:
    assert CONTROLLER.addresses == ("10.111.0.10/24", "10.111.0.110/24", "fd00:111::10/64")
    assert (COMPUTE1.address, COMPUTE2.address) == ("10.111.0.21", "10.111.0.22")


def test_no_two_interfaces_share_a_hardware_address() -> None:
    found = [host.mac(interface) for host in hosts.HOSTS for interface in (0, 1)]
    assert len(set(found)) == len(found)
    assert all(int(mac[:2], 16) & 3 == 2 for mac in found), "locally administered, not multicast"


def test_hosts_are_chosen_by_name_and_come_in_their_own_order() -> None:
    assert hosts.chosen(None) == hosts.HOSTS
    assert hosts.chosen(["compute2", "controller"]) == (CONTROLLER, COMPUTE2)


@pytest.mark.parametrize("names", [["controler"], ["controller", "x"], []])
def test_a_name_that_is_none_is_refused_with_those_that_are(names: list[str]) -> None:
    with pytest.raises(hosts.VmError, match="there are controller, compute1, compute2"):
        hosts.chosen(names)


def test_every_host_knows_the_others_by_name() -> None:
    text = hosts.hosts_file()
    assert text.startswith("127.0.0.1 localhost\n")
    assert [line for line in text.splitlines() if line.startswith("10.")] == [
        "10.111.0.10 controller",
        "10.111.0.21 compute1",
        "10.111.0.22 compute2",
    ]


def test_the_network_script_knows_both_families() -> None:
    script = hosts.network_script(CONTROLLER).splitlines()
    assert "ip addr add 10.111.0.110/24 dev eth1" in script
    assert "ip -6 addr add fd00:111::10/64 dev eth1" in script
    assert script[-1] == "ip link set eth1 up"


def test_machines_and_environments_have_identities_of_their_own() -> None:
    def identity(host: hosts.Host, environment: str) -> dict[str, tuple[int, str]]:
        return hosts.identity(host, environment=environment, public_key="ssh-x AAAA\n", host_key=("private", "public"))

    one, other, elsewhere = identity(COMPUTE1, "a"), identity(COMPUTE2, "a"), identity(COMPUTE1, "b")
    assert len({files["etc/machine-id"] for files in (one, other, elsewhere)}) == 3
    assert one["etc/iscsi/initiatorname.iscsi"] != other["etc/iscsi/initiatorname.iscsi"]
    assert len(one["etc/machine-id"][1].strip()) == 32
    secret = {name for name, (mode, _) in one.items() if mode & 0o077 == 0}
    assert secret == {"etc/iscsi/initiatorname.iscsi", "root/.ssh/authorized_keys", "etc/ssh/ssh_host_ed25519_key"}


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> (mode, content) of a "newc" archive, read by the format's own description."""
    found, at = {}, 0
    while True:
        fields = [int(archive[at + 6 + n * 8 : at + 14 + n * 8], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        at += (110 + length + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, archive[at : at + size])
        at += (size + 3) & ~3


def test_the_personal_archive_holds_directories_before_files() -> None:
    files = {"root/.ssh/authorized_keys": (0o600, "key\n"), "etc/hostname": (0o644, "x\n"), "etc/ssh/a": (0o600, "a")}
    found = entries(initrd.personal(files, "ip link set lo up\n"))
    assert list(found) == [
        *("network", "identity/etc", "identity/etc/hostname", "identity/etc/ssh", "identity/etc/ssh/a"),
        *("identity/root", "identity/root/.ssh", "identity/root/.ssh/authorized_keys"),
    ]
    assert found["identity/root/.ssh"][0] & 0o777 == 0o700
    assert found["identity/etc"][0] & 0o777 == 0o755
    assert found["identity/root/.ssh/authorized_keys"] == (0o100600, b"key\n")


def test_archives_may_lie_one_after_the_other() -> None:
    archive = build.Archive()
    archive.add("a", 0o100644, b"12345")
    assert len(archive.finish()) % 4 == 0
