"""The kernel's iSCSI targets as root: entrypoints of `targets/lio.py`, each one change under the lock `lioadm`.

Here, at the border, every argument is checked: names are those of volumes, devices are logical volumes of that name
pattern, portals are addresses. The modules behind (`lio_kernel`, `lio_saved`, `lio_ground`) trust their callers; they
are loaded with the first call, so that the unprivileged half, which only names these functions, never loads rtslib.
"""

from __future__ import annotations

import os
import re
from typing import Any

from cinder_lite.privileged import lio_lock, sys_admin
from cinder_lite.privileged.lio_records import Entry, Portal
from lite_common import errors

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_IQN = re.compile(rf"(iqn\.\d{{4}}-\d{{2}}\.[a-z0-9.:-]+?)(?:volume|snapshot)-({_UUID})")
_PREFIX = re.compile(r"iqn\.\d{4}-\d{2}\.[a-z0-9.:-]+")
_DEVICE = re.compile(rf"/dev/[A-Za-z0-9+_][A-Za-z0-9+_.-]*/(?:volume|snapshot)-{_UUID}")
DIRECTORY = re.compile(r"/dev/[A-Za-z0-9+_][A-Za-z0-9+_.-]*")
INITIATOR = re.compile(r"iqn\.\d{4}-\d{2}\.[a-z0-9.:-]*\.[a-z0-9.:-]+|eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16}")
INITIATOR_LENGTH = 223
# RFC 3720 asks for 96 bits at least; some initiators take no more than 16 characters.
SECRET = re.compile(r"(?!NULL)[!-~]{12,16}")
USER = re.compile(r"(?!NULL)[!-~]{1,255}")


@sys_admin.entrypoint
def check(portals: list[str]) -> None:
    """Return when LIO can work and listen on `portals`. Raises errors.LiteError that says what to repair."""
    from cinder_lite.privileged import lio_ground

    wanted = [Portal.parse(text) for text in portals]
    lio_ground.check()
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        lio_store.check(wanted)


@sys_admin.entrypoint
def ensure(exports: list[dict[str, Any]]) -> list[str | None]:
    """Ensure these exports, each with iqn, device, portals, userid, password, initiators and recall; the error of
    each, or None. What `recall` means tells `targets.base.Export`."""
    from cinder_lite.privileged import lio_store

    outcome: list[str | None] = []
    wanted = []
    for one in exports:
        try:
            wanted.append((_entry(one), bool(one["recall"])))
            outcome.append(None)
        except errors.LiteError as err:
            outcome.append(err.message)
    with lio_lock.hold():
        done = iter(lio_store.ensure(wanted))
    return [next(done) if one is None else one for one in outcome]


@sys_admin.entrypoint
def grant(iqn: str, userid: str, password: str, initiator: str) -> None:
    """Ensure that the initiator may log in to the target, now and after a reboot."""
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        lio_store.grant(_checked(_IQN, iqn), *checked_login(userid, password), checked_initiator(initiator))


@sys_admin.entrypoint
def withdraw(iqn: str, initiator: str) -> list[list[str]]:
    """Ensure that the initiator may not log in; while it is logged in, nothing is done and its sessions returned."""
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        return [list(one) for one in lio_store.withdraw(_checked(_IQN, iqn), checked_initiator(initiator))]


@sys_admin.entrypoint
def remove(iqn: str) -> list[list[str]]:
    """Ensure that the export is gone; while somebody is logged in, nothing is done and the sessions returned."""
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        return [list(one) for one in lio_store.remove(_checked(_IQN, iqn))]


@sys_admin.entrypoint
def sessions(iqn: str) -> list[list[str]]:
    """Who is logged in: [initiator, address] of each."""
    from cinder_lite.privileged import lio_kernel

    with lio_lock.hold():
        return [list(one) for one in lio_kernel.sessions(_checked(_IQN, iqn))]


@sys_admin.entrypoint
def shown(iqns: list[str]) -> list[dict[str, Any] | None]:
    """What there is of each export (path, chap, initiators, sessions), complete or not; None without a target."""
    from cinder_lite.privileged import lio_kernel

    with lio_lock.hold():
        return [lio_kernel.shown(_checked(_IQN, iqn)) for iqn in iqns]


@sys_admin.entrypoint
def exported(prefix: str, directory: str) -> list[str]:
    """The targets that begin with `prefix` and serve a device in `directory`, in the kernel or only saved."""
    from cinder_lite.privileged import lio_store

    with lio_lock.hold():
        found = lio_store.exported(_checked(_PREFIX, prefix), _checked(DIRECTORY, directory))
    # What somebody else made of our devices under names that are no volume's is not ours to remove.
    return [iqn for iqn in found if _IQN.fullmatch(iqn)]


def _entry(export: dict[str, Any]) -> Entry:
    iqn = _checked(_IQN, export["iqn"])
    device = _checked(_DEVICE, export["device"])
    _require_logical_volume(device)
    userid, password = checked_login(export["userid"], export["password"])
    return Entry(
        iqn=iqn,
        device=device,
        serial=iqn[-36:],
        portals=tuple(Portal.parse(text) for text in export["portals"]),
        userid=userid,
        password=password,
        initiators=frozenset(checked_initiator(name) for name in export["initiators"]),
    )


def _require_logical_volume(device: str) -> None:
    """The name alone is no proof: /dev is full of links. What does not exist is reported by what opens it."""
    if not os.path.exists(device):
        return
    name = os.path.basename(os.path.realpath(device))
    try:
        with open(f"/sys/class/block/{name}/dm/uuid") as file:
            is_logical = file.read().startswith("LVM-")
    except OSError:
        is_logical = False
    if not is_logical:
        raise errors.BackendError(
            f"{device} is not a logical volume, and target_helper = lioadm exports no other. Use it with volume_driver "
            "= lvm, or choose target_helper = tgtadm."
        )


def checked_login(userid: str, password: str) -> tuple[str, str]:
    """The login. Raises errors.BackendError when target or initiators could not use it; the secret is not told."""
    if not USER.fullmatch(userid):
        raise errors.BackendError("The CHAP user is not of 1 to 255 visible characters, or begins with NULL.")
    if not SECRET.fullmatch(password):
        raise errors.BackendError(
            f"The CHAP secret has {len(password)} characters; it must have 12 to 16 visible ones and must not begin "
            "with NULL. Clear provider_auth of the volume while it is detached; the next attach makes a new one."
        )
    return userid, password


def checked_initiator(name: str) -> str:
    """The initiator's name as the kernel has it. Raises errors.BackendError when it is not one."""
    # Names are the same in both cases (RFC 3722), and the kernel has them in lower case.
    return _checked(INITIATOR, name.lower()[: INITIATOR_LENGTH + 1])


def _checked(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value) or len(value) > INITIATOR_LENGTH:
        raise errors.BackendError(f"{value!r} is none of the names that this service may use in the kernel's target.")
    return value
