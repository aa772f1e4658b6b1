"""The iSCSI name of this host, by which targets know it."""

from __future__ import annotations

import os
import secrets
import tempfile

DISTRIBUTION_FILE = "/etc/iscsi/initiatorname.iscsi"
OWN_PREFIX = "iqn.2010-10.org.openstack:nova-lite-"
_KEY = "InitiatorName="


def name(state_path: str, distribution_file: str = DISTRIBUTION_FILE) -> str:
    """The name for QEMU's logins: the distribution's if there is one, else one made once and kept in `state_path`."""
    for path in (distribution_file, os.path.join(state_path, "initiatorname")):
        found = _read(path)
        if found is not None:
            return found
    return _make(os.path.join(state_path, "initiatorname"))


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, PermissionError):
        return None
    names = [line.removeprefix(_KEY).strip() for line in lines if line.startswith(_KEY)]
    return next((found for found in names if found), None)


def _make(path: str) -> str:
    """Write a new name, complete or not at all; if another process was first, its name holds."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=directory)  # 0600
    made = OWN_PREFIX + secrets.token_hex(6)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{_KEY}{made}\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            made = _read(path) or made
    finally:
        os.unlink(temporary)
    return made
