"""The guest image: what is taken out of a kernel package and what is put into the initramfs."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from devstack.guest import build

ELF = b"\x7fELF" + bytes(range(256)) * 40


def bzimage(payload: bytes, setup_sectors: int = 3) -> bytes:
    """Return a file with the boot protocol's header fields and a payload 64 bytes into the kernel proper."""
    head = bytearray((setup_sectors + 1) * 512)
    head[0x1F1] = setup_sectors
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x24C] = (64).to_bytes(4, "little")
    head[0x24C:0x250] = (len(payload) + 4).to_bytes(4, "little")
    return bytes(head) + b"\x90" * 64 + payload + len(ELF).to_bytes(4, "little") + b"behind"


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bytes], ids=["xz", "gzip", "plain"])
def test_kernel_is_unpacked_to_elf(pack) -> None:  # type: ignore[no-untyped-def]  # three different callables
    assert build.unpack_kernel(bzimage(pack(ELF))) == ELF


def test_other_files_are_refused() -> None:
    with pytest.raises(build.BuildError, match="not a bzImage"):
        build.unpack_kernel(b"#!/bin/sh\n" + bytes(2048))
    with pytest.raises(build.BuildError, match="unknown compression"):
        build.unpack_kernel(bzimage(b"garbage!"))
    with pytest.raises(build.BuildError, match="not an ELF"):
        build.unpack_kernel(bzimage(gzip.compress(b"text")))


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Read a newc archive back: name -> mode, content."""
    found = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_at = at + 110
        name = archive[name_at : name_at + fields[11] - 1].decode()
        data_at = (name_at + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], archive[data_at : data_at + fields[6]])
        at = (data_at + fields[6] + 3) // 4 * 4


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return an unpacked kernel package in which virtio itself is built in."""
    modules = tmp_path / "tree" / "lib" / "modules" / "6.1"
    drivers = modules / "kernel" / "drivers"
    drivers.mkdir(parents=True)
    for name in build.MODULES:
        if name != "virtio":
            (drivers / f"{name}.ko.xz").write_bytes(lzma.compress(ELF + name.encode()))
    (modules / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\n", encoding="utf-8")
    return tmp_path / "tree"


def test_initramfs_holds_the_modules_in_loading_order(
    tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"a shell")
    monkeypatch.setattr(build, "BUSYBOX", busybox)
    content = entries(build.initramfs(tree))
    order = content["modules/order"][1].decode().split()
    assert order == [f"{name}.ko" for name in build.MODULES if name != "virtio"]
    assert content["modules/virtio_blk.ko"][1] == ELF + b"virtio_blk"
    assert content["bin/busybox"] == (0o100755, b"a shell")
    assert content["init"][1].startswith(b"#!/bin/busybox sh")
    assert content["dev/console"][0] == 0o020600


def test_a_missing_module_is_named(tree: Path) -> None:
    next(tree.glob("**/button.ko.xz")).unlink()
    with pytest.raises(build.BuildError, match="no module button"):
        build.module_content(tree, "button")


def test_an_image_is_built_once_per_fingerprint(tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tree / "boot").mkdir()
    (tree / "boot" / "vmlinuz-6.1").write_bytes(bzimage(gzip.compress(ELF)))
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"a shell")
    fetched: list[str] = []

    def fetch(package: str, version: str, cache: Path) -> Path:
        fetched.append(version)
        return tree

    versions = ["1", "1", "2"]
    monkeypatch.setattr(build, "BUSYBOX", busybox)
    monkeypatch.setattr(build, "fetch", fetch)
    monkeypatch.setattr(build, "kernel_package", lambda: ("linux-image-6.1", versions.pop(0)))
    images = tmp_path / "images"
    for _ in range(3):
        description = build.build(images, tmp_path / "cache")
    assert fetched == ["1", "2"]
    record = json.loads(description.read_text(encoding="utf-8"))
    assert record["name"] == "tiny"
    assert record["source"] == "linux-image-6.1 2"
    assert (images / record["kernel"]).read_bytes() == ELF
    assert {path.name for path in images.iterdir()} == {"tiny.json", "tiny.vmlinux", "tiny.initrd"}
