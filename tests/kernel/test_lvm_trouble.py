"""The LVM driver on a real volume group: every trouble that LVM, the kernel and other programs can make."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.drivers import base, lvm_devices
from cinder_lite.privileged import blocks
from cinder_lite.privileged import lvm as commands
from lite_common import errors
from tests.kernel import lvm_ground, lvm_rig
from tests.kernel.lvm_rig import GROUP, lvs, new, thick, thin
from tests.unit.cinder_lite.drivers import contract

# An emulated machine is ten times slower than a real one, and shares its processors.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def ground() -> Iterator[None]:
    with lvm_rig.ground():
        yield


@pytest.fixture(scope="class")
def group() -> Iterator[str]:
    with lvm_ground.volume_group(GROUP) as name:
        yield name


@pytest.mark.usefixtures("group")
class TestTrouble:
    @pytest.fixture
    def kit(self) -> Iterator[contract.Kit]:
        kit = contract.Kit(thick(0), True)
        yield kit
        kit.clean()

    def test_a_device_that_stays_open_is_refused_and_its_user_named(
        self, kit: contract.Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lvm_devices, "BUSY_WAIT", 2.0)
        name = kit.volume()
        with open(kit.driver.local_path(name), "rb"):
            with pytest.raises(cinder_errors.DeviceIsBusy, match=rf"{name}.*\(pid {os.getpid()}\)"):
                kit.driver.delete_volume(name)
            assert name in lvs()
        kit.driver.delete_volume(name)
        assert name not in lvs()

    def test_a_device_that_the_kernel_uses_is_neither_wiped_nor_removed(
        self, kit: contract.Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lvm_devices, "BUSY_WAIT", 2.0)
        name = kit.volume()
        lvm_ground.run("dmsetup", "create", "nlite-on-top", "--table", f"0 2048 linear {kit.driver.local_path(name)} 0")
        try:
            with pytest.raises(cinder_errors.DeviceIsBusy, match="device dm-"):
                kit.driver.delete_volume(name)
            with pytest.raises(cinder_errors.DeviceIsBusy, match=f"{name} is in use"):
                blocks.zero(GROUP, name, 0, 1 << 20)
        finally:
            lvm_ground.run("dmsetup", "remove", "--retry", "nlite-on-top")

    def test_a_device_that_is_open_for_a_moment_is_waited_for(self, kit: contract.Kit) -> None:
        name = kit.volume()
        path = kit.driver.local_path(name)
        with subprocess.Popen(["sh", "-c", f"exec 7<{path}; echo open; sleep 3"], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            kit.driver.delete_volume(name)
        assert name not in lvs()

    def test_a_name_that_something_foreign_has_is_left_alone(self, kit: contract.Kit) -> None:
        name = new()
        lvm_ground.run("lvcreate", "-y", "-L", "64m", "-n", name, GROUP)
        with pytest.raises(errors.BackendError, match=rf"{GROUP}/{name} exists.*67108864 bytes.*Rename or remove"):
            kit.driver.create_volume(name, 1)
        assert lvs()[name]["lv_size"] == str(64 << 20)
        lvm_ground.run("lvremove", "-f", f"{GROUP}/{name}")

    def test_a_group_that_is_missing_is_named(self) -> None:
        with pytest.raises(errors.Unavailable, match=r"no volume group nlite-none.*vgcreate nlite-none"):
            thick(group="nlite-none")

    def test_a_group_that_went_away_makes_deletion_wait_rather_than_fail(self, kit: contract.Kit) -> None:
        name = kit.volume()
        lvm_ground.run("vgchange", "-an", GROUP)
        lvm_ground.run("vgrename", GROUP, "nlite-elsewhere")
        try:
            with pytest.raises(errors.Unavailable, match=GROUP):
                kit.driver.delete_volume(name)
        finally:
            lvm_ground.run("vgrename", "nlite-elsewhere", GROUP)
            lvm_ground.run("vgchange", "-ay", GROUP)

    def test_a_command_that_waits_for_a_lock_is_given_up(
        self, kit: contract.Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commands, "COMMAND_TIMEOUT", 3.0)
        name = kit.name()
        with subprocess.Popen(
            ["flock", f"/run/lock/lvm/V_{GROUP}", "sh", "-c", "echo held; sleep 60"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            try:
                with pytest.raises(errors.Timeout, match="stopped after 3 s"):
                    kit.driver.create_volume(name, 1)
            finally:
                os.killpg(holder.pid, signal.SIGKILL)
        monkeypatch.undo()
        assert name not in lvs()

    def test_a_group_that_a_guest_made_inside_a_volume_is_not_looked_at(self, kit: contract.Kit) -> None:
        name = kit.volume()
        path = kit.driver.local_path(name)
        everything = 'devices { scan_lvs = 1 global_filter = [ "a|.*|" ] }'
        lvm_ground.run("pvcreate", "-y", "--config", everything, path)
        lvm_ground.run("vgcreate", "-y", "--config", everything, "nlite-guest", path)
        subprocess.run(["vgchange", "-an", "nlite-guest", "--config", everything], check=False, capture_output=True)
        with pytest.raises(commands.CommandFailed, match="nlite-guest"):
            commands.group("nlite-guest")
        kit.driver.measure()
        kit.driver.delete_volume(name)
        assert name not in lvs()

    def test_a_kernel_module_that_is_missing_is_named_at_the_start(self) -> None:
        rule = Path("/run/modprobe.d/nlite-test.conf")
        rule.parent.mkdir(exist_ok=True)
        rule.write_text("install dm_thin_pool /bin/false\n")
        try:
            lvm_ground.run("modprobe", "-r", "dm_thin_pool")
            with pytest.raises(errors.Unavailable, match=r"dm_thin_pool.*lvm_type = default"):
                thin()
            assert thick(0).measure().volumes == 0
        finally:
            rule.unlink()
        assert commands.kernel()["targets"]["thin-pool"]

    def test_the_kernel_parts_are_found(self) -> None:
        found = commands.kernel()
        assert found["device_mapper"]
        assert found["udev"]
        assert all(found["targets"].values())
        assert not commands._has_target("nlite-nonsense")

    def test_only_our_volumes_can_be_touched(self) -> None:
        for work in (
            lambda: commands.remove("debian", "root"),
            lambda: commands.remove(GROUP, "../sda"),
            lambda: commands.extend(GROUP, f"{GROUP}-pool", base.GIB),
            lambda: commands.create_thick("a b", new(), base.GIB),
            lambda: blocks.zero("..", "volume-1", 0, 512),
            lambda: blocks.zero(GROUP, "root", 0, 512),
            lambda: commands.tag(GROUP, "volume-1", "@backup", True),
        ):
            with pytest.raises(commands.CommandFailed, match=r"cannot be the name|none of the tags"):
                work()
