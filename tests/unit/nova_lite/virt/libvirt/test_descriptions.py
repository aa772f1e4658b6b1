from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from nova_lite.virt import driver, errors
from nova_lite.virt.libvirt import disk_xml, domain_xml, secrets
from nova_lite.virt.libvirt.domain_xml import Files
from tests.unit.nova_lite.virt import samples

INITIATOR = "iqn.2010-10.org.openstack:nova-lite-test"
FILES = Files.of("/state", "s")


def domain(spec: driver.ServerSpec, virt_type: str = "qemu") -> ET.Element:
    return ET.fromstring(domain_xml.build(spec, FILES, virt_type, INITIATOR))


def test_the_whole_disk() -> None:
    disk = samples.disk("/dev/vdc", target_portal="[fd00::4]:3261")
    volume = disk.volume_id
    assert disk_xml.text(disk_xml.build(disk, INITIATOR)) == (
        '<disk type="network" device="disk">'
        '<driver name="qemu" type="raw" cache="none" discard="unmap" />'
        f'<alias name="ua-{volume}" />'
        f'<source protocol="iscsi" name="iqn.2010-10.org.openstack:volume-{volume}/1">'
        '<host name="fd00::4" port="3261" />'
        f'<auth username="chapuser"><secret type="iscsi" usage="nova-lite-{volume}" /></auth>'
        f'<initiator><iqn name="{INITIATOR}" /></initiator></source>'
        '<target dev="vdc" bus="virtio" />'
        f"<serial>{volume}</serial>"
        "</disk>"
    )


def test_the_whole_disk_of_a_volume_that_the_host_connects() -> None:
    device = "/dev/disk/by-path/ip-10.0.0.4:3260-iscsi-iqn.x:volume-lun-0"
    disk = samples.disk("/dev/vdc", device_path=device)
    assert disk_xml.text(disk_xml.build(disk, INITIATOR)) == (
        '<disk type="block" device="disk">'
        '<driver name="qemu" type="raw" cache="none" discard="unmap" io="native" />'
        f'<alias name="ua-{disk.volume_id}" />'
        f'<source dev="{device}" />'
        '<target dev="vdc" bus="virtio" />'
        f"<serial>{disk.volume_id}</serial>"
        "</disk>"
    )
    plain = disk_xml.text(disk_xml.build(samples.disk(device_path=device, discard=False, access_mode="ro"), INITIATOR))
    assert '<driver name="qemu" type="raw" cache="none" io="native" />' in plain
    assert "<readonly />" in plain
    description = domain_xml.build(samples.spec(disk, samples.disk("/dev/vdd")), FILES, "qemu", INITIATOR)
    assert disk_xml.block_devices(description) == {device}
    assert set(disk_xml.volumes(description)) > {disk.volume_id}


def test_a_disk_without_password_discard_or_writing() -> None:
    element = disk_xml.build(samples.disk(auth_method=None, discard="true", access_mode="ro"), INITIATOR)
    assert element.find("./source/auth") is None
    assert element.find("readonly") is not None
    driver_element = element.find("driver")
    assert driver_element is not None
    assert "discard" not in driver_element.attrib


def test_a_volume_that_is_not_iscsi_is_refused() -> None:
    disk = driver.VolumeDisk("v", "/dev/vdb", {"driver_volume_type": "rbd", "data": {}, "serial": "v"})
    with pytest.raises(errors.UnsupportedVolume, match="Volume v"):
        disk_xml.build(disk, INITIATOR)


def test_disks_are_found_again_by_their_alias_only() -> None:
    disks = samples.disk("/dev/vdb"), samples.disk("/dev/vdc")
    description = domain_xml.build(samples.spec(*disks, disk="/images/d.qcow2"), FILES, "qemu", INITIATOR)
    found = disk_xml.volumes(description)
    assert set(found) == {disk.volume_id for disk in disks}
    assert found[disks[0].volume_id].findtext("serial") == disks[0].volume_id


def test_a_kernel_image_boots_its_kernel() -> None:
    root = domain(samples.spec(kernel="/i/kernel", ramdisk="/i/initrd", cmdline="console=ttyS0 quiet"))
    assert root.findtext("./os/kernel") == "/i/kernel"
    assert root.findtext("./os/initrd") == "/i/initrd"
    assert root.findtext("./os/cmdline") == "console=ttyS0 quiet"
    assert root.find("./os/boot") is None
    assert root.findall("./devices/disk") == []


def test_a_disk_image_boots_from_a_copy_on_write_file() -> None:
    root = domain(samples.spec(disk="/i/debian.qcow2"))
    source = root.find("./devices/disk/source")
    assert source is not None
    assert source.get("file") == "/state/instances/s.qcow2"
    assert root.find("./os/boot") is not None
    assert "/i/debian.qcow2" not in ET.tostring(root, encoding="unicode")


@pytest.mark.parametrize(("virt_type", "cache", "cpu"), [("qemu", "64", None), ("kvm", None, "host-passthrough")])
def test_what_runs_the_guest(virt_type: str, cache: str | None, cpu: str | None) -> None:
    root = domain(samples.spec(), virt_type)
    assert root.get("type") == virt_type
    assert root.findtext("./features/tcg/tb-cache") == cache
    element = root.find("cpu")
    assert (element.get("mode") if element is not None else None) == cpu


def test_the_console_and_what_makes_a_guest_cheap() -> None:
    devices = domain(samples.spec()).find("devices")
    assert devices is not None
    assert [child.tag for child in devices] == ["serial", "controller", "memballoon"]
    serial = devices[0]
    assert [child.attrib for child in serial] == [
        {"mode": "bind", "path": "/state/consoles/s.sock"},
        {"file": "/state/consoles/s.log", "append": "off"},
        {"port": "0"},
    ]


@pytest.mark.parametrize(("name", "title"), [("büro ☂", "büro ☂"), ("a\nb\x00c", "a b c"), ("<&>", "<&>"), ("\n", "-")])
def test_any_display_name_makes_a_title(name: str, title: str) -> None:
    assert domain(dataclasses.replace(samples.spec(), display_name=name)).findtext("title") == title


class Secrets:
    """A connection that keeps secrets, and notes what happened in which order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def secretDefineXML(self, description: str) -> Secrets:
        root = ET.fromstring(description)
        assert (root.get("ephemeral"), root.get("private")) == ("yes", "yes")
        self.events.append(f"define {root.findtext('./usage/target')}")
        return self

    def setValue(self, value: bytes) -> None:
        self.events.append(f"set {value.decode()}")

    def fail(self) -> None:
        self.events.append("use")
        raise ValueError("attach")

    def undefine(self) -> None:
        self.events.append("undefine")


def test_a_password_is_lent_and_taken_back_whatever_happens() -> None:
    disk, open_disk = samples.disk(), samples.disk(auth_method=None)
    of_the_host = samples.disk(device_path="/dev/disk/by-path/x")
    connection = Secrets()
    with pytest.raises(ValueError, match="attach"), secrets.lent(connection, [disk, open_disk, of_the_host]):
        connection.fail()
    usage = f"nova-lite-{disk.volume_id}"
    assert connection.events == [f"define {usage}", f"set {samples.PASSWORD}", "use", "undefine"]


def test_no_description_holds_the_password() -> None:
    description = domain_xml.build(samples.spec(samples.disk()), FILES, "qemu", INITIATOR)
    assert samples.PASSWORD not in description
