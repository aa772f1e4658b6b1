"""Build the tiny guest image: Debian's (or Ubuntu's) kernel and busybox, nothing else.

    python3 -m devstack.guest.build IMAGES_DIRECTORY [--cache DIRECTORY]

writes `tiny.vmlinux` (the kernel unpacked to ELF, which boots in half the time of a bzImage under emulation),
`tiny.initrd` (2 MB: busybox, virtio modules, init.sh) and, last, `tiny.json`, which makes the image known to
nova-api.  The kernel package is downloaded and unpacked, never installed.  Nothing is done again while kernel,
busybox and this directory's sources are unchanged; an interrupted build leaves no half file under a final name.

Standard library only: the stack runs it with the system's Python.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "tiny"
# What nobody here needs is left out: trying out every cipher and rewriting the kernel's code for the one processor that
# it has, a quarter of an emulated boot; trying out the timer, which on a busy host seems broken; and what prepares
# tracing, certificates, and statistics of the allocator, a twentieth.
NOT_INITIALIZED = ("init_kprobe_trace", "crypto_kdf108_init", "load_system_certificate_list", "slab_sysfs_init")
CMDLINE = (
    "console=ttyS0 quiet panic=1 cryptomgr.notests noreplace-smp no_timer_check "
    f"initcall_blacklist={','.join(NOT_INITIALIZED)}"
)
# virtio_ring must come before virtio, whose dependency on it is not written down.
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"),
    *("evdev", "button"),
)
# The smallest first: Debian's kernel for clouds, Debian's, Ubuntu's for virtual machines.
KERNEL_PACKAGES = ("linux-image-cloud-amd64", "linux-image-amd64", "linux-image-virtual")
BUSYBOX = Path("/bin/busybox")
DOWNLOAD_SECONDS = 600
COMMAND_SECONDS = 120


class BuildError(Exception):
    """The image cannot be built; the message says what is missing."""


def run(
    argv: Sequence[str], *, cwd: Path | None = None, data: bytes | None = None, limit: float = COMMAND_SECONDS
) -> bytes:
    """Run a command with a limit in seconds and return its output; raise BuildError when it fails."""
    try:
        done = subprocess.run(argv, cwd=cwd, input=data or b"", capture_output=True, timeout=limit, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{argv[0]} is not installed: install the packages of devstack/packages.txt") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{' '.join(argv)} did not end within {limit:g} s") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.decode()[-500:].strip()}")
    return done.stdout


def kernel_package() -> tuple[str, str]:
    """Return name and version of the newest kernel package that apt knows."""
    for meta in KERNEL_PACKAGES:
        listing = run(["apt-cache", "depends", "--important", meta]).decode() if _known(meta) else ""
        match = re.search(r"Depends: (linux-image-\d\S*)", listing)
        if match:
            fields = run(["apt-cache", "show", "--no-all-versions", match[1]]).decode()
            version = re.search(r"^Version: (\S+)", fields, re.MULTILINE)
            if version:
                return match[1], version[1]
    raise BuildError(f"apt knows none of {', '.join(KERNEL_PACKAGES)}: run apt-get update")


def _known(package: str) -> bool:
    return bool(run(["apt-cache", "pkgnames", package]).decode().split())


def fetch(package: str, version: str, cache: Path) -> Path:
    """Return a directory with the unpacked kernel package (and Ubuntu's separate modules package)."""
    tree = cache / f"{package}_{version.replace(':', '%3a')}"
    if tree.is_dir():
        return tree
    cache.mkdir(parents=True, exist_ok=True)
    if _installed(package) == version:
        return _copy_installed(package, tree)
    wanted = [f"{package}={version}"]
    modules = package.replace("linux-image-", "linux-modules-")
    if _known(modules):
        wanted.append(modules)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as name:
        work = Path(name)
        sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        run(["apt-get", *sandbox, "-q", "download", *wanted], cwd=work, limit=DOWNLOAD_SECONDS)
        for archive in work.glob("*.deb"):
            run(["dpkg-deb", "-x", archive.name, "tree"], cwd=work)
        (work / "tree").rename(tree)
    return tree


def _installed(package: str) -> str:
    """Return the version of a package that is installed on this machine, or nothing."""
    try:
        status, _, version = (
            run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]).decode().partition(" ")
        )
    except BuildError:
        return ""  # dpkg-query fails for a package that it does not know
    return version if status == "installed" else ""


def _copy_installed(package: str, tree: Path) -> Path:
    """Take what the image needs of an installed kernel from where it is: nothing has to be downloaded."""
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix="fetch-") as name:
        work = Path(name) / "tree"
        for line in run(["dpkg-query", "-L", package]).decode().splitlines():
            source = Path(line)
            wanted = source.name.split(".ko")[0] in MODULES or source.name == "modules.builtin"
            if (wanted or source.name.startswith("vmlinuz-")) and source.is_file():
                (work / line.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, work / line.lstrip("/"))
        work.rename(tree)
    return tree


def unpack_kernel(bzimage: bytes) -> bytes:
    """Return the ELF kernel inside a bzImage (layout: the kernel's Documentation/arch/x86/boot.rst)."""
    if bzimage[0x1FE:0x200] != b"\x55\xaa" or bzimage[0x202:0x206] != b"HdrS":
        raise BuildError("the kernel file is not a bzImage")
    sectors = bzimage[0x1F1] or 4
    offset = int.from_bytes(bzimage[0x248:0x24C], "little")
    length = int.from_bytes(bzimage[0x24C:0x250], "little")
    begin = (sectors + 1) * 512 + offset
    payload = bzimage[begin : begin + length]
    elf = decompress(payload[:-4])  # the last four bytes repeat the unpacked size
    if not elf.startswith(b"\x7fELF"):
        raise BuildError("the kernel's payload is not an ELF file")
    return elf


def decompress(data: bytes) -> bytes:
    """Return the content of a kernel payload or module, whatever it was packed with."""
    if data.startswith(b"\x7fELF"):
        return data
    if data.startswith(b"\xfd7zXZ\x00"):
        return lzma.decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return run(["zstd", "-q", "-d", "-c"], data=data)
    if data.startswith(b"\x02\x21\x4c\x18"):
        return run(["lz4", "-q", "-d", "-c"], data=data)
    raise BuildError(f"unknown compression, first bytes {data[:6].hex()}")


class Archive:
    """A cpio archive in the "newc" format, the one that the kernel unpacks at boot."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0

    def add(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """Append a file, directory or device node; `mode` holds the type bits as well."""
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        header = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + encoded
        for part in (header, content):
            self._parts.append(part + b"\0" * (-len(part) % 4))

    def finish(self) -> bytes:
        """Return the finished archive; the kernel also takes several of them one after the other."""
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def initramfs(tree: Path) -> bytes:
    """Return the guest's initramfs for the kernel unpacked under `tree`, as it is: an emulated guest unpacks slowly."""
    archive = Archive()
    for directory in ("bin", "dev", "modules"):
        archive.add(directory, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, BUSYBOX.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, (HERE / "init.sh").read_bytes())
    order = []
    for module in MODULES:
        content = module_content(tree, module)
        if content is not None:
            archive.add(f"modules/{module}.ko", stat.S_IFREG | 0o644, content)
            order.append(f"{module}.ko")
    archive.add("modules/order", stat.S_IFREG | 0o644, "\n".join(order).encode() + b"\n")
    return archive.finish()


def module_content(tree: Path, module: str) -> bytes | None:
    """Return a module ready to load, or None for one that is part of the kernel; raise BuildError if unknown."""
    for found in sorted(tree.glob(f"**/kernel/**/{module}.ko*")):
        return decompress(found.read_bytes())
    for listing in tree.glob("**/modules.builtin"):
        if f"/{module}.ko\n" in listing.read_text():
            return None
    raise BuildError(f"the kernel package has no module {module}")


def write(path: Path, content: bytes) -> None:
    """Put a file in place in one step."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.chmod(0o644)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def fingerprint(package: str, version: str) -> str:
    """Return a text that changes with anything the image is made of."""
    digest = hashlib.sha256(f"{package} {version} {CMDLINE}".encode())
    for path in (BUSYBOX, HERE / "init.sh", HERE / "build.py"):
        if not path.exists():
            raise BuildError(f"{path} is missing: install the packages of devstack/packages.txt")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(images: Path, cache: Path) -> Path:
    """Make the image if it is not there or no longer current; return the path of its JSON file."""
    package, version = kernel_package()
    mark = fingerprint(package, version)
    description = images / f"{NAME}.json"
    blobs = {"kernel": images / f"{NAME}.vmlinux", "ramdisk": images / f"{NAME}.initrd"}
    complete = description.exists() and all(path.exists() for path in blobs.values())
    if complete and json.loads(description.read_text()).get("build") == mark:
        return description
    images.mkdir(parents=True, exist_ok=True)
    tree = fetch(package, version, cache)
    kernels = sorted(tree.glob("boot/vmlinuz-*"))
    if not kernels:
        raise BuildError(f"{package} holds no boot/vmlinuz-*")
    description.unlink(missing_ok=True)
    write(blobs["kernel"], unpack_kernel(kernels[0].read_bytes()))
    write(blobs["ramdisk"], initramfs(tree))
    record = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:nova-lite:image:{NAME}")),
        "name": NAME,
        "kernel": blobs["kernel"].name,
        "ramdisk": blobs["ramdisk"].name,
        "cmdline": CMDLINE,
        "min_ram": 128,
        "min_disk": 0,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "source": f"{package} {version}",
        "build": mark,
    }
    write(description, json.dumps(record, indent=2).encode() + b"\n")
    return description


def main(argv: Sequence[str] | None = None) -> int:
    """Build the image named on the command line and print where it is; return the exit code."""
    parser = argparse.ArgumentParser(prog="devstack.guest.build", description="Build the tiny guest image.")
    parser.add_argument("images", type=Path, help="directory that gets the image")
    parser.add_argument("--cache", type=Path, help="directory for the unpacked kernel package")
    parser.add_argument("--drop-cache", action="store_true", help="remove the unpacked package afterwards")
    args = parser.parse_args(argv)
    cache = args.cache or args.images / ".cache"
    try:
        print(build(args.images.resolve(), cache.resolve()))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.drop_cache:
        shutil.rmtree(cache, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
