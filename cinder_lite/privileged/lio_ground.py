"""What the host must have before LIO can work, each lack named with what to do about it. Looked at once, at start.

rtslib mounts and loads things by itself, but where that fails it says little, and without /proc/modules it breaks.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterable

from lite_common import errors

CONFIGFS = "/sys/kernel/config"
# Module, and what is there once it is loaded.
MODULES = (
    ("configfs", CONFIGFS),
    ("target_core_mod", f"{CONFIGFS}/target"),
    ("target_core_iblock", "/sys/module/target_core_iblock"),
    ("iscsi_target_mod", "/sys/module/iscsi_target_mod"),
)
# The kernel notes the directory of its own state (persistent reservations) when target_core_mod is loaded.
STATE = "/etc/target"
_LIMIT = 20.0


def check(configfs: str = CONFIGFS) -> None:
    """Ensure that the kernel's parts are there. Raises errors.Unavailable that names the one that lacks."""
    os.makedirs(STATE, mode=0o755, exist_ok=True)
    for module, proof in MODULES:
        if not os.path.exists(proof):
            _load(module, proof)
        if module == "configfs" and not os.path.ismount(configfs):
            raise errors.Unavailable(
                f"configfs is not mounted on {configfs}, so the kernel's iSCSI target cannot be reached. Run "
                f"`mount -t configfs none {configfs}` (systemd does it by sys-kernel-config.mount)."
            )
    lacking_in_rtslib(())


def lacking_in_rtslib(names: Iterable[str]) -> list[str]:
    """Those of the names that rtslib does not have. Raises errors.Unavailable when it cannot be loaded at all."""
    try:
        import rtslib_fb
    except ImportError as err:
        raise errors.Unavailable(
            f"The Python library rtslib-fb cannot be loaded: {err}. Install it (and libudev) for the Python of this "
            "service."
        ) from err
    return [name for name in names if not hasattr(rtslib_fb, name)]


def _load(module: str, proof: str) -> None:
    command, environment = ["modprobe", module], {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
            env=environment,
        )
        reason = done.stderr.strip() or f"modprobe ended with {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as err:
        done, reason = None, str(err)
    # A part that is built into the kernel has no directory of its own, and modprobe is content with it.
    if done is None or done.returncode or not (os.path.exists(proof) or proof.startswith("/sys/module/")):
        raise errors.Unavailable(
            f"The kernel module {module} is needed for target_helper = lioadm and is not there ({reason}). Run "
            f"`modprobe {module}` as root and name it in /etc/modules-load.d, install the kernel that has it, or use "
            "target_helper = tgtadm."
        )


def probe(host: str, port: int) -> int:
    """Why no program could listen there: 0 when one could, else EADDRNOTAVAIL, EADDRINUSE or another errno."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            sock.listen(1)
    except OSError as err:
        return err.errno or errno.EINVAL
    return 0
