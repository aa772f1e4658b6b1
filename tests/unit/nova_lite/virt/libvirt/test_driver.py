from __future__ import annotations

import shutil
from pathlib import Path

import libvirt
import pytest

from nova_lite.virt import errors
from nova_lite.virt.libvirt.driver import LibvirtDriver, Settings
from tests.unit.nova_lite.virt import samples
from tests.unit.nova_lite.virt.libvirt.stand_in import failure


def test_a_state_directory_without_room_for_sockets_is_refused_at_once() -> None:
    virt = LibvirtDriver(Settings("test:///none", "qemu", "/srv/" + "x" * 60), "iqn.x:y")
    with pytest.raises(errors.HypervisorError, match=r"state_path /srv/x+ is 9 bytes too long"):
        virt.init_host()


def test_the_facts_of_a_host_are_libvirts_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the library's built-in test hypervisor: a host with 16 processors and 3 GiB."""
    virt = LibvirtDriver(Settings(state_path=str(tmp_path)), "iqn.x:y")
    connection = libvirt.open("test:///default")
    monkeypatch.setattr(virt._connection, "get", lambda: connection)
    facts = virt.host_facts()
    assert (facts.hypervisor_type, facts.hypervisor_version) == (connection.getType(), connection.getVersion())
    assert (facts.vcpus, facts.memory_mb) == (16, 3072)
    assert facts.local_gb == shutil.disk_usage(tmp_path).total // 2**30
    connection.close()


class Other:
    """A running domain of somebody else, which may be gone when it is asked."""

    def __init__(self, uuid: str, devices: tuple[str, ...] = (), gone: bool = False) -> None:
        self.uuid = uuid
        self.devices = devices
        self.gone = gone

    def UUIDString(self) -> str:
        return self.uuid

    def name(self) -> str:
        return "by-hand"

    def XMLDesc(self, flags: int) -> str:
        if self.gone:
            raise failure(libvirt.VIR_ERR_NO_DOMAIN, "gone")
        disks = "".join(f"<disk type='block'><source dev='{device}'/></disk>" for device in self.devices)
        return f"<domain><devices><disk type='file'><source file='/x'/></disk>{disks}</devices></domain>"


class Connection:
    def __init__(self, *domains: Other) -> None:
        self.domains = list(domains)

    def listAllDomains(self, flags: int) -> list[Other]:
        assert flags == libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        return self.domains


def test_a_device_that_another_domain_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sdb").touch()
    (tmp_path / "link").symlink_to("sdb")
    virt = LibvirtDriver(Settings(state_path=str(tmp_path)), "iqn.x:y")
    disk = samples.disk(device_path=str(tmp_path / "link"))
    others = Connection(Other("gone", gone=True), Other("mine", (str(tmp_path / "sdb"),)), Other("o", ("/dev/sdz",)))
    monkeypatch.setattr(virt._connection, "get", lambda: others)
    virt._refuse_shared("mine", [disk])
    others.domains.append(Other("other", (str(tmp_path / "sdb"),)))
    with pytest.raises(errors.DeviceInUse, match=f"{disk.volume_id}.*the domain by-hand"):
        virt._refuse_shared("mine", [disk])
    virt._refuse_shared("mine", [samples.disk()])  # a network disk has no device here
