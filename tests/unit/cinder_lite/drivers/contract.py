"""What every storage driver must do, whatever it keeps its bytes in. A test module subclasses `Contract` and gives
it a `driver`; the same cases run against files, the twin, and (inside a VM) real logical volumes."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.drivers import base
from lite_common import errors

MARK = b"nova-lite" * 100


class Kit:
    """A driver and the names that one test uses; they are gone when the test ends."""

    def __init__(self, driver: base.VolumeDriver, holds_bytes: bool) -> None:
        self.driver = driver
        self.holds_bytes = holds_bytes
        self._volumes: list[str] = []
        self._snapshots: list[str] = []

    def name(self) -> str:
        self._volumes.append(f"volume-{uuid.uuid4()}")
        return self._volumes[-1]

    def volume(self, size_gb: int = 1) -> str:
        name = self.name()
        self.driver.create_volume(name, size_gb)
        return name

    def snapshot(self, volume: str) -> str:
        self._snapshots.append(f"snapshot-{uuid.uuid4()}")
        self.driver.create_snapshot(self._snapshots[-1], volume)
        return self._snapshots[-1]

    def write(self, name: str, offset: int, data: bytes) -> None:
        if self.holds_bytes:
            with open(self.driver.ensure_path(name), "r+b") as opened:
                opened.seek(offset)
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())

    def expect(self, name: str, offset: int, data: bytes) -> None:
        if self.holds_bytes:
            with open(self.driver.ensure_path(name), "rb") as opened:
                opened.seek(offset)
                assert opened.read(len(data)) == data

    def expect_size(self, name: str, size_gb: int) -> None:
        if self.holds_bytes:
            with open(self.driver.ensure_path(name), "rb") as opened:
                assert opened.seek(0, os.SEEK_END) == size_gb * base.GIB

    def provisioned(self) -> int:
        return round(self.driver.measure().provisioned)

    def clean(self) -> None:
        # Snapshots may depend on volumes, and volumes made from them on nothing.
        for snapshot in self._snapshots:
            with contextlib.suppress(errors.NotFound):
                self.driver.delete_snapshot(snapshot)
        for volume in self._volumes:
            self.driver.delete_volume(volume)


class Contract:
    """The cases. `holds_bytes` is False for the twin; `needs_origin` is True where snapshots live off their volume."""

    holds_bytes = True
    needs_origin = False

    @pytest.fixture
    def driver(self) -> base.VolumeDriver:
        raise NotImplementedError

    @pytest.fixture
    def kit(self, driver: base.VolumeDriver) -> Iterator[Kit]:
        kit = Kit(driver, self.holds_bytes)
        yield kit
        kit.clean()

    def test_sizes_are_told_of_what_is_there(self, kit: Kit) -> None:
        one, missing = kit.volume(2), kit.name()
        assert kit.driver.sizes([one, missing]) == {one: 2 * base.GIB}
        assert kit.driver.sizes([]) == {}

    def test_creating_and_deleting_may_be_repeated(self, kit: Kit) -> None:
        before, promised = kit.driver.measure(), kit.provisioned()
        name = kit.name()
        for _ in range(2):
            kit.driver.create_volume(name, 2)
            kit.expect_size(name, 2)
        assert kit.driver.measure().volumes == before.volumes + 1
        assert kit.provisioned() == promised + 2
        for _ in range(2):
            kit.driver.delete_volume(name)
        assert kit.driver.measure().volumes == before.volumes
        assert kit.provisioned() == promised

    def test_a_new_volume_reads_as_zeros_where_another_was(self, kit: Kit) -> None:
        old = kit.volume()
        for offset in (0, base.GIB // 2, base.GIB - len(MARK)):
            kit.write(old, offset, MARK)
        kit.driver.delete_volume(old)
        new = kit.volume()
        for offset in (0, base.GIB // 2, base.GIB - len(MARK)):
            kit.expect(new, offset, bytes(len(MARK)))

    def test_another_size_under_the_same_name_is_refused(self, kit: Kit) -> None:
        name = kit.volume()
        promised = kit.provisioned()
        with pytest.raises(errors.BackendError, match=name):
            kit.driver.create_volume(name, 2)
        assert kit.provisioned() == promised

    def test_a_name_cannot_lead_out_of_the_backend(self, driver: base.VolumeDriver) -> None:
        works = (
            driver.local_path,
            driver.delete_volume,
            driver.delete_snapshot,
            lambda name: driver.create_volume(name, 1),
            lambda name: driver.extend_volume(name, 1),
            lambda name: driver.create_snapshot(name, name),
            lambda name: driver.create_volume_from_snapshot(name, 1, name),
            lambda name: driver.create_cloned_volume(name, 1, name),
        )
        for name in ("../etc/passwd", "/etc/passwd", ".hidden", "", "a b", "a\nb", "-a", "a" * 300):
            for work in works:
                with pytest.raises(errors.BackendError):
                    work(name)

    def test_extending_keeps_the_bytes_and_adds_zeros(self, kit: Kit) -> None:
        name = kit.volume()
        kit.write(name, base.GIB - len(MARK), MARK)
        promised = kit.provisioned()
        for _ in range(2):
            kit.driver.extend_volume(name, 2)
            kit.expect_size(name, 2)
        assert kit.provisioned() == promised + 1
        kit.expect(name, base.GIB - len(MARK), MARK + bytes(len(MARK)))
        kit.expect(name, 2 * base.GIB - len(MARK), bytes(len(MARK)))

    def test_a_volume_is_never_made_smaller(self, kit: Kit) -> None:
        name = kit.volume(2)
        with pytest.raises(errors.BackendError, match="2 GiB"):
            kit.driver.extend_volume(name, 1)
        kit.expect_size(name, 2)

    def test_a_snapshot_keeps_what_the_volume_held(self, kit: Kit) -> None:
        name = kit.volume()
        kit.write(name, 0, MARK)
        snapshot = kit.snapshot(name)
        kit.write(name, 0, bytes(len(MARK)))
        kit.write(name, base.GIB // 2, MARK)
        kit.driver.create_snapshot(snapshot, name)  # once more changes nothing
        same, larger = kit.name(), kit.name()
        for _ in range(2):
            kit.driver.create_volume_from_snapshot(same, 1, snapshot)
            kit.driver.create_volume_from_snapshot(larger, 2, snapshot)
        kit.expect_size(same, 1)
        kit.expect_size(larger, 2)
        for made in (same, larger):
            kit.expect(made, 0, MARK)
            kit.expect(made, base.GIB // 2, bytes(len(MARK)))
        kit.expect(larger, 2 * base.GIB - len(MARK), bytes(len(MARK)))
        for _ in range(2):
            kit.driver.delete_snapshot(snapshot)
        kit.expect(same, 0, MARK)
        kit.expect(name, base.GIB // 2, MARK)

    def test_a_volume_outlives_the_snapshot_that_it_came_from_and_its_source(self, kit: Kit) -> None:
        source = kit.volume()
        kit.write(source, base.GIB // 2, MARK)
        clone = kit.name()
        for _ in range(2):
            kit.driver.create_cloned_volume(clone, 2, source)
        kit.write(source, base.GIB // 2, bytes(len(MARK)))
        kit.driver.delete_volume(source)
        kit.expect_size(clone, 2)
        kit.expect(clone, 0, bytes(len(MARK)))
        kit.expect(clone, base.GIB // 2, MARK)
        kit.expect(clone, 2 * base.GIB - len(MARK), bytes(len(MARK)))

    def test_a_copy_smaller_than_its_source_is_refused_and_leaves_nothing(self, kit: Kit) -> None:
        source = kit.volume(2)
        snapshot = kit.snapshot(source)
        before = kit.driver.measure()
        for work, origin in (
            (kit.driver.create_volume_from_snapshot, snapshot),
            (kit.driver.create_cloned_volume, source),
        ):
            with pytest.raises(errors.BackendError, match="2 GiB"):
                work(kit.name(), 1, origin)
        after = kit.driver.measure()
        assert (after.volumes, after.provisioned) == (before.volumes, before.provisioned)

    def test_a_snapshot_of_a_volume_that_grew_keeps_its_own_size(self, kit: Kit) -> None:
        name = kit.volume()
        kit.write(name, 0, MARK)
        snapshot = kit.snapshot(name)
        kit.driver.extend_volume(name, 2)
        made = kit.name()
        kit.driver.create_volume_from_snapshot(made, 1, snapshot)
        kit.expect_size(made, 1)
        kit.expect(made, 0, MARK)

    def test_a_volume_with_a_snapshot_is_kept_or_not_missed(self, kit: Kit) -> None:
        name = kit.volume()
        kit.write(name, 0, MARK)
        snapshot = kit.snapshot(name)
        if self.needs_origin:
            with pytest.raises(cinder_errors.VolumeIsBusy, match=snapshot):
                kit.driver.delete_volume(name)
            kit.expect(name, 0, MARK)
            return
        kit.driver.delete_volume(name)
        made = kit.name()
        kit.driver.create_volume_from_snapshot(made, 1, snapshot)
        kit.expect(made, 0, MARK)

    def test_what_is_not_there_is_named(self, kit: Kit) -> None:
        absent, snapshot = kit.name(), f"snapshot-{uuid.uuid4()}"
        for work in (
            lambda: kit.driver.extend_volume(absent, 1),
            lambda: kit.driver.create_snapshot(snapshot, absent),
            lambda: kit.driver.create_cloned_volume(kit.name(), 1, absent),
        ):
            with pytest.raises(errors.BackendError, match=absent):
                work()
        with pytest.raises(errors.BackendError, match=snapshot):
            kit.driver.create_volume_from_snapshot(kit.name(), 1, snapshot)

    def test_stats_have_the_scheduler_fields(self, kit: Kit) -> None:
        promised = kit.provisioned()
        kit.volume(2)
        stats = kit.driver.get_stats()
        assert stats["volume_backend_name"] == kit.driver.pool.name
        assert stats["storage_protocol"] == "iSCSI"
        (pool,) = stats["pools"]
        assert pool["pool_name"] == kit.driver.pool.name
        assert pool["provisioned_capacity_gb"] == pytest.approx(promised + 2, abs=0.1)
        assert pool["max_over_subscription_ratio"] == kit.driver.pool.max_over_subscription_ratio
        assert pool["reserved_percentage"] == kit.driver.pool.reserved_percentage
        assert pool["thin_provisioning_support"] is kit.driver.thin
        assert pool["thick_provisioning_support"] is not kit.driver.thin
        assert 0 < pool["free_capacity_gb"] <= pool["total_capacity_gb"]
        assert kit.driver.location() == pool["location_info"]
