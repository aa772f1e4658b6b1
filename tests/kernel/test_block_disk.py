"""A block disk in a real domain: libvirt, QEMU and the host's initiator, with a guest that has no system at all."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from os_brick import privileged

from nova_lite.virt import driver, errors
from nova_lite.virt.libvirt.driver import LibvirtDriver, Settings
from nova_lite.volume import brick_connector
from tests.kernel import initiator_world as world
from tests.kernel.initiator_world import MIB, Target

INITIATOR = "iqn.2010-10.org.openstack:nova-lite-kernel"


@pytest.fixture(scope="module", autouse=True)
def services() -> Iterator[None]:
    """libvirtd, as long as it is needed: it and machined look at every device that other tests make and remove."""
    privileged.default.set_client_mode(False)
    world.run("systemctl", "start", "libvirtd", "iscsid")
    # The first connection finds out what QEMU can do, which takes longer in an emulated machine than a service waits.
    world.run("virsh", "--connect", "qemu:///system", "list")
    yield
    world.run("systemctl", "stop", "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
    world.run("systemctl", "stop", "systemd-machined")


@pytest.fixture
def virt() -> Iterator[LibvirtDriver]:
    """A driver with its state where QEMU, which is not root, may pass."""
    state = Path("/var/lib/nlite-kernel-test")
    state.mkdir(mode=0o755, exist_ok=True)
    made = LibvirtDriver(Settings(virt_type="qemu", state_path=str(state)), INITIATOR)
    made.init_host()
    yield made
    made.close()


@pytest.fixture
def connector(tmp_path: Path) -> brick_connector.BrickConnector:
    return brick_connector.BrickConnector(
        brick_connector.Settings(my_ip="127.0.0.1", host="kernel", lock_path=str(tmp_path / "locks"))
    )


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with world.target(tmp_path) as made:
        yield made


@pytest.fixture
def specs(virt: LibvirtDriver) -> Iterator[list[driver.ServerSpec]]:
    """Two servers without an image: their firmware finds nothing to boot and waits."""
    names = ["instance-0000fff0", "instance-0000fff1"]
    made = [driver.ServerSpec(str(uuid.uuid4()), name, name, 32, 1, driver.ImageFiles()) for name in names]
    yield made
    for spec in made:
        virt.destroy(spec.uuid)


def description(name: str, flags: int = 0) -> ET.Element:
    """The disk of ours in a domain's description, as libvirt has it."""
    connection = libvirt.open("qemu:///system")
    try:
        found = ET.fromstring(connection.lookupByName(name).XMLDesc(flags)).findall("./devices/disk[@type='block']")
    finally:
        connection.close()
    assert len(found) == 1
    return found[0]


def test_a_block_disk_comes_grows_and_goes(
    virt: LibvirtDriver,
    connector: brick_connector.BrickConnector,
    target: Target,
    specs: list[driver.ServerSpec],
) -> None:
    server, other = specs
    for spec in specs:
        virt.spawn(spec)
    connected = connector.connect_volume(target.info(discard=True))
    disk = driver.VolumeDisk(target.volume, "/dev/vdb", connected)
    virt.attach_volume(server.uuid, disk)
    for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        found = description(server.instance_name, flags)
        attributes = {"name": "qemu", "type": "raw", "cache": "none", "discard": "unmap", "io": "native"}
        assert {key: found.find("driver").get(key) for key in attributes} == attributes  # type: ignore[union-attr]
        assert found.find("source").get("dev") == target.by_path()  # type: ignore[union-attr]
        assert found.findtext("serial") == target.volume
        assert found.find("alias").get("name") == f"ua-{target.volume}"  # type: ignore[union-attr]
        assert found.find("address").get("type") == "pci"  # type: ignore[union-attr]
    with pytest.raises(errors.DeviceInUse, match=server.instance_name):
        virt.attach_volume(other.uuid, disk)
    target.grow(96 * MIB)
    virt.extend_volume(server.uuid, disk, connector.extend_volume(connected))
    blocks = world.run("virsh", "domblkinfo", server.instance_name, "vdb")
    assert str(96 * MIB) in blocks
    virt.power_off(server.uuid, 0)
    virt.detach_volume(server.uuid, disk)
    assert virt.attached_volumes(server.uuid) == driver.AttachedVolumes(frozenset(), frozenset())
    virt.attach_volume(other.uuid, disk)
    virt.destroy(other.uuid)
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_a_server_starts_with_its_block_disk(
    virt: LibvirtDriver,
    connector: brick_connector.BrickConnector,
    target: Target,
    specs: list[driver.ServerSpec],
) -> None:
    """A hard reboot while the session is up: the same device, the same session."""
    connected = connector.connect_volume(target.info())
    number = world.session_number(target.iqn)
    disk = driver.VolumeDisk(target.volume, "/dev/vdb", connected)
    with_disk = driver.ServerSpec(specs[0].uuid, specs[0].instance_name, "with", 32, 1, driver.ImageFiles(), (disk,))
    virt.spawn(with_disk)
    assert connector.connect_volume(target.info()) == connected
    virt.reboot(with_disk, hard=True)
    assert world.session_number(target.iqn) == number
    assert virt.attached_volumes(with_disk.uuid).live == {target.volume}
    virt.destroy(with_disk.uuid)
    connector.disconnect_volume(connected)
    world.assert_nothing_left()
