"""The image: what decides its name, what goes into it, what is kept of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devstack.vm import accel, environment, image
from devstack.vm.hosts import VmError

LIBRARY = "other() {\n    x\n}\n\nmake_venv() {\n    pip\n}\n\nlast() {\n    y\n}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a tree with every ingredient."""
    root = tmp_path / "checkout"
    for name in image.INGREDIENTS:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    (root / "devstack/lib.sh").write_text(LIBRARY)
    (root / "devstack/packages.txt").write_text("# a comment\ntgt  run\nqemu-utils run vm\nmmdebstrap  vm\n")
    (root / "devstack/vm/image-packages.txt").write_text("# more\nlvm2\n\nudev\n")
    return root


@pytest.mark.parametrize("name", image.INGREDIENTS)
def test_every_ingredient_decides_the_key(checkout: Path, name: str) -> None:
    before = image.key(checkout)
    with (checkout / name).open("a") as file:
        file.write("more\n")
    assert image.key(checkout) != before


def test_other_files_do_not_decide_the_key(checkout: Path) -> None:
    before = image.key(checkout)
    (checkout / "devstack/lib.sh").write_text(LIBRARY.replace("x", "z").replace("y", "z"))
    (checkout / "devstack/stack.sh").write_text("new")
    assert image.key(checkout) == before
    (checkout / "devstack/lib.sh").write_text(LIBRARY.replace("pip", "pip3"))
    assert image.key(checkout) != before


def test_the_ingredients_of_this_checkout_are_there() -> None:
    assert len(image.key()) == 16
    assert {"lvm2", "tgt", "qemu-system-x86"} <= set(image.packages())


def test_the_hosts_own_packages_are_not_in_the_image(checkout: Path) -> None:
    assert image.packages(checkout) == ["lvm2", "qemu-utils", "tgt", "udev"]


def test_the_base_is_the_same_while_the_packages_are(checkout: Path, tmp_path: Path) -> None:
    before = image.base(checkout, tmp_path)
    (checkout / "constraints.txt").write_text("other\n")
    assert image.base(checkout, tmp_path) == before
    (checkout / "devstack/vm/image-packages.txt").write_text("lvm2\n")
    assert image.base(checkout, tmp_path) != before


def test_pruning_keeps_the_last_two_and_nothing_half_made(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "second", "third", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.json").write_text("{}")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / f"{image.BUILDING}x" / "tree").mkdir(parents=True)
    for age, name in enumerate(("base-1.tar", "base-2.tar")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "build.log").touch()
    image.prune(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["base-1.tar", "build.log", "new", "second"]


def test_a_failed_build_leaves_its_log_and_nothing_that_looks_finished(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(image, "check_tools", lambda: None)
    monkeypatch.setattr(image, "commands", lambda *_: [["sh", "-c", "echo no mirror answers; exit 3"]])
    with pytest.raises(VmError, match="no mirror answers"):
        image.ensure(cache, lambda _: None, checkout)
    assert sorted(entry.name for entry in cache.iterdir()) == ["build.log", "lock"]


def test_a_finished_build_is_put_in_place_and_found_again(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(image, "check_tools", lambda: None)
    builds: list[Path] = []

    def commands(_root: Path, _tree: Path, output: Path, _cache: Path) -> list[list[str]]:
        builds.append(output)
        return [["touch", str(output / "root.raw")]]

    monkeypatch.setattr(image, "commands", commands)
    made = image.ensure(cache, lambda _: None, checkout)
    assert made.disk.exists()
    assert image.ensure(cache, lambda _: None, checkout) == made
    assert len(builds) == 1
    assert not list(cache.glob(f"{image.BUILDING}*"))


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image, "TOOLS", ("sh", "no-such-program"))
    with pytest.raises(VmError, match=r"not installed: no-such-program;"):
        image.ensure(tmp_path, lambda _: None)


def test_an_interrupted_build_takes_its_processes_along(checkout: Path, tmp_path: Path) -> None:
    for argv in image.commands(checkout, tmp_path / "tree", tmp_path / "out", tmp_path):
        assert "--kill-child=KILL" in argv or argv[0] == "mmdebstrap"


@pytest.mark.parametrize("variable", ["NLITE_VM_STATE", "NLITE_VM_CACHE"])
def test_places_are_absolute(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "here/x")
    place = environment.state_directory() if variable == "NLITE_VM_STATE" else image.cache_directory()
    assert place == Path.cwd() / "here/x"


def test_kvm_is_believed_only_once_it_has_booted_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLITE_VM_ACCEL", raising=False)
    made = image.Image(tmp_path / "key")
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "kvm")
    probes: list[bool] = []

    def probe(_image: image.Image) -> bool:
        probes.append(True)
        return len(probes) == 2

    monkeypatch.setattr(accel, "kvm_works", probe)
    assert [accel.choose(made, tmp_path) for _ in range(2)] == [accel.TCG] * 2
    (tmp_path / "boot_id").write_text("another boot\n")
    monkeypatch.setattr(accel, "BOOT_ID", tmp_path / "boot_id")
    assert [accel.choose(made, tmp_path) for _ in range(2)] == [accel.KVM] * 2
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "nothing")
    assert accel.choose(made, tmp_path) == accel.TCG
    monkeypatch.setenv("NLITE_VM_ACCEL", "xen")
    with pytest.raises(VmError, match="must be kvm or tcg"):
        accel.choose(made, tmp_path)
