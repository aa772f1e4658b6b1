"""File driver and twin, held to one contract; what only files have is below it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from cinder_lite.drivers import base, fake, file
from lite_common import errors

NAME = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
POOL = base.Pool("gold", 5.0, 10)


@pytest.fixture
def files(tmp_path: Path) -> file.FileDriver:
    made = file.FileDriver(POOL, str(tmp_path / "volumes"))
    made.check_for_setup_error()
    return made


@pytest.fixture(params=["file", "fake"])
def driver(request: pytest.FixtureRequest, files: file.FileDriver) -> base.VolumeDriver:
    return files if request.param == "file" else fake.FakeDriver(POOL, 50)


def test_creating_and_deleting_may_be_repeated(driver: base.VolumeDriver) -> None:
    for _ in range(2):
        driver.create_volume(NAME, 2)
    assert (driver.measure().volumes, driver.measure().provisioned) == (1, 2.0)
    for _ in range(2):
        driver.delete_volume(NAME)
    assert driver.measure().volumes == 0


def test_another_size_under_the_same_name_is_refused(driver: base.VolumeDriver) -> None:
    driver.create_volume(NAME, 2)
    with pytest.raises(errors.BackendError, match=NAME):
        driver.create_volume(NAME, 3)
    assert driver.measure().provisioned == 2.0


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", ".hidden", "", "a b", "a\nb"])
def test_a_name_cannot_lead_out_of_the_backend(driver: base.VolumeDriver, name: str) -> None:
    for work in (driver.local_path, driver.delete_volume, lambda name: driver.create_volume(name, 1)):
        with pytest.raises(errors.BackendError):
            work(name)


def test_stats_have_the_scheduler_fields(driver: base.VolumeDriver) -> None:
    driver.create_volume(NAME, 2)
    stats = driver.get_stats()
    assert stats["volume_backend_name"] == "gold"
    assert stats["storage_protocol"] == "iSCSI"
    (pool,) = stats["pools"]
    assert pool["pool_name"] == "gold"
    assert pool["provisioned_capacity_gb"] == 2
    assert (pool["max_over_subscription_ratio"], pool["reserved_percentage"]) == (5.0, 10)
    assert pool["thin_provisioning_support"] is True
    assert 0 < pool["free_capacity_gb"] <= pool["total_capacity_gb"]


def test_a_file_is_sparse_private_and_zero(files: file.FileDriver) -> None:
    files.create_volume(NAME, 1)
    found = os.stat(files.local_path(NAME))
    assert found.st_size == 1 << 30
    assert found.st_blocks == 0
    assert found.st_mode & 0o777 == 0o600
    assert os.stat(files.directory).st_mode & 0o777 == 0o700
    with open(files.local_path(NAME), "rb") as opened:
        assert opened.read(4096) == bytes(4096)


def test_what_a_killed_create_left_is_no_volume_and_goes_at_the_next_start(files: file.FileDriver) -> None:
    left = Path(files.directory) / ".new-abc"
    left.write_bytes(b"x")
    assert files.measure().volumes == 0
    files.check_for_setup_error()
    assert not left.exists()


def test_a_size_that_the_kernel_refuses_leaves_nothing(files: file.FileDriver) -> None:
    # What a file system takes differs (a tmpfs takes any size), a limit of the process is the same everywhere.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(errors.LiteError, match=NAME):
            files.create_volume(NAME, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(files.directory) == []


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(errors.BackendError, match="plain"):
        file.FileDriver(POOL, str(tmp_path / "plain" / "volumes")).check_for_setup_error()


def test_a_directory_that_went_away_is_named(files: file.FileDriver) -> None:
    os.rmdir(files.directory)
    with pytest.raises(errors.BackendError, match="mounted"):
        files.create_volume(NAME, 1)
    with pytest.raises(errors.BackendError, match="mounted"):
        files.measure()
