"""The libvirt driver on the real thing: a private libvirtd, QEMU guests that boot Linux, tgtd with CHAP."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.guest import build, console
from nova_lite.virt import driver, errors
from nova_lite.virt.driver import PowerState
from nova_lite.virt.libvirt.driver import LibvirtDriver, Settings
from nova_lite.volume import qemu_connector
from tests.fixtures import servers
from tests.fixtures.exports import MIB, PASSWORD, Export, Storage
from tests.unit.nova_lite.virt.contract import NOTHING, VirtDriverContract

INITIATOR = "iqn.2010-10.org.openstack:nova-lite-itest"


@pytest.fixture(scope="module")
def image(servers_directory: Path) -> driver.ImageFiles:
    """Give the tiny guest's files; the kernel package is kept between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "nova-lite" / "guest"
    images = servers_directory / "images"
    build.build(images, cache)
    return driver.ImageFiles(str(images / "tiny.vmlinux"), str(images / "tiny.initrd"), build.CMDLINE)


@pytest.fixture
def state(servers_directory: Path) -> Path:
    """Give the service's state directory; short, as it holds unix sockets."""
    return servers_directory / "state"


@pytest.fixture
def settings(libvirtd: servers.Libvirtd, state: Path) -> Settings:
    return Settings(libvirtd.uri, "qemu", str(state), detach_attempts=4, detach_timeout=5.0, soft_reboot_timeout=20.0)


@pytest.fixture
def virt(settings: Settings) -> Iterator[LibvirtDriver]:
    virt = LibvirtDriver(settings, INITIATOR)
    virt.init_host()
    yield virt
    virt.close()


@pytest.fixture
def storage(tgtd: servers.Tgtd, servers_directory: Path) -> Iterator[Storage]:
    storage = Storage(tgtd, servers_directory)
    yield storage
    storage.remove_all()


@pytest.fixture
def exports(storage: Storage) -> list[Export]:
    return [storage.export("/dev/vdb"), storage.export("/dev/vdc")]


@pytest.fixture
def disks(exports: list[Export]) -> list[driver.VolumeDisk]:
    return [export.disk for export in exports]


def new_spec(image: driver.ImageFiles, number: int) -> driver.ServerSpec:
    return driver.ServerSpec(str(uuid.uuid4()), f"instance-{number:08x}", "tiny ☂", 128, 1, image)


@pytest.fixture
def spec(virt: LibvirtDriver, storage: Storage, image: driver.ImageFiles) -> Iterator[driver.ServerSpec]:
    """A server that is destroyed before its volumes' targets are removed."""
    spec = new_spec(image, 1)
    yield spec
    virt.destroy(spec.uuid)


def guest_of(state: Path, server: str) -> console.Console:
    return console.Console(state / "consoles" / f"{server}.sock")


class TestLibvirtDriver(VirtDriverContract):
    """The driver keeps the contract that the twin keeps."""

    @pytest.fixture(autouse=True)
    def _state(self, state: Path) -> None:
        self.state = state

    def settle(self, virt: driver.VirtDriver, server: str) -> None:
        guest_of(self.state, server).wait_ready(60)


@pytest.fixture
def guest(virt: LibvirtDriver, spec: driver.ServerSpec, state: Path) -> console.Console:
    """Give the console of a server that has booted."""
    virt.spawn(spec)
    found = guest_of(state, spec.uuid)
    found.wait_ready(60)
    return found


def both(*ids: str) -> driver.AttachedVolumes:
    return driver.AttachedVolumes(live=frozenset(ids), stored=frozenset(ids))


def test_what_one_guest_writes_another_reads(
    virt: LibvirtDriver,
    spec: driver.ServerSpec,
    guest: console.Console,
    exports: list[Export],
    image: driver.ImageFiles,
    state: Path,
) -> None:
    disk, file = exports[0].disk, exports[0].file
    virt.attach_volume(spec.uuid, disk)
    guest.await_disk(disk.volume_id)
    assert [(found.size, found.serial) for found in guest.disks()] == [(32 * MIB, disk.volume_id[:20])]
    written = guest.write(disk.volume_id, 4, "first")
    virt.detach_volume(spec.uuid, disk)
    guest.await_gone(disk.volume_id)
    assert written == console.pattern_sha256("first", 4) == console.file_sha256(file, 4)
    other = dataclasses.replace(new_spec(image, 2), volumes=(disk,))  # this time it is there from the start
    try:
        virt.spawn(other)
        second = guest_of(state, other.uuid)
        second.wait_ready(60)
        assert second.read(disk.volume_id, 4) == written
    finally:
        virt.destroy(other.uuid)


def test_the_password_is_nowhere_to_be_seen(
    virt: LibvirtDriver,
    spec: driver.ServerSpec,
    guest: console.Console,
    disks: list[driver.VolumeDisk],
    libvirtd: servers.Libvirtd,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    virt.attach_volume(spec.uuid, disks[0])
    processes = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert f"guest={spec.instance_name}" in processes
    assert PASSWORD not in processes
    assert PASSWORD not in caplog.text
    assert PASSWORD not in libvirtd.virsh("dumpxml", "--security-info", spec.instance_name)
    assert libvirtd.virsh("secret-list").splitlines()[2:] in ([], [""])


def test_a_wrong_password_leaves_nothing(
    virt: LibvirtDriver,
    spec: driver.ServerSpec,
    guest: console.Console,
    disks: list[driver.VolumeDisk],
    libvirtd: servers.Libvirtd,
) -> None:
    info = disks[0].connection_info
    wrong = {**info, "data": {**info["data"], "auth_password": "notthepassword"}}
    local = qemu_connector.UserspaceConnector("127.0.0.1", "c1", INITIATOR)
    with pytest.raises(errors.LoginRefused, match="CHAP user or password is wrong"):
        local.connect_volume(wrong)
    with pytest.raises(errors.DeviceAttachFailed, match=disks[0].volume_id) as failed:
        virt.attach_volume(spec.uuid, dataclasses.replace(disks[0], connection_info=wrong))
    assert "notthepassword" not in str(failed.value)
    assert virt.attached_volumes(spec.uuid) == NOTHING
    assert libvirtd.virsh("secret-list").splitlines()[2:] in ([], [""])
    assert local.connect_volume(info) == info
    virt.attach_volume(spec.uuid, disks[0])
    assert virt.attached_volumes(spec.uuid) == both(disks[0].volume_id)


def test_a_server_that_cannot_reach_its_volume_does_not_start(
    virt: LibvirtDriver, spec: driver.ServerSpec, disks: list[driver.VolumeDisk]
) -> None:
    info = disks[0].connection_info
    wrong = {**info, "data": {**info["data"], "auth_password": "notthepassword"}}
    broken = dataclasses.replace(spec, volumes=(dataclasses.replace(disks[0], connection_info=wrong),))
    with pytest.raises(errors.ServerStartFailed, match=spec.uuid):
        virt.spawn(broken)
    assert virt.power_state(spec.uuid) is PowerState.NOSTATE
    virt.power_on(dataclasses.replace(spec, volumes=(disks[0],)))
    virt.power_off(spec.uuid, 0)
    with pytest.raises(errors.ServerStartFailed):
        virt.power_on(broken)
    assert virt.power_state(spec.uuid) is PowerState.SHUTDOWN


def test_a_guest_that_still_boots_lets_go_in_the_end(
    virt: LibvirtDriver, spec: driver.ServerSpec, disks: list[driver.VolumeDisk]
) -> None:
    virt.spawn(spec)
    time.sleep(0.3)
    virt.attach_volume(spec.uuid, disks[0])
    virt.detach_volume(spec.uuid, disks[0])
    assert virt.attached_volumes(spec.uuid) == NOTHING


def test_a_guest_that_does_not_answer_keeps_its_disk(
    settings: Settings,
    virt: LibvirtDriver,
    spec: driver.ServerSpec,
    guest: console.Console,
    disks: list[driver.VolumeDisk],
    libvirtd: servers.Libvirtd,
) -> None:
    """A kernel that takes no interrupts any more, as after a crash."""
    impatient = LibvirtDriver(dataclasses.replace(settings, detach_attempts=2, detach_timeout=1.0), INITIATOR)
    virt.attach_volume(spec.uuid, disks[0])
    guest.await_disk(disks[0].volume_id)
    with pytest.raises(console.ConsoleError):
        guest.command("sh", "echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger", timeout=3)
    before = time.monotonic()
    try:
        with pytest.raises(errors.DeviceDetachFailed, match="2 attempts") as failed:
            impatient.detach_volume(spec.uuid, disks[0])
    finally:
        impatient.close()
    assert time.monotonic() - before < 20  # libvirt itself waits 5 s in each attempt
    assert spec.uuid in str(failed.value)
    assert virt.attached_volumes(spec.uuid) == both(disks[0].volume_id)
    virt.power_off(spec.uuid, 0)
    virt.detach_volume(spec.uuid, disks[0])
    assert virt.attached_volumes(spec.uuid) == NOTHING


def test_libvirtd_is_killed_and_comes_back(
    virt: LibvirtDriver,
    spec: driver.ServerSpec,
    guest: console.Console,
    disks: list[driver.VolumeDisk],
    libvirtd: servers.Libvirtd,
) -> None:
    virt.attach_volume(spec.uuid, disks[0])
    os.kill(libvirtd.pid, signal.SIGKILL)
    before = time.monotonic()
    try:
        virt.attach_volume(spec.uuid, disks[1])  # the launcher may have been quicker than we are
    except errors.HypervisorUnavailable:
        assert time.monotonic() - before < 5
        libvirtd.wait(30)
        virt.attach_volume(spec.uuid, disks[1])
    ids = [disk.volume_id for disk in disks]
    assert virt.attached_volumes(spec.uuid) == both(*ids)
    guest.await_disk(disks[1].volume_id)
    before = time.monotonic()
    for disk in disks:
        virt.detach_volume(spec.uuid, disk)  # events are registered again too: no waiting for time to run out
    assert time.monotonic() - before < 8
    assert virt.attached_volumes(spec.uuid) == NOTHING


def test_a_frozen_libvirtd_is_given_up_in_time(
    virt: LibvirtDriver, spec: driver.ServerSpec, guest: console.Console, libvirtd: servers.Libvirtd
) -> None:
    libvirtd.freeze()
    try:
        for limit in (20, 10):
            before = time.monotonic()
            with pytest.raises(errors.HypervisorUnavailable, match="does not answer"):
                virt.power_state(spec.uuid)
            assert time.monotonic() - before < limit
    finally:
        libvirtd.thaw()
    libvirtd.wait(30)
    deadline = time.monotonic() + 15
    while True:
        try:
            assert virt.power_state(spec.uuid) is PowerState.RUNNING
            return
        except errors.HypervisorUnavailable:
            assert time.monotonic() < deadline


def test_no_libvirtd_at_all(tmp_path: Path) -> None:
    absent = LibvirtDriver(Settings(f"qemu+unix:///system?socket={tmp_path}/none", "qemu", str(tmp_path)), INITIATOR)
    before = time.monotonic()
    with pytest.raises(errors.HypervisorUnavailable, match="Start its daemon"):
        absent.init_host()
    assert time.monotonic() - before < 2


def test_tgtd_is_down(
    virt: LibvirtDriver,
    spec: driver.ServerSpec,
    guest: console.Console,
    servers_directory: Path,
) -> None:
    """With a target daemon of its own, as it goes away for good."""
    with servers.Tgtd(servers_directory / "tgtd-down") as short_lived:
        lost = Storage(short_lived, servers_directory).export("/dev/vdb").disk
        local = qemu_connector.UserspaceConnector("127.0.0.1", "c1", INITIATOR)
        local.connect_volume(lost.connection_info)
    before = time.monotonic()
    with pytest.raises(errors.PortalUnreachable, match="refused"):
        local.connect_volume(lost.connection_info)
    with pytest.raises(errors.DeviceAttachFailed):
        virt.attach_volume(spec.uuid, lost)
    assert time.monotonic() - before < 10
    assert virt.attached_volumes(spec.uuid) == NOTHING


def test_a_frozen_tgtd_is_given_up_in_time(tgtd: servers.Tgtd, disks: list[driver.VolumeDisk]) -> None:
    """The kernel takes the connection, nobody answers: the same as a portal that swallows packets."""
    local = qemu_connector.UserspaceConnector("127.0.0.1", "c1", INITIATOR, login_timeout=1.0)
    tgtd.freeze()
    try:
        before = time.monotonic()
        with pytest.raises(errors.PortalUnreachable, match="no answer came within 1 s"):
            local.connect_volume(disks[0].connection_info)
        assert time.monotonic() - before < 2
    finally:
        tgtd.thaw()
    local.connect_volume(disks[0].connection_info)


def test_the_check_of_the_portal_is_cheap(disks: list[driver.VolumeDisk]) -> None:
    """It is part of every attach."""
    local = qemu_connector.UserspaceConnector("127.0.0.1", "c1", INITIATOR)
    times = []
    for _ in range(20):
        before = time.perf_counter()
        local.connect_volume(disks[0].connection_info)
        times.append(time.perf_counter() - before)
    assert sorted(times)[10] < 0.02


def test_a_guest_shuts_down_when_asked(
    virt: LibvirtDriver, spec: driver.ServerSpec, guest: console.Console, state: Path
) -> None:
    before = time.monotonic()
    virt.power_off(spec.uuid, 30)
    assert time.monotonic() - before < 25  # by itself, before the limit
    assert virt.power_state(spec.uuid) is PowerState.SHUTDOWN
    virt.power_on(spec)
    guest.wait_ready(60)
    virt.reboot(spec, hard=False)
    guest.wait_ready(60)
    assert "ready after" in virt.console_output(spec.uuid)


def test_a_disk_image_is_never_written(
    virt: LibvirtDriver, spec: driver.ServerSpec, image: driver.ImageFiles, servers_directory: Path, state: Path
) -> None:
    base = servers_directory / "base.raw"
    base.write_bytes(b"\0" * 8 * MIB)
    with_disk = dataclasses.replace(spec, image=dataclasses.replace(image, disk=str(base), disk_format="raw"))
    virt.spawn(with_disk)
    guest = guest_of(state, spec.uuid)
    guest.wait_ready(60)
    guest.command("sh", "echo kept | dd of=/dev/vda bs=512 conv=sync,fsync", timeout=20)
    virt.reboot(with_disk, hard=True)
    guest.wait_ready(60)
    assert "kept" in guest.command("sh", "head -n 1 /dev/vda", timeout=20)
    assert base.read_bytes() == b"\0" * 8 * MIB
    virt.destroy(spec.uuid)
    assert not list((state / "instances").iterdir())
    assert not [path for path in (state / "consoles").iterdir() if spec.uuid in path.name]


def test_auto_finds_a_way_to_run_guests(settings: Settings, image: driver.ImageFiles, state: Path) -> None:
    virt = LibvirtDriver(dataclasses.replace(settings, virt_type="auto"), INITIATOR)
    spec = new_spec(image, 3)
    before = time.monotonic()
    try:
        virt.init_host()
        assert time.monotonic() - before < 5
        virt.spawn(spec)
        guest_of(state, spec.uuid).wait_ready(60)
        assert virt.list_servers() == {spec.uuid}
    finally:
        virt.destroy(spec.uuid)
        virt.close()


def test_domains_of_others_are_not_ours(virt: LibvirtDriver, libvirtd: servers.Libvirtd, tmp_path: Path) -> None:
    description = tmp_path / "foreign.xml"
    description.write_text(
        "<domain type='qemu'><name>foreign</name><memory unit='MiB'>16</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    libvirtd.virsh("define", str(description))
    try:
        assert virt.list_servers() == frozenset()
    finally:
        libvirtd.virsh("undefine", "foreign")
