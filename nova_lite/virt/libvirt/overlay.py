"""A server's root disk: a copy-on-write file above the image's disk, which is shared and never written."""

from __future__ import annotations

import contextlib
import os
import subprocess

from nova_lite.virt import errors

_TIMEOUT = 30


def create(path: str, backing: str, backing_format: str, server_uuid: str) -> None:
    """Make the file, replacing one that is there. Raises ServerStartFailed."""
    remove(path)
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", backing_format, "-b", backing, path]
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_TIMEOUT)
    except FileNotFoundError as exc:
        why = "qemu-img is not installed."
        raise errors.ServerStartFailed(server=server_uuid, reason=why) from exc
    except subprocess.TimeoutExpired as exc:
        why = f"making a root disk above {backing} took more than {_TIMEOUT} s."
        raise errors.ServerStartFailed(server=server_uuid, reason=why) from exc
    except subprocess.CalledProcessError as exc:
        why = f"no root disk could be made above {backing}: {exc.stderr.strip()}"
        raise errors.ServerStartFailed(server=server_uuid, reason=why) from exc


def remove(path: str) -> None:
    """Remove the file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
