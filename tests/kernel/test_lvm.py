"""The LVM driver on a real volume group: the drivers' contract, thick and thin, and every trouble LVM can make."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite import privileged
from cinder_lite.drivers import base, lvm, lvm_devices
from cinder_lite.privileged import blocks
from cinder_lite.privileged import lvm as commands
from lite_common import errors
from tests.kernel import lvm_ground
from tests.unit.cinder_lite.drivers import contract

GROUP = "nlite-test"
POOL = base.Pool("gold", 5.0, 10)
ROOT = Path(__file__).parents[2]

# An emulated machine is ten times slower than a real one, and shares its processors.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def root() -> Iterator[None]:
    """All runs in this process; and where a volume of the contract has a GiB it has 128 MiB here, because what takes
    the time is to zero and to copy. The last test uses whole ones."""
    assert os.geteuid() == 0, "these tests make volume groups: run them as root in a VM"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(privileged.sys_admin, "client_mode", False)
        patch.setattr(base, "GIB", 128 << 20)
        yield


@pytest.fixture(scope="class")
def group() -> Iterator[str]:
    with lvm_ground.volume_group(GROUP) as name:
        yield name


def thick(clear: int | None = None, group: str = GROUP) -> lvm.LvmDriver:
    driver = lvm.LvmDriver(POOL, lvm.Settings(group, lvm.DEFAULT, clear))
    driver.check_for_setup_error()
    return driver


def thin(group: str = GROUP) -> lvm.LvmDriver:
    driver = lvm.LvmDriver(POOL, lvm.Settings(group, lvm.THIN))
    driver.check_for_setup_error()
    return driver


def lvs(group: str = GROUP) -> dict[str, dict[str, str]]:
    fields = "lv_name,lv_size,lv_attr,lv_tags,origin,pool_lv,data_percent"
    out = lvm_ground.run("lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, group)
    return {row["lv_name"]: row for row in json.loads(out)["report"][0]["lv"]}


def vg_numbers(group: str = GROUP) -> tuple[int, int]:
    out = lvm_ground.run("vgs", "--noheadings", "--units", "b", "--nosuffix", "-o", "vg_size,vg_free", group)
    size, free = out.split()
    return int(size), int(free)


def new() -> str:
    return f"volume-{uuid.uuid4()}"


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


def pe_start() -> int:
    out = lvm_ground.run("pvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "pe_start", lvm_ground.DISK)
    return int(out)


def mark_on(disk: str, offset: int) -> bool:
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, offset, 1 << 20, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, len(contract.MARK), offset) == contract.MARK
    finally:
        os.close(descriptor)
