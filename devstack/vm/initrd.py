"""The initramfs of the machines: a common part, made with the image, and a small one for each machine.

The kernel unpacks several archives that lie one after the other in one file, so a machine gets its identity (name,
keys, addresses) without its disk being touched before the first boot.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from devstack.guest import build

HERE = Path(__file__).resolve().parent
# In the order in which they are loaded; one that is part of the kernel is left out by itself.
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"),
    *("failover", "net_failover", "virtio_net"),
    *("crc16", "mbcache", "jbd2", "ext4"),
)


def common(tree: Path, busybox: Path) -> bytes:
    """Return the common archive for the kernel whose modules are below `tree`; raise BuildError if one is missing."""
    archive = build.Archive()
    for directory in ("bin", "dev", "modules", "identity"):
        archive.add(directory, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, (HERE / "init.sh").read_bytes())
    order = []
    for module in MODULES:
        content = build.module_content(tree, module)
        if content is not None:
            archive.add(f"modules/{module}.ko", stat.S_IFREG | 0o644, content)
            order.append(f"{module}.ko")
    archive.add("modules/order", stat.S_IFREG | 0o644, "\n".join(order).encode() + b"\n")
    return archive.finish()


def personal(files: Mapping[str, tuple[int, str]], network: str) -> bytes:
    """Return the archive of one machine: `files` (path -> mode, content) for its disk, and its network script."""
    archive = build.Archive()
    archive.add("network", stat.S_IFREG | 0o644, network.encode())
    made: set[str] = set()
    for name, (mode, content) in sorted(files.items()):
        path = PurePosixPath("identity", name)
        for parent in reversed(path.parents[:-2]):
            if str(parent) not in made:
                made.add(str(parent))
                private = parent.name == ".ssh" or str(parent) == "identity/root"
                archive.add(str(parent), stat.S_IFDIR | (0o700 if private else 0o755))
        archive.add(str(path), stat.S_IFREG | mode, content.encode())
    return archive.finish()
