"""File driver and twin, held to one contract; what only files have is below it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings, stateful
from hypothesis import strategies as st

from cinder_lite.drivers import base, copying, fake, file
from lite_common import errors
from tests.unit.cinder_lite.drivers import contract

NAME = "volume-0b5f2b0e-1111-4a4a-8f5e-6a2f3c4d5e6f"
POOL = base.Pool("gold", 5.0, 10)


@pytest.fixture
def files(tmp_path: Path) -> file.FileDriver:
    made = file.FileDriver(POOL, str(tmp_path / "volumes"))
    made.check_for_setup_error()
    return made


class TestFileContract(contract.Contract):
    @pytest.fixture
    def driver(self, files: file.FileDriver) -> base.VolumeDriver:
        return files


class TestFakeContract(contract.Contract):
    holds_bytes = False

    @pytest.fixture
    def driver(self) -> base.VolumeDriver:
        return fake.FakeDriver(POOL, 50)


class Bytes(stateful.RuleBasedStateMachine):
    """The file driver against a model: per volume and snapshot its size and what stands at five places of it."""

    PLACES = (0, 4095, base.GIB // 2, base.GIB - 1, base.GIB)
    volumes = stateful.Bundle("volumes")
    snapshots = stateful.Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.driver = file.FileDriver(POOL, self.directory.name)
        self.driver.check_for_setup_error()
        self.model: dict[str, tuple[int, dict[int, bytes]]] = {}

    def teardown(self) -> None:
        self.directory.cleanup()

    @stateful.rule(target=volumes, size=st.integers(1, 3))
    def create(self, size: int) -> str:
        name = self._name("volume")
        self.driver.create_volume(name, size)
        self.model[name] = (size, {})
        return name

    @stateful.rule(volume=volumes, place=st.sampled_from(PLACES), byte=st.binary(min_size=1, max_size=1))
    def write(self, volume: str, place: int, byte: bytes) -> None:
        if volume in self.model and place < self.model[volume][0] * base.GIB:
            with open(self.driver.local_path(volume), "r+b") as opened:
                opened.seek(place)
                opened.write(byte)
            self.model[volume][1][place] = byte

    @stateful.rule(volume=volumes, size=st.integers(1, 4))
    def extend(self, volume: str, size: int) -> None:
        if volume in self.model and size >= self.model[volume][0]:
            self.driver.extend_volume(volume, size)
            self.model[volume] = (size, self.model[volume][1])
        else:
            with pytest.raises(errors.BackendError):
                self.driver.extend_volume(volume, size)

    @stateful.rule(target=snapshots, volume=volumes)
    def snapshot(self, volume: str) -> str:
        name = self._name("snapshot")
        self._copy(name, volume, None, lambda: self.driver.create_snapshot(name, volume))
        return name

    @stateful.rule(target=volumes, source=volumes, size=st.integers(1, 4))
    def clone(self, source: str, size: int) -> str:
        name = self._name("volume")
        self._copy(name, source, size, lambda: self.driver.create_cloned_volume(name, size, source))
        return name

    @stateful.rule(target=volumes, source=snapshots, size=st.integers(1, 4))
    def restore(self, source: str, size: int) -> str:
        name = self._name("volume")
        self._copy(name, source, size, lambda: self.driver.create_volume_from_snapshot(name, size, source))
        return name

    @stateful.rule(name=volumes)
    def delete_volume(self, name: str) -> None:
        self.driver.delete_volume(name)
        self.model.pop(name, None)

    @stateful.rule(name=snapshots)
    def delete_snapshot(self, name: str) -> None:
        self.driver.delete_snapshot(name)
        self.model.pop(name, None)

    @stateful.invariant()
    def all_is_as_the_model_says(self) -> None:
        assert set(os.listdir(self.directory.name)) == set(self.model)
        for name, (size, written) in self.model.items():
            with open(self.driver.local_path(name), "rb") as opened:
                assert opened.seek(0, os.SEEK_END) == size * base.GIB
                for place in self.PLACES:
                    opened.seek(place)
                    assert opened.read(1) == (written.get(place, b"\0") if place < size * base.GIB else b"")
        usage = self.driver.measure()
        assert usage.provisioned == sum(size for size, _ in self.model.values())
        assert usage.volumes == sum(name.startswith("volume-") for name in self.model)

    def _name(self, kind: str) -> str:
        return f"{kind}-{uuid.uuid4()}"

    def _copy(self, name: str, source: str, size: int | None, work: Callable[[], None]) -> None:
        held = self.model.get(source)
        if held is None or (size is not None and size < held[0]):
            with pytest.raises(errors.BackendError):
                work()
        else:
            work()
            self.model[name] = (size or held[0], dict(held[1]))


Bytes.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestBytes = Bytes.TestCase


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


def test_a_snapshot_takes_no_space_for_holes(files: file.FileDriver) -> None:
    files.create_volume(NAME, 1)
    with open(files.local_path(NAME), "r+b") as opened:
        opened.seek(512 << 20)
        opened.write(b"x" * 4096)
    files.create_snapshot("snapshot-1", NAME)
    found = os.stat(files.local_path("snapshot-1"))
    assert found.st_size == 1 << 30
    assert found.st_blocks * 512 < 1 << 20
    assert found.st_mode & 0o777 == 0o600


def test_the_file_system_is_asked_for_a_clone_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cloning(target: int, request: int, source: int) -> int:
        asked.append(request)
        os.write(target, b"cloned")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", cloning)
    (tmp_path / "a").write_bytes(b"source")
    with open(tmp_path / "a", "rb") as source, open(tmp_path / "b", "wb") as target:
        copying.copy_file(source.fileno(), target.fileno())
    assert (tmp_path / "b").read_bytes() == b"cloned"
    assert asked == [0x40049409]


def test_a_copy_that_fails_leaves_nothing(files: file.FileDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    files.create_volume(NAME, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copying, "copy_file", full)
    with pytest.raises(errors.BackendError, match=r"volume-2.*No space left.*Make room"):
        files.create_cloned_volume("volume-2", 1, NAME)
    assert os.listdir(files.directory) == [NAME]


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
