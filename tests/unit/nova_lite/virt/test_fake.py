from __future__ import annotations

import time

import pytest

from nova_lite.virt import driver, errors, fake
from tests.unit.nova_lite.virt import samples
from tests.unit.nova_lite.virt.contract import VirtDriverContract


class TestFakeDriver(VirtDriverContract):
    """The twin keeps the contract."""

    @pytest.fixture
    def virt(self) -> driver.VirtDriver:
        virt = fake.FakeDriver()
        virt.init_host()
        return virt

    @pytest.fixture
    def spec(self) -> driver.ServerSpec:
        return samples.spec()

    @pytest.fixture
    def disks(self) -> list[driver.VolumeDisk]:
        return [samples.disk("/dev/vdb"), samples.disk("/dev/vdc")]


def test_a_fault_is_raised_once_and_changes_nothing() -> None:
    spec, disk = samples.spec(), samples.disk()
    fault = errors.HypervisorUnavailable(uri="fake://", reason="it was told so.")
    virt = fake.FakeDriver(faults={"attach_volume": [fault]})
    virt.spawn(spec)
    with pytest.raises(errors.HypervisorUnavailable, match="told so"):
        virt.attach_volume(spec.uuid, disk)
    assert virt.attached_volumes(spec.uuid).stored == frozenset()
    virt.attach_volume(spec.uuid, disk)
    assert virt.attached_volumes(spec.uuid).live == {disk.volume_id}


def test_a_stubborn_guest_keeps_its_disk() -> None:
    spec, disk = samples.spec(), samples.disk()
    virt = fake.FakeDriver(stubborn={spec.uuid})
    virt.spawn(spec)
    virt.attach_volume(spec.uuid, disk)
    with pytest.raises(errors.DeviceDetachFailed, match="detach again"):
        virt.detach_volume(spec.uuid, disk)
    ids = frozenset([disk.volume_id])
    assert virt.attached_volumes(spec.uuid) == driver.AttachedVolumes(live=ids, stored=ids)
    virt.power_off(spec.uuid, 0)  # without a guest nobody is left to refuse
    virt.detach_volume(spec.uuid, disk)
    assert virt.attached_volumes(spec.uuid).stored == frozenset()


def test_a_device_name_in_use_is_refused() -> None:
    spec = samples.spec(samples.disk("/dev/vdb"))
    virt = fake.FakeDriver()
    virt.spawn(spec)
    with pytest.raises(errors.DeviceAttachFailed, match="/dev/vdb is in use"):
        virt.attach_volume(spec.uuid, samples.disk("/dev/vdb"))


def test_a_delay_is_taken_without_holding_up_other_servers() -> None:
    spec = samples.spec()
    virt = fake.FakeDriver(delays={"spawn": 0.05})
    before = time.monotonic()
    virt.spawn(spec)
    assert time.monotonic() - before >= 0.05


def test_a_disk_does_not_show_its_password() -> None:
    assert samples.PASSWORD not in repr(samples.spec(samples.disk()))
