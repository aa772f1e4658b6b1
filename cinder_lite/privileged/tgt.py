"""tgtd's control socket for a daemon that gave up root: tgtd listens to root only.

`targets/tgt_control.py` does the talking, here as there. Each request is checked first: it is one that the tgt driver
makes, about a target, a device and a login of a volume, and about no target that is not ours.
"""

from __future__ import annotations

import os
import re
import stat

from cinder_lite.privileged import sys_admin
from cinder_lite.targets import tgt_control, tgt_show
from cinder_lite.targets.tgt_control import Mode, Op
from lite_common import errors

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TARGET = re.compile(rf"iqn\.[A-Za-z0-9.:-]+?(?:volume|snapshot)-{_UUID}")
_NAME = re.compile(rf"(?:volume|snapshot)-{_UUID}")
_VALUES = {
    "targetname": _TARGET,
    "initiator-address": re.compile("ALL"),
    "user": re.compile(r"[!-+\--~]{1,255}"),
    "password": re.compile(r"[!-+\--~]{1,255}"),
    "path": re.compile(r"/[A-Za-z0-9/_.:@%+=-]+"),
    "scsi_id": re.compile(_UUID),
    "scsi_sn": re.compile(_UUID),
}
_REQUESTS = {
    (Mode.SYSTEM, Op.SHOW),
    (Mode.PORTAL, Op.SHOW),
    (Mode.TARGET, Op.SHOW),
    (Mode.TARGET, Op.NEW),
    (Mode.TARGET, Op.BIND),
    (Mode.TARGET, Op.DELETE),
    (Mode.UNIT, Op.NEW),
    (Mode.UNIT, Op.UPDATE),
    (Mode.UNIT, Op.DELETE),
    (Mode.ACCOUNT, Op.NEW),
    (Mode.ACCOUNT, Op.BIND),
    (Mode.ACCOUNT, Op.DELETE),
}
_DEVICE_MAPPER = "/sys/class/block/{}/dm/uuid"


@sys_admin.entrypoint
def request(
    socket: str, mode: int, op: int, tid: int | None, lun: int | None, parameters: dict[str, str], prefix: str
) -> list[str | int]:
    """tgtd's answer: [0, its text], or [the number of its refusal, what it refused]."""
    control = _control(socket)
    if (mode, op) not in _REQUESTS or prefix not in ("", "targetOps "):
        raise errors.BackendError(f"This service makes no request of mode {mode} and operation {op} to tgtd.")
    for name, value in parameters.items():
        pattern = _VALUES.get(name)
        if pattern is None or not pattern.fullmatch(value):
            raise errors.BackendError(f"This service may not set {name} of a target in tgtd to the value given.")
    if "path" in parameters:
        _require_ours(parameters["path"])
    if tid is not None and not (mode == Mode.TARGET and op == Op.NEW):
        _require_our_target(control, tid)
    try:
        return [0, control.request(Mode(mode), Op(op), tid=tid, lun=lun, parameters=parameters, prefix=prefix)]
    except tgt_control.Refused as err:
        return [err.number, str(err)]


@sys_admin.entrypoint
def generation(socket: str) -> str:
    """Which start of tgtd this is."""
    return _control(socket).generation()


def _control(socket: str) -> tgt_control.Control:
    control = tgt_control.Control(socket)
    try:
        found = os.stat(control.path)
    except OSError as err:
        raise errors.Unavailable(
            f"tgtd is not there: {control.path}: {err.strerror}. Start it, and check the option tgt_control_socket."
        ) from err
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != 0:
        raise errors.BackendError(f"{control.path} is not a socket of root, so it is not tgtd's.")
    return control


def _require_ours(path: str) -> None:
    """The file or logical volume of a volume, and no link to anything else; what is not there is for tgtd to say."""
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
        if stat.S_ISBLK(found.st_mode):
            with open(_DEVICE_MAPPER.format(os.path.basename(real))) as file:
                ours = file.read().startswith("LVM-")
        else:
            ours = stat.S_ISREG(found.st_mode) and _NAME.fullmatch(os.path.basename(real)) is not None
    except FileNotFoundError:
        return
    except OSError:
        ours = False
    if not ours or not _NAME.fullmatch(os.path.basename(path)):
        raise errors.BackendError(f"{path} is not the file or logical volume of a volume; tgtd is not told of it.")


def _require_our_target(control: tgt_control.Control, tid: int) -> None:
    try:
        shown = control.request(Mode.TARGET, Op.SHOW)
    except tgt_control.Refused as err:
        raise errors.BackendError(f"tgtd does not list its targets: {err}.") from err
    name = tgt_show.name_of(shown, tid)
    if name is not None and not _TARGET.fullmatch(name):
        raise errors.BackendError(f"Target {tid} of tgtd is {name}, which is not a volume's.")
