"""The LVM driver on a real volume group: the drivers' contract, thick and thin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite.drivers import base, lvm
from cinder_lite.privileged import blocks
from cinder_lite.privileged import lvm as commands
from lite_common import errors
from tests.kernel import lvm_ground, lvm_rig
from tests.kernel.lvm_rig import GROUP, POOL, lvs, mark_on, pe_start, thick, thin, vg_numbers
from tests.unit.cinder_lite.drivers import contract

ROOT = Path(__file__).parents[2]

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
class TestThick(contract.Contract):
    needs_origin = True

    @pytest.fixture(scope="class")
    def driver(self, group: str) -> base.VolumeDriver:
        return thick()

    def test_numbers_are_those_of_lvm(self, kit: contract.Kit) -> None:
        kit.volume(2)
        size, free = vg_numbers()
        usage = kit.driver.measure()
        assert (usage.total, usage.free) == (size / base.GIB, free / base.GIB)
        assert usage.provisioned == pytest.approx(2.0)

    def test_extents_that_held_foreign_data_read_as_zeros(self, kit: contract.Kit) -> None:
        lvm_ground.run("lvcreate", "-y", "-L", f"{base.GIB}b", "-n", "foreign", GROUP)
        with open(f"/dev/{GROUP}/foreign", "r+b") as opened:
            for offset in range(0, base.GIB, 8 << 20):
                opened.seek(offset)
                opened.write(contract.MARK)
            os.fsync(opened.fileno())
        lvm_ground.run("lvremove", "-f", f"{GROUP}/foreign")
        name = kit.volume(1)
        for offset in range(0, base.GIB, 8 << 20):
            kit.expect(name, offset, bytes(len(contract.MARK)))

    def test_a_deleted_volume_is_wiped_on_the_disk(self, kit: contract.Kit) -> None:
        name = kit.volume(1)
        kit.write(name, 1 << 20, contract.MARK)
        extent = lvm_ground.run(
            *["lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "seg_start_pe,seg_pe_ranges"],
            f"{GROUP}/{name}",
        )
        disk, first = extent.split()[1].rsplit("-", 1)[0].rsplit(":", 1)
        start = pe_start() + int(first) * (4 << 20)
        assert mark_on(disk, start + (1 << 20))
        kit.driver.delete_volume(name)
        assert not mark_on(disk, start + (1 << 20))

    def test_a_snapshot_that_saw_every_block_change_is_still_whole(self, kit: contract.Kit) -> None:
        name, snapshot = kit.name(), "_snapshot-of-all"
        commands.create_thick(GROUP, name, 64 << 20)
        blocks.zero(GROUP, name, 0, 64 << 20)
        commands.snapshot(GROUP, snapshot, name, False, f"{commands.SIZE}{64 << 20}")
        with open(kit.driver.local_path(name), "r+b", buffering=0) as opened:
            for _ in range(64):
                opened.write(b"x" * (1 << 20))
            os.fsync(opened.fileno())
        (found,) = commands.volumes(GROUP, snapshot)
        assert found["data_percent"] > 90
        assert not found["broken"]
        with open(f"/dev/{GROUP}/{snapshot}", "rb") as opened:
            for offset in range(0, 64 << 20, 8 << 20):
                opened.seek(offset)
                assert opened.read(512) == bytes(512)
        commands.remove(GROUP, snapshot)

    def test_an_extension_shows_nothing_of_before_to_a_host_that_uses_the_volume(self, kit: contract.Kit) -> None:
        name = kit.volume(1)
        # All that is free holds something, so the extension gets extents that do.
        lvm_ground.run("lvcreate", "-y", "-l", "100%FREE", "-n", "foreign", GROUP)
        with open(f"/dev/{GROUP}/foreign", "r+b") as opened:
            for offset in range(0, 2 * base.GIB, 4 << 20):
                opened.seek(offset)
                opened.write(contract.MARK)
            os.fsync(opened.fileno())
        lvm_ground.run("lvremove", "-f", f"{GROUP}/foreign")
        with open(kit.driver.local_path(name), "rb") as user:
            kit.driver.extend_volume(name, 2)
            for offset in range(base.GIB, 2 * base.GIB, 4 << 20):
                user.seek(offset)
                assert user.read(len(contract.MARK)) == bytes(len(contract.MARK))
        assert [one for one in lvs() if one.startswith("grow-")] == []

    def test_a_full_group_is_named_and_nothing_stays(self, kit: contract.Kit) -> None:
        before = lvs()
        with pytest.raises(errors.BackendError, match=rf"gold.*100 GiB.*{GROUP} has not enough room.*vgextend"):
            kit.driver.create_volume(kit.name(), 100)
        source = kit.volume(1)
        # The snapshot to copy from and the copy do not fit both.
        lvm_ground.run("lvcreate", "-y", "-l", "100%FREE", "-n", "rest", GROUP)
        lvm_ground.run("lvreduce", "-f", "-y", "-L", f"-{base.GIB * 3 // 2}b", f"{GROUP}/rest")
        with pytest.raises(errors.BackendError, match="not enough room"):
            kit.driver.create_cloned_volume(kit.name(), 1, source)
        assert set(lvs()) == {*before, source, "rest"}
        lvm_ground.run("lvremove", "-f", f"{GROUP}/rest")

    def test_a_killed_create_is_made_anew(self, kit: contract.Kit) -> None:
        name = kit.name()
        killed_while_zeroing(name)
        assert lvs()[name]["lv_tags"] == commands.UNFINISHED
        with pytest.raises(errors.BackendError, match=name):
            kit.driver.extend_volume(name, 2)
        kit.driver.create_volume(name, 1)
        assert lvs()[name]["lv_tags"] == ""

    def test_what_a_killed_daemon_left_goes_at_the_next_start(self, kit: contract.Kit) -> None:
        source, name = kit.volume(1), kit.name()
        killed_while_zeroing(name)
        commands.snapshot(GROUP, "clone-snap-1", source, False, commands.TEMPORARY)
        kit.driver.check_for_setup_error()
        assert set(lvs()) == {source}


@pytest.mark.usefixtures("group")
class TestThin(contract.Contract):
    @pytest.fixture(scope="class")
    def driver(self, group: str) -> base.VolumeDriver:
        return thin()

    def test_numbers_are_those_of_lvm(self, kit: contract.Kit) -> None:
        name = kit.volume(40)
        kit.write(name, 0, os.urandom(64 << 20))
        found = lvs()
        pool = found[f"{GROUP}-pool"]
        usage = kit.driver.measure()
        assert usage.total == int(pool["lv_size"]) / base.GIB
        assert usage.provisioned == 40
        assert usage.free == pytest.approx(usage.total * (1 - float(pool["data_percent"]) / 100))
        assert usage.total - usage.free == pytest.approx((64 << 20) / base.GIB, rel=0.1)

    def test_a_snapshot_is_not_active_and_its_volume_is(self, kit: contract.Kit) -> None:
        snapshot = kit.snapshot(kit.volume())
        made = kit.name()
        kit.driver.create_volume_from_snapshot(made, 1, snapshot)
        found = lvs()
        assert found[f"_{snapshot}"]["lv_attr"][4] == "-"
        assert found[made]["lv_attr"][4] == "a"
        assert found[made]["lv_attr"][9] == "-"  # no skip flag: a reboot activates it

    def test_a_volume_that_is_not_active_is_made_so(self, kit: contract.Kit) -> None:
        name = kit.volume()
        lvm_ground.run("lvchange", "-an", f"{GROUP}/{name}")
        assert not os.path.exists(kit.driver.local_path(name))
        assert os.path.exists(kit.driver.ensure_path(name))

    def test_a_pool_that_hands_out_old_blocks_is_refused(self, kit: contract.Kit) -> None:
        lvm_ground.run("lvchange", "--zero", "n", f"{GROUP}/{GROUP}-pool")
        try:
            with pytest.raises(errors.BackendError, match="lvchange --zero y"):
                kit.driver.check_for_setup_error()
        finally:
            lvm_ground.run("lvchange", "--zero", "y", f"{GROUP}/{GROUP}-pool")

    def test_a_half_made_copy_is_made_anew(self, kit: contract.Kit) -> None:
        source, name = kit.volume(), kit.name()
        kit.write(source, 0, contract.MARK)
        commands.snapshot(GROUP, name, source, True, commands.UNFINISHED)
        kit.driver.create_cloned_volume(name, 2, source)
        kit.expect_size(name, 2)
        kit.expect(name, 0, contract.MARK)
        assert lvs()[name]["lv_tags"] == ""


class TestKind:
    """`lvm_type = auto`: thin if the pool exists or the group is empty, else thick."""

    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            ([], True),
            ([["-L", "64m", "-n", "other"]], False),
            ([["-L", "64m", "-n", "other"], ["--type", "thin-pool", "-L", "64m", "-n", f"{GROUP}-pool"]], True),
        ],
    )
    def test_auto(self, group: str, before: list[list[str]], expected: bool) -> None:
        for options in before:
            lvm_ground.run("lvcreate", "-y", *options, group)
        driver = lvm.LvmDriver(POOL, lvm.Settings(group, lvm.AUTO))
        driver.check_for_setup_error()
        assert driver.thin is expected
        assert (f"{group}-pool" in lvs()) is expected
        assert driver.location().endswith(":thin:0" if expected else ":default:0")
        lvm_ground.run("lvremove", "-f", group)


@pytest.mark.usefixtures("group")
def test_a_daemon_that_gave_up_root_reaches_lvm_through_its_privileged_half(tmp_path: Path) -> None:
    """With no new privileges, so that the programs have the context's capabilities and no others."""
    conf = tmp_path / "cinder.conf"
    conf.write_text("[DEFAULT]\nrun_as = nobody\n")
    program = f"""
import ctypes, json, os, sys
from lite_common import service
service.no_eventlet()
from lite_common import config, errors, privilege
from cinder_lite import errors as cinder_errors
from cinder_lite.drivers import base, lvm, lvm_devices
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
conf = config.load("cinder-lite", "test", [], ["--config-file", {str(conf)!r}])
privilege.start(conf, ["cinder_lite.privileged.sys_admin"])
lvm_devices.BUSY_WAIT = 1.0
said = [os.geteuid()]
for kind in ("default", "thin"):
    driver = lvm.LvmDriver(base.Pool("gold"), lvm.Settings("{GROUP}", kind))
    driver.check_for_setup_error()
    driver.create_volume("volume-a", 1)
    driver.create_snapshot("snapshot-a", "volume-a")
    driver.create_volume_from_snapshot("volume-c", 2, "snapshot-a")
    driver.delete_snapshot("snapshot-a")
    driver.delete_volume("volume-a")
    said.append(driver.measure().volumes)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        driver.delete_volume("volume-c")
    except cinder_errors.DeviceIsBusy as err:
        said.append(err.message)
    print("tried", flush=True)
    sys.stdin.readline()
    driver.delete_volume("volume-c")
    said.append(driver.measure().volumes)
print(json.dumps(said))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            read_until(process.stdout, "ready")
            with open(f"/dev/{GROUP}/volume-c", "rb"):
                print(file=process.stdin, flush=True)
                read_until(process.stdout, "tried")
            print(file=process.stdin, flush=True)
        last = process.stdout.read().splitlines()[-1]
    uid, first, busy, none, second, busy_thin, empty = json.loads(last)
    assert uid == 65534
    assert (first, none, second, empty) == (1, 0, 1, 0)
    assert f"(pid {os.getpid()})" in busy
    assert f"(pid {os.getpid()})" in busy_thin


def read_until(stream: Iterator[str], word: str) -> None:
    for line in stream:
        if line.strip() == word:
            return
    raise AssertionError(f"the program ended before it said {word}")


def killed_while_zeroing(name: str) -> None:
    """Run a create in a process of its own and kill it between the command that makes the volume and the tag's end."""
    program = f"""
from cinder_lite import privileged
privileged.sys_admin.set_client_mode(False)
from cinder_lite.drivers import base, lvm
from cinder_lite.privileged import blocks
def stuck(*_):
    print("zeroing", flush=True)
    import time; time.sleep(60)
blocks.zero = stuck
lvm.LvmDriver(base.Pool("gold"), lvm.Settings("{GROUP}", "default")).create_volume("{name}", 1)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        read_until(process.stdout, "zeroing")
        process.send_signal(signal.SIGKILL)
    time.sleep(0.1)
