"""Exports in the kernel's own iSCSI target (LIO), through rtslib: the only place that knows that library.

An export is a storage object named by the target's IQN, the target, its portal group 1 with LUN 0, and a rule (ACL)
with login and mapped LUN for each initiator. It grows in that order, portals and `enable` last, so it is never open
and never answers an initiator that waits for it before that one's rule is there: what it is told then is to try again
(RFC 3720: target error), and not that it is refused. Every function is called under the lock of `lio_lock` and may be
repeated.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from typing import Any

import rtslib_fb as rtslib
from rtslib_fb import node

from cinder_lite.privileged import lio_portals
from cinder_lite.privileged.lio_portals import ROOT, attempt
from cinder_lite.privileged.lio_records import Entry
from lite_common import errors

LOG = logging.getLogger(__name__)

CORE = os.path.join(ROOT, "core")
# Without a rule nobody gets in, with one by its login only, and only those with one see the target's name.
AUTHENTICATION = "authentication"
ATTRIBUTES = {AUTHENTICATION: "1", "generate_node_acls": "0", "demo_mode_discovery": "0"}

Sessions = list[tuple[str, str]]


def ensure(wanted: Entry) -> None:
    """Ensure the export with at least the rules of `wanted.initiators`; sessions are not disturbed.

    Raises errors.BackendError; what this call made is taken back then.
    """
    with _translated(wanted.iqn), contextlib.ExitStack() as undo:
        rtslib.RTSRoot()
        storage = _ensure_storage(wanted, undo)
        group = _ensure_group(wanted.iqn, undo)
        lun = _ensure_lun(group, storage, undo)
        for initiator in sorted(wanted.initiators):
            _ensure_rule(group, lun, initiator, wanted, undo)
        lio_portals.ensure(group, wanted.portals, undo, is_used=lambda: bool(_sessions(group.node_acls)))
        if not group.enable:
            group.enable = True
        undo.pop_all()


def grant(iqn: str, userid: str, password: str, initiator: str) -> None:
    """Ensure the rule of one initiator of an export that is there. Raises errors.BackendError."""
    with _translated(iqn), contextlib.ExitStack() as undo:
        group = _group(iqn)
        if group is None or not os.path.isdir(f"{group.path}/lun/lun_0"):
            raise errors.BackendError(f"There is no target {iqn} to which {initiator} could be let in.")
        login = Entry(iqn, "", "", (), userid, password)
        _ensure_rule(group, rtslib.LUN(group, 0), initiator, login, undo)
        undo.pop_all()


def withdraw(iqn: str, initiator: str) -> Sessions:
    """Ensure that the initiator has no rule; if it is logged in, nothing is done and its sessions are returned."""
    with _translated(iqn):
        group = _group(iqn)
        rules = [] if group is None else [one for one in group.node_acls if one.node_wwn == initiator.lower()]
        with _locked_out(rules) as busy:
            if not busy:
                for rule in rules:
                    rule.delete()
        return busy


def remove(iqn: str) -> Sessions:
    """Ensure that nothing of the export is there; while somebody is logged in, nothing is done and the sessions are
    returned."""
    with _translated(iqn):
        group, storage = _group(iqn), _find_storage(iqn)
        rules = [] if group is None else list(group.node_acls)
        with _locked_out(rules) as busy:
            if busy:
                return busy
            if os.path.isdir(_target_path(iqn)):
                rtslib.Target(rtslib.FabricModule("iscsi"), iqn, "lookup").delete()
        if storage is not None:
            _delete_storage(storage)
        return []


def sessions(iqn: str) -> Sessions:
    """Who is logged in: (initiator, address) of each."""
    with _translated(iqn):
        group = _group(iqn)
        return [] if group is None else _sessions(group.node_acls)


def shown(iqn: str) -> dict[str, Any] | None:
    """What there is of the export, complete or not, without its secret; None without a target."""
    with _translated(iqn):
        group, storage = _group(iqn), _find_storage(iqn)
        if group is None:
            return None
        rules = list(group.node_acls)
        served = os.path.isdir(f"{group.path}/lun/lun_0")
        return {
            "path": storage.udev_path if served and storage is not None and storage.is_configured() else None,
            "chap": group.get_attribute(AUTHENTICATION) == "1" and all(bool(rule.chap_userid) for rule in rules),
            "initiators": [rule.node_wwn for rule in rules],
            "sessions": [list(one) for one in _sessions(rules)],
        }


def found(iqn: str) -> Entry | None:
    """The export as the kernel has it now; None when a part of it is missing."""
    with _translated(iqn):
        group, storage = _group(iqn), _find_storage(iqn)
        if group is None or storage is None or not storage.is_configured():
            return None
        rules = list(group.node_acls)
        return Entry(
            iqn=iqn,
            device=storage.udev_path,
            serial=storage.wwn,
            portals=tuple(sorted(lio_portals.of(group))),
            userid=rules[0].chap_userid if rules else "",
            password=rules[0].chap_password if rules else "",
            initiators=frozenset(one.node_wwn for one in rules),
            discard=storage.get_attribute("emulate_tpu") == "1",
        )


def devices(prefix: str) -> dict[str, str]:
    """The backing device of every storage object whose name begins with `prefix`; empty for one that is unfinished."""
    with _translated(f"{prefix}..."):
        result = {}
        for name, path in _storage_paths():
            if name.startswith(prefix):
                with open(f"{path}/udev_path") as file:
                    result[name] = file.read().strip()
        return result


def targets() -> list[str]:
    """The names of all iSCSI targets, whoever made them."""
    with _translated("(all)"):
        if not os.path.isdir(f"{ROOT}/iscsi"):
            return []
        return [target.wwn for target in rtslib.FabricModule("iscsi").targets]


def initiators(iqn: str) -> set[str]:
    """Who has a rule of the target."""
    with _translated(iqn):
        group = _group(iqn)
        return set() if group is None else set(os.listdir(f"{group.path}/acls"))


def enable_iser(iqn: str) -> None:
    """Let the target's portals speak iSER (RDMA), which needs the module ib_isert and a device that can."""
    with _translated(iqn):
        group = _group(iqn)
        for portal in group.network_portals if group is not None else ():
            portal.iser = True


# ------------------------------------------------------------------ storage object


def _storage_paths() -> Iterator[tuple[str, str]]:
    # Not by rtslib, which keeps a list of its own and does not see what another process adds to it.
    with contextlib.suppress(FileNotFoundError):
        for backstore in os.scandir(CORE):
            if backstore.name.startswith("iblock_"):
                for one in os.scandir(backstore.path):
                    if one.is_dir(follow_symlinks=False):
                        yield one.name, one.path


def _find_storage(iqn: str) -> rtslib.BlockStorageObject | None:
    with contextlib.suppress(FileNotFoundError):
        for backstore in os.listdir(CORE):
            if backstore.startswith("iblock_") and os.path.isdir(f"{CORE}/{backstore}/{iqn}"):
                return rtslib.BlockStorageObject(iqn, index=int(backstore.removeprefix("iblock_")))
    return None


def _free_index() -> int:
    """The lowest number of which there is no backstore, or an empty one, left by a process that was killed."""
    taken = set()
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(CORE):
            number = name.rpartition("_")[2]
            if number.isdigit() and any(one.is_dir() for one in os.scandir(f"{CORE}/{name}")):
                taken.add(int(number))
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _ensure_storage(wanted: Entry, undo: contextlib.ExitStack) -> rtslib.BlockStorageObject:
    storage = _find_storage(wanted.iqn)
    if storage is not None and not _is_right(storage, wanted):
        _clear_for_another(wanted, storage)
        storage = None
    if storage is not None:
        return storage
    if not os.path.exists(wanted.device):
        raise errors.BackendError(
            f"The device {wanted.device} of target {wanted.iqn} does not exist. Check that its volume group is there "
            "and that the logical volume is active (`lvs -o +lv_active`)."
        )
    index = _free_index()
    if os.path.isdir(f"{CORE}/iblock_{index}"):
        os.rmdir(f"{CORE}/iblock_{index}")
    try:
        storage = rtslib.BlockStorageObject(wanted.iqn, dev=wanted.device, wwn=wanted.serial, index=index)
    except rtslib.RTSLibError as err:
        if "already in use" not in str(err):
            raise
        raise errors.BackendError(
            f"The device {wanted.device} of target {wanted.iqn} is held by another program (`lsblk`, `fuser -v`), so "
            "it cannot be exported. Free it there, then repeat the request."
        ) from err
    undo.callback(attempt, _delete_storage, storage)
    # The kernel refuses this for a device that takes no discards.
    with contextlib.suppress(rtslib.RTSLibError):
        storage.set_attribute("emulate_tpu", 1)
    return storage


def _is_right(storage: rtslib.BlockStorageObject, wanted: Entry) -> bool:
    if not storage.is_configured() or storage.udev_path != wanted.device or storage.wwn != wanted.serial:
        return False
    try:
        number = os.stat(wanted.device).st_rdev
    except FileNotFoundError:
        # Held open by the kernel under whatever name; nothing better can be made of it.
        return True
    return (storage.major, storage.minor) == (os.major(number), os.minor(number))


def _clear_for_another(wanted: Entry, storage: rtslib.BlockStorageObject) -> None:
    """Remove an export of the wrong or a half-made device. Raises errors.BackendError when somebody uses it."""
    group = _group(wanted.iqn)
    busy = [] if group is None else _sessions(group.node_acls)
    if busy:
        raise errors.BackendError(
            f"Target {wanted.iqn} serves {storage.udev_path} to {busy[0][0]} where {wanted.device} should be. "
            "Detach the disk there, then repeat the request."
        )
    LOG.warning("target %s is not as it should be; making it anew", wanted.iqn)
    remove(wanted.iqn)


def _delete_storage(storage: rtslib.BlockStorageObject) -> None:
    # rtslib's own way looks through all targets for LUNs first. Ours are gone, and with another's the kernel refuses.
    node.CFSNode.delete(storage)
    os.rmdir(os.path.dirname(storage.path))


# ------------------------------------------------------------------ target, portal group, LUN


def _target_path(iqn: str) -> str:
    return f"{ROOT}/iscsi/{iqn}"


def _group(iqn: str) -> rtslib.TPG | None:
    if not os.path.isdir(f"{_target_path(iqn)}/tpgt_1"):
        return None
    return rtslib.TPG(rtslib.Target(rtslib.FabricModule("iscsi"), iqn, "lookup"), 1, "lookup")


def _ensure_group(iqn: str, undo: contextlib.ExitStack) -> rtslib.TPG:
    group = _group(iqn)
    if group is None:
        is_new = not os.path.isdir(_target_path(iqn))
        target = rtslib.Target(rtslib.FabricModule("iscsi"), iqn)
        if is_new:
            undo.callback(attempt, target.delete)
        group = rtslib.TPG(target, 1)
        if not is_new:
            undo.callback(attempt, group.delete)
    for name, value in ATTRIBUTES.items():
        if group.get_attribute(name) != value:
            group.set_attribute(name, value)
    return group


def _ensure_lun(group: rtslib.TPG, storage: rtslib.BlockStorageObject, undo: contextlib.ExitStack) -> rtslib.LUN:
    path = f"{group.path}/lun/lun_0"
    if os.path.isdir(path):
        if _links(path) == [os.path.realpath(storage.path)]:
            return rtslib.LUN(group, 0)
        # Its rules' mapped LUNs lead nowhere, too, and rtslib stumbles over a mapped LUN without its link.
        for rule in group.node_acls:
            for mapped in rule.mapped_luns:
                mapped.delete()
        rtslib.LUN(group, 0).delete()
    lun = rtslib.LUN(group, 0, storage)
    undo.callback(attempt, lun.delete)
    return lun


def _links(path: str) -> list[str]:
    return [os.path.realpath(one.path) for one in os.scandir(path) if one.is_symlink()]


# ------------------------------------------------------------------ rules and sessions


def _ensure_rule(group: rtslib.TPG, lun: rtslib.LUN, initiator: str, login: Entry, undo: contextlib.ExitStack) -> None:
    is_new = not os.path.isdir(f"{group.path}/acls/{initiator.lower()}")
    rule = rtslib.NodeACL(group, initiator)
    if is_new:
        undo.callback(attempt, rule.delete)
    # A new secret is asked for at the next login; it cuts no session.
    if is_new or rule.chap_userid != login.userid:
        rule.chap_userid = login.userid
    if is_new or rule.chap_password != login.password:
        rule.chap_password = login.password
    # -1, the kernel's default: what the group says.
    if (
        not is_new
        and os.path.exists(f"{rule.path}/attrib/authentication")
        and rule.get_attribute(AUTHENTICATION) == "0"
    ):
        rule.set_attribute(AUTHENTICATION, -1)
    path = f"{rule.path}/lun_0"
    if os.path.isdir(path):
        if _links(path) == [os.path.realpath(lun.path)]:
            return
        rtslib.MappedLUN(rule, 0).delete()
    rtslib.MappedLUN(rule, 0, lun)


def _sessions(rules: Iterator[rtslib.NodeACL] | list[rtslib.NodeACL]) -> Sessions:
    result = []
    for rule in rules:
        session = rule.session
        if session is not None:
            addresses = [one.get("address", "") for one in session.get("connections", [])]
            result.append((rule.node_wwn, addresses[0] if addresses else ""))
    return result


@contextlib.contextmanager
def _locked_out(rules: list[rtslib.NodeACL]) -> Iterator[Sessions]:
    """Nobody can log in by these rules while the block runs, if it is given no sessions.

    To delete a rule cuts its sessions, so between the last look and the deletion no new one may begin: the rules get
    a secret that nobody knows, and only then is the look the last one. With sessions there is no such change, because
    an initiator that comes back after a fault of the network would be refused.
    """
    busy = _sessions(rules)
    former = []
    if not busy:
        for rule in rules:
            former.append((rule, rule.chap_password))
            rule.chap_password = secrets.token_urlsafe(24)
        busy = _sessions(rules)
    try:
        if busy:
            _unlock(former)
        yield busy
    except BaseException:
        if not busy:
            attempt(_unlock, former)
        raise


def _unlock(former: list[tuple[rtslib.NodeACL, str]]) -> None:
    for rule, password in former:
        if rule.exists:
            rule.chap_password = password


# ------------------------------------------------------------------ errors


@contextlib.contextmanager
def _translated(iqn: str) -> Iterator[None]:
    try:
        yield
    except (rtslib.RTSLibError, OSError) as err:
        raise errors.BackendError(
            f"The kernel's target {iqn} could not be changed: {err}. Look at `targetcli ls` and the kernel's log "
            "(`dmesg`), then repeat the request."
        ) from err
