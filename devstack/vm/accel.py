"""Which accelerator QEMU gets: KVM where a machine really boots with it, else emulation on all processors.

/dev/kvm may exist and still not work: on some hosts (nested virtualization half enabled) a guest hangs at its first
instructions.  So a kernel is booted with it once and has to say so within seconds; the answer is kept until the host
is booted again.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from devstack.vm.hosts import VmError
from devstack.vm.image import Image

KVM = "kvm"
TCG = "tcg,thread=multi"
PROBE_SECONDS = 15
QEMU = "qemu-system-x86_64"
DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def choose(image: Image, cache: Path) -> str:
    """Return the value for QEMU's -accel; NLITE_VM_ACCEL=kvm or tcg overrules the probe."""
    asked = os.environ.get("NLITE_VM_ACCEL")
    if asked:
        if asked not in ("kvm", "tcg"):
            raise VmError(f"NLITE_VM_ACCEL is {asked}: it must be kvm or tcg")
        return KVM if asked == "kvm" else TCG
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return TCG
    known = cache / "accel.json"
    boot = BOOT_ID.read_text().strip()
    try:
        answer = json.loads(known.read_text())
    except (OSError, ValueError):
        answer = {}
    if answer.get("boot") != boot:
        answer = {"boot": boot, "kvm": kvm_works(image)}
        fresh = known.with_name(f"accel.{os.getpid()}")
        fresh.write_text(json.dumps(answer) + "\n")
        fresh.replace(known)
    return KVM if answer["kvm"] else TCG


def kvm_works(image: Image, seconds: float = PROBE_SECONDS) -> bool:
    """Boot the image's kernel with KVM, without any disk, and say whether its first program was reached in time."""
    argv = ["setpriv", "--pdeathsig", "KILL", QEMU, "-M", "q35", "-accel", KVM, "-cpu", "host", "-m", "256"]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    argv += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    argv += ["-append", "console=ttyS0 panic=-1 nlite.probe"]
    begun = time.monotonic()
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"probe passed" in done.stdout and time.monotonic() - begun < seconds
