"""The disk image of the machines, built once from Debian's packages and this checkout, kept by content.

An image is a directory CACHE/KEY with `root.raw`, `vmlinux`, `initrd` and `image.json`; KEY is a digest of all that
goes into it.  It is built in a directory of another name and put in place by one rename, so what has a key's name is
whole.  Root is not needed where user namespaces are allowed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from devstack.vm.hosts import VmError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUITE = "bookworm"
# All that decides what is in an image.  The checkout's other files are not: `sync` brings them up to date.
INGREDIENTS = (
    *("setup.cfg", "pyproject.toml", "constraints.txt"),
    *("devstack/packages.txt", "devstack/guest/build.py", "devstack/guest/init.sh"),
    *("devstack/vm/image.py", "devstack/vm/initrd.py", "devstack/vm/init.sh", "devstack/vm/recipe.sh"),
    *("devstack/vm/image-packages.txt", "devstack/vm/not-copied.txt"),
)
TOOLS = ("mmdebstrap", "mke2fs", "rsync", "unshare", "qemu-img", "qemu-system-x86_64", "ssh", "ssh-keygen", "setpriv")
KEPT = 2
BUILD_SECONDS = 1500
BUILDING = ".build-"
# Manual pages and translations make a third of the files, and nobody reads them in a machine made for tests.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Image:
    """A finished image."""

    directory: Path

    @property
    def key(self) -> str:
        """The digest of what the image was made from."""
        return self.directory.name

    @property
    def disk(self) -> Path:
        """The root file system; machines use it as the backing file of their own disks, and never write to it."""
        return self.directory / "root.raw"

    @property
    def kernel(self) -> Path:
        """The ELF kernel."""
        return self.directory / "vmlinux"

    @property
    def initrd(self) -> Path:
        """The common part of the initramfs."""
        return self.directory / "initrd"


def cache_directory() -> Path:
    """Return where images are kept: NLITE_VM_CACHE, else /var/cache/nlite-vm, else (not root) the user's own cache."""
    wanted = os.environ.get("NLITE_VM_CACHE")
    if wanted:
        return Path(wanted).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/nlite-vm")
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "nlite-vm"


def key(root: Path = ROOT) -> str:
    """Return the digest of the ingredients in a checkout."""
    digest = hashlib.sha256(SUITE.encode())
    # Of lib.sh only what makes the Python environment, and says whether it is current.
    library = (root / "devstack/lib.sh").read_text()
    digest.update(library[library.index("\nmake_venv() {") :].partition("\n}\n")[0].encode())
    for name in INGREDIENTS:
        content = (root / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def packages(root: Path = ROOT) -> list[str]:
    """Return the Debian packages of the image: those of the project, but for the host's own, and the system's."""
    found = set()
    for line in (root / "devstack/packages.txt").read_text().splitlines():
        words = line.split()
        if words and not line.startswith("#") and words[1:] != ["vm"]:
            found.add(words[0])
    for line in (root / "devstack/vm/image-packages.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            found.add(line.strip())
    return sorted(found)


def check_tools() -> None:
    """Raise VmError that names the programs which this machine lacks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    lacking = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    if lacking:
        raise VmError(
            f"not installed: {', '.join(lacking)}; install the packages of kind vm in devstack/packages.txt "
            "(root: ./devstack/test.sh prepare does it)"
        )


@contextlib.contextmanager
def locked(cache: Path, report: Report) -> Iterator[None]:
    """Hold the cache alone; wait for another builder as long as a build may take, then raise VmError."""
    with (cache / "lock").open("w") as lock:
        end = time.monotonic() + BUILD_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    report(f"another process works on {cache}: waiting for it")
                    told = True
                if time.monotonic() > end:
                    raise VmError(f"another process held {cache}/lock for {BUILD_SECONDS} s") from None
                time.sleep(0.2)
        yield


def ensure(cache: Path, report: Report = print, root: Path = ROOT) -> Image:
    """Return the image for this checkout, built if it is not there; VmError with the end of the log if it fails."""
    check_tools()
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache, report):
        image = Image(cache / key(root))
        if not image.directory.is_dir():
            report(f"building the image {image.directory} (some minutes; log: {cache}/build.log)")
            begun = time.monotonic()
            _build(image, cache, root)
            report(f"image built in {time.monotonic() - begun:.0f} s")
        os.utime(image.directory)
        prune(cache)
    return image


def prune(cache: Path) -> None:
    """Remove what interrupted builds left, and all but what was used last.  The caller holds the lock."""
    images, bases = [], []
    for entry in cache.iterdir():
        if entry.name.startswith("base-"):
            bases.append(entry)
        elif entry.name.startswith(BUILDING):
            shutil.rmtree(entry, ignore_errors=True)
        elif (entry / "image.json").is_file():
            images.append(entry)
    images.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in images[KEPT:]:
        # Under another name first: what has a key's name is always whole.
        doomed = entry.rename(cache / f"{BUILDING}{entry.name}")
        shutil.rmtree(doomed, ignore_errors=True)
    bases.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in bases[1:]:
        entry.unlink()


def _build(image: Image, cache: Path, root: Path) -> None:
    prune(cache)
    work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=cache))
    work.chmod(0o755)
    try:
        output = work / "image"
        output.mkdir()
        if os.geteuid() != 0:
            output.chmod(0o777)  # the root of the user namespace is another user outside
        with (cache / "build.log").open("wb") as log:
            for argv in commands(root, work / "tree", output, cache):
                _run(argv, log)
        (output / "image.json").write_text(json.dumps({"suite": SUITE, "built": time.time()}) + "\n")
        output.chmod(0o755)
        _clear(work / "tree")
        output.rename(image.directory)
    finally:
        _clear(work / "tree")
        shutil.rmtree(work, ignore_errors=True)


def base(root: Path, cache: Path) -> Path:
    """Return where the tree of Debian packages is kept, from which images that differ in the rest are made."""
    digest = hashlib.sha256(f"{SUITE} {packages(root)} {LEFT_OUT}".encode()).hexdigest()
    return cache / f"base-{digest[:16]}.tar"


def commands(root: Path, tree: Path, output: Path, cache: Path) -> list[list[str]]:
    """Return the commands that make an image.

    Each runs in a process namespace that ends with the first process in it, which ends with this one: an interrupted
    build leaves no process and no mount.
    """
    options = ["--variant=apt", f"--include={','.join(packages(root))}"]
    options += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"']
    options += ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT)]
    recipe = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "bash", str(root / "devstack/vm/recipe.sh")]
    recipe += [str(root), str(tree), str(output)]
    if os.geteuid() == 0:
        return [[*recipe, str(base(root, cache)), "mmdebstrap", "--mode=root", *options, SUITE, str(tree)]]
    # Without root mmdebstrap has to make the user namespace itself.
    return [["mmdebstrap", "--mode=unshare", *options, SUITE, str(tree)], ["mmdebstrap", "--unshare-helper", *recipe]]


def _run(argv: list[str], log: BinaryIO) -> None:
    # INITRD=No: the kernel package makes no initramfs; ours is smaller by two orders of magnitude.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    environment = {**os.environ, "INITRD": "No", "LC_ALL": "C.UTF-8", "PATH": path}
    tied = ["setpriv", "--pdeathsig", "KILL", *argv]
    try:
        done = subprocess.run(
            tied, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise VmError(f"{argv[0]} did not end within {BUILD_SECONDS} s; log: {log.name}") from error
    if done.returncode:
        lines = Path(log.name).read_text(errors="replace").splitlines()[-30:]
        raise VmError("\n".join([*lines, f"the image could not be built (the log is {log.name})"]))


def _clear(tree: Path) -> None:
    """Remove a tree, also one whose files belong to the subordinate users of this one."""
    if not tree.exists():
        return
    if os.geteuid() == 0:
        shutil.rmtree(tree, ignore_errors=True)
    else:
        # All that is in it; the directory itself lies in one of ours, and we may remove it.
        empty = ["mmdebstrap", "--unshare-helper", "find", str(tree), "-mindepth", "1", "-delete"]
        subprocess.run(empty, capture_output=True, check=False, timeout=120)


if __name__ == "__main__":
    print(ensure(cache_directory(), lambda text: print(text, file=sys.stderr)).directory)
