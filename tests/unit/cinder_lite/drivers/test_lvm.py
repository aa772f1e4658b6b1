"""The LVM driver's reasoning over a played LVM."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite import privileged
from cinder_lite.drivers import base, lvm, lvm_devices
from cinder_lite.privileged import blocks
from cinder_lite.privileged import lvm as commands
from lite_common import errors
from tests.unit.cinder_lite.drivers import contract
from tests.unit.cinder_lite.drivers.lvm_simulator import EXTENT, Lv, Lvm

GIB = base.GIB
POOL = base.Pool("gold", 5.0, 10)
NAME = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lvm]:
    played = Lvm("vg", 100 * GIB)
    privileged.sys_admin.set_client_mode(False)
    commands._config.cache_clear()
    monkeypatch.setattr(commands, "_run", played.run)
    monkeypatch.setattr(commands.os.path, "exists", lambda path: not path.startswith("/sys/module/"))
    for name, work in (("zero", played.zero), ("copy", played.copy), ("size", played.device_size)):
        monkeypatch.setattr(blocks, name, work)
    monkeypatch.setattr(blocks, "users", played.users)
    monkeypatch.setattr(lvm_devices, "BUSY_WAIT", 0.3)
    monkeypatch.setattr(lvm_devices, "_PAUSE", 0.01)
    yield played
    privileged.sys_admin.set_client_mode(True)
    commands._config.cache_clear()


def driver(kind: str = lvm.DEFAULT, clear: int | None = None) -> lvm.LvmDriver:
    made = lvm.LvmDriver(POOL, lvm.Settings("vg", kind, clear))
    made.check_for_setup_error()
    return made


class TestThickContract(contract.Contract):
    holds_bytes = False
    needs_origin = True

    @pytest.fixture
    def driver(self, played: Lvm) -> base.VolumeDriver:
        return driver()


class TestThinContract(contract.Contract):
    holds_bytes = False

    @pytest.fixture
    def driver(self, played: Lvm) -> base.VolumeDriver:
        return driver(lvm.THIN)


def test_a_thick_volume_is_zeroed_before_it_is_one_and_wiped_when_it_goes(played: Lvm) -> None:
    thick = driver()
    thick.create_volume(NAME, 3)
    assert played.zeroed == [(NAME, 0, 3 * GIB)]
    assert played.volumes[NAME].tags == set()
    thick.delete_volume(NAME)
    assert played.zeroed == [(NAME, 0, 3 * GIB)] * 2


@pytest.mark.parametrize(("clear", "wiped"), [(0, []), (1 << 20, [(NAME, 0, 1 << 20)]), (9 << 40, [(NAME, 0, GIB)])])
def test_how_much_is_wiped_is_an_option(played: Lvm, clear: int, wiped: list[tuple[str, int, int]]) -> None:
    thick = driver(clear=clear)
    thick.create_volume(NAME, 1)
    played.zeroed.clear()
    thick.delete_volume(NAME)
    assert played.zeroed == wiped
    assert played.volumes == {}


def test_thin_volumes_are_neither_zeroed_nor_wiped(played: Lvm) -> None:
    thin = driver(lvm.THIN)
    thin.create_volume(NAME, 1)
    thin.create_cloned_volume("volume-2", 2, NAME)
    thin.delete_volume(NAME)
    assert played.zeroed == []
    assert played.copied == []


def test_a_thick_copy_is_copied_and_the_rest_zeroed(played: Lvm) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)
    played.zeroed.clear()
    thick.create_cloned_volume("volume-2", 3, NAME)
    assert played.copied == [("clone-snap-2", "volume-2", 0, GIB)]
    assert played.zeroed == [("volume-2", GIB, 2 * GIB)]
    assert set(played.volumes) == {NAME, "volume-2"}


def test_a_copy_that_fails_takes_everything_back(played: Lvm, monkeypatch: pytest.MonkeyPatch) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)

    def broken(*_: object) -> None:
        raise errors.BackendError("/dev/vg/volume-2 failed: Input/output error.")

    monkeypatch.setattr(blocks, "copy", broken)
    with pytest.raises(errors.BackendError, match="Input/output"):
        thick.create_cloned_volume("volume-2", 1, NAME)
    assert set(played.volumes) == {NAME}


def test_a_copy_that_a_killed_daemon_began_is_made_anew(played: Lvm) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)
    played.volumes["clone-snap-2"] = Lv(GIB, "snapshot", {commands.TEMPORARY}, NAME)
    played.volumes["volume-2"] = Lv(GIB, tags={commands.UNFINISHED})
    thick.create_cloned_volume("volume-2", 1, NAME)
    assert set(played.volumes) == {NAME, "volume-2"}
    assert played.volumes["volume-2"].tags == set()


def test_what_a_killed_daemon_left_goes_at_the_start(played: Lvm) -> None:
    played.volumes |= {
        "volume-1": Lv(GIB),
        "volume-2": Lv(GIB, tags={commands.UNFINISHED}),
        "clone-snap-3": Lv(GIB, "snapshot", {commands.TEMPORARY}, "volume-1"),
        "_snapshot-4": Lv(GIB, "snapshot", {f"{commands.SIZE}{GIB}"}, "volume-1"),
    }
    driver()
    assert set(played.volumes) == {"volume-1", "_snapshot-4"}


def test_an_extension_is_zeroed_before_the_volume_has_it(played: Lvm, monkeypatch: pytest.MonkeyPatch) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)
    played.zeroed.clear()
    grow = f"grow-{NAME.removeprefix('volume-')}"
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise errors.BackendError("Input/output error.")

        patch.setattr(blocks, "zero", broken)
        with pytest.raises(errors.BackendError, match="Input/output"):
            thick.extend_volume(NAME, 3)
    assert {name: lv.size for name, lv in played.volumes.items()} == {NAME: GIB}
    played.volumes[grow] = Lv(GIB, tags={commands.UNFINISHED})  # of a daemon that was killed at it
    thick.extend_volume(NAME, 3)
    assert played.zeroed == [(grow, 0, 2 * GIB)]
    assert {name: lv.size for name, lv in played.volumes.items()} == {NAME: 3 * GIB}


def test_a_volume_with_snapshots_is_extended_while_it_is_not_active(played: Lvm) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)
    thick.create_snapshot("snapshot-1", NAME)
    thick.extend_volume(NAME, 2)
    assert played.volumes[NAME].active
    played.fails["lvextend"] = (5, "Insufficient suitable allocatable extents for logical volume")
    with pytest.raises(errors.BackendError, match="not enough room"):
        thick.extend_volume(NAME, 4)
    assert played.volumes[NAME].active


def test_a_device_that_is_open_for_a_moment_is_waited_for(played: Lvm) -> None:
    thick = driver(clear=0)
    thick.create_volume(NAME, 1)
    played.volumes[NAME].opened = 1

    def closing(*command: str) -> str:
        if command[0] == "udevadm":
            played.volumes[NAME].opened = 0
        return played.run(*command)

    commands._run = closing
    thick.delete_volume(NAME)
    assert played.volumes == {}


def test_a_device_that_stays_open_is_refused_whole_and_its_user_named(played: Lvm) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)
    played.zeroed.clear()
    played.volumes[NAME].opened = 10**6
    with pytest.raises(cinder_errors.DeviceIsBusy, match=r"blkid \(pid 7\)"):
        thick.delete_volume(NAME)
    assert played.zeroed == []
    assert NAME in played.volumes


def test_a_wiped_volume_that_cannot_be_let_go_is_no_volume_to_give_back(
    played: Lvm, monkeypatch: pytest.MonkeyPatch
) -> None:
    thick = driver()
    thick.create_volume(NAME, 1)

    def scanned(*arguments: object) -> None:
        played.volumes[NAME].opened = 10**6

    monkeypatch.setattr(blocks, "zero", scanned)
    with pytest.raises(errors.Unavailable, match="wiped already"):
        thick.delete_volume(NAME)


@pytest.mark.parametrize(
    ("before", "missing", "expected"),
    [
        ({}, set(), True),
        ({}, {"thin-pool"}, False),
        ({"root": Lv(GIB)}, set(), False),
        ({"root": Lv(GIB), "vg-pool": Lv(GIB, "pool")}, set(), True),
    ],
)
def test_auto_is_thin_where_a_pool_or_nothing_is(
    played: Lvm, before: dict[str, Lv], missing: set[str], expected: bool
) -> None:
    played.volumes |= before
    played.missing_targets = missing
    assert driver(lvm.AUTO).thin is expected
    assert ("vg-pool" in played.volumes) is expected


def test_a_name_in_other_hands_is_left_alone(played: Lvm) -> None:
    thick = driver()
    for foreign in (Lv(GIB, "thin", pool="vg-pool"), Lv(GIB, "pool"), Lv(5 * GIB)):
        played.volumes[NAME] = foreign
        with pytest.raises(errors.BackendError, match="Rename or remove"):
            thick.create_volume(NAME, 1)
        assert played.volumes[NAME] is foreign
    played.volumes[NAME] = Lv(GIB, "pool")
    with pytest.raises(errors.BackendError, match="left alone"):
        thick.delete_volume(NAME)


def test_a_group_whose_extents_do_not_divide_a_gib_is_understood(played: Lvm) -> None:
    played.volumes[NAME] = Lv(GIB + EXTENT - 1)
    thick = driver()
    thick.create_volume(NAME, 1)
    thick.extend_volume(NAME, 1)


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        ({"device_mapper": False, "udev": True}, "modprobe dm_mod"),
        ({"device_mapper": True, "udev": False}, "systemd-udevd"),
    ],
)
def test_a_kernel_without_the_parts_is_named_at_the_start(
    played: Lvm, monkeypatch: pytest.MonkeyPatch, kernel: dict[str, bool], text: str
) -> None:
    parts = {"targets": {"thin-pool": True, "snapshot": True}, "thin_check": True}
    monkeypatch.setattr(commands, "kernel", lambda: kernel | parts)
    with pytest.raises(errors.Unavailable, match=text):
        driver()


def test_a_thin_backend_without_its_module_says_which(played: Lvm) -> None:
    played.missing_targets = {"thin-pool"}
    with pytest.raises(errors.Unavailable, match=r"dm_thin_pool.*thin-provisioning-tools"):
        driver(lvm.THIN)


def test_a_thick_backend_without_snapshots_says_so(played: Lvm, caplog: pytest.LogCaptureFixture) -> None:
    played.missing_targets = {"snapshot"}
    with caplog.at_level(logging.WARNING):
        driver()
    assert "dm_snapshot" in caplog.text


def test_a_pool_that_hands_out_old_blocks_is_refused(played: Lvm) -> None:
    driver(lvm.THIN)
    played.pool_zeroing = False
    with pytest.raises(errors.BackendError, match="--zero y vg/vg-pool"):
        driver(lvm.THIN)


def test_a_missing_disk_is_told(played: Lvm, monkeypatch: pytest.MonkeyPatch) -> None:
    group = {"size": GIB, "free": 0, "extent": EXTENT, "missing": 1, "volumes": 0}
    monkeypatch.setattr(commands, "group", lambda vg: group)
    with pytest.raises(errors.Unavailable, match="1 disks of volume group vg are missing"):
        driver()


def test_a_pool_counts_what_is_left_and_nothing_when_its_metadata_are_full(played: Lvm) -> None:
    thin = driver(lvm.THIN)
    thin.create_volume(NAME, 40)
    played.pool_data = 25.0
    usage = thin.measure()
    assert usage.total == pytest.approx(95)
    assert usage.free == pytest.approx(95 * 0.75)
    assert (usage.provisioned, usage.volumes) == (40, 1)
    played.pool_metadata = 97.0
    assert thin.measure().free == 0
    played.volumes.pop("vg-pool")
    with pytest.raises(errors.Unavailable, match="lost its thin pool"):
        thin.measure()


def test_only_extents_are_taken_for_extents(played: Lvm, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*command: str) -> str:
        return "--config x" if "seg_pe_ranges" in command else played.run(*command)

    played.volumes |= {"volume-1": Lv(GIB), "grow-1": Lv(GIB)}
    monkeypatch.setattr(commands, "_run", odd)
    with pytest.raises(commands.CommandFailed, match="no extents"):
        commands.extend_onto("vg", "volume-1", 2 * GIB, "grow-1")
    assert "grow-1" in played.volumes
