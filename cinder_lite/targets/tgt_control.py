"""Talk to tgtd over its control socket, as tgtadm does, without starting a program.

Why not tgtadm and tgt-admin: both pass the CHAP secret in argv, where `ps` shows it to every user, and one export
costs six tgtadm processes (1.2 ms each) or one tgt-admin (60 to 115 ms), against some 0.1 ms a request here.
The message is the one structure of tgt's `tgtadm.h`, unchanged since 2011; `check` proves at start that the daemon
at the other end speaks it. tgtd serves root only.
"""

from __future__ import annotations

import enum
import os
import socket
import struct
from collections.abc import Mapping

from lite_common import errors, privilege

DEFAULT_SOCKET = "/var/run/tgtd/socket"
# tgtd answers each request at once, from memory; a longer silence means that it is stopped or stuck.
TIMEOUT = 5.0

_REQUEST = struct.Struct("=ii64sIiQQIIIIII")
_ANSWER = struct.Struct("=II")
_CREDENTIALS = struct.Struct("=iII")
_CHUNK = 1 << 16


class Mode(enum.IntEnum):
    """What a request is about."""

    SYSTEM = 0
    TARGET = 1
    UNIT = 2
    PORTAL = 3
    CONNECTION = 6
    ACCOUNT = 7


class Op(enum.IntEnum):
    """What is to be done with it."""

    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UNBIND = 4
    UPDATE = 5


class Refusal(enum.IntEnum):
    """Why tgtd refuses, as far as callers tell reasons apart."""

    NO_TARGET = 4
    NO_UNIT = 5
    TARGET_EXISTS = 9
    UNIT_EXISTS = 10
    ACL_EXISTS = 12
    ACCOUNT_EXISTS = 14
    NO_ACCOUNT = 15
    INVALID = 17
    TARGET_ACTIVE = 19


class Refused(Exception):
    """tgtd said no. `number` is its error number."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class Control:
    """The control socket of one tgtd.

    `path` is the value of TGT_IPC_SOCKET (tgtd adds the control port to it); empty means tgtd's own default.
    """

    def __init__(self, path: str = "", *, port: int = 0, timeout: float = TIMEOUT) -> None:
        self.socket = path
        self.path = f"{path or DEFAULT_SOCKET}.{port}"
        self.timeout = timeout

    def request(
        self,
        mode: Mode,
        op: Op,
        *,
        tid: int | None = None,
        lun: int | None = None,
        parameters: Mapping[str, str] | None = None,
        prefix: str = "",
    ) -> str:
        """Send one request and return the answer's text (empty for all but SHOW).

        Raises Refused when tgtd refuses, errors.Unavailable when it is not there or does not answer in time.
        """
        text = ",".join(f"{key}={value}" for key, value in (parameters or {}).items())
        body = f"{prefix}{text}".encode() + b"\0" if text else b""
        number, answer, _ = self._exchange(_packed(mode, op, tid, lun, body))
        if number:
            # The parameters stay out of the text: they may hold a secret.
            what = f"{op.name.lower()} {mode.name.lower()}" + (f" {tid}" if tid is not None else "")
            raise Refused(number, f"{what}: {_TEXTS.get(number, f'error {number}')}")
        return answer.rstrip(b"\0").decode(errors="replace")

    def check(self) -> None:
        """Return when a tgtd that speaks this protocol answers. Raises errors.Unavailable that says what is wrong."""
        try:
            answer = self.request(Mode.SYSTEM, Op.SHOW)
        except Refused as err:
            answer = str(err)
        if not answer.startswith("System:"):
            raise errors.Unavailable(
                f"What listens on {self.path} does not answer like tgtd 1.0 ({answer[:80]!r}). "
                "Check the option tgt_control_socket of the backend and the version of tgt."
            )

    def generation(self) -> str:
        """Return a text that changes when tgtd is started anew (and has forgotten its targets)."""
        # The smallest whole request, for a bare connection will not do: tgtd 1.0.85, once it has served a session,
        # takes the end of one for "try again", never lets go of it and spins on it for the rest of its life.
        _, _, pid = self._exchange(_packed(Mode.ACCOUNT, Op.SHOW, None, None, b""))
        try:
            found = os.stat(self.path)
        except OSError as err:
            raise self._gone(err) from err
        return f"{pid}-{found.st_ino}-{found.st_ctime_ns}"

    def _exchange(self, message: bytes) -> tuple[int, bytes, int]:
        """Send one whole request; error number, answer and the process id of tgtd."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(self.timeout)
                sock.connect(self.path)
                sock.sendall(message)
                number, length = _ANSWER.unpack(_exactly(sock, _ANSWER.size))
                answer = _exactly(sock, length - _ANSWER.size) if length > _ANSWER.size else b""
                pid, _, _ = _CREDENTIALS.unpack(
                    sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                )
        except (OSError, struct.error) as err:
            raise self._gone(err) from err
        return number, answer, pid

    def _gone(self, err: Exception) -> errors.Unavailable:
        return errors.Unavailable(
            f"tgtd does not answer on {self.path} ({err or type(err).__name__}). Check that tgtd runs and that the "
            "option tgt_control_socket of the backend names its socket, then repeat the request."
        )


class PrivilegedControl(Control):
    """The same for a process that is not root: tgtd listens to no other, so each request is made by the privileged
    half of the daemon."""

    def request(
        self,
        mode: Mode,
        op: Op,
        *,
        tid: int | None = None,
        lun: int | None = None,
        parameters: Mapping[str, str] | None = None,
        prefix: str = "",
    ) -> str:
        """Have the request sent; as `Control.request`."""
        # Privsep is loaded only where it is needed.
        from cinder_lite.privileged import tgt

        with privilege.calling("a request to tgtd"):
            number, text = tgt.request(self.socket, int(mode), int(op), tid, lun, dict(parameters or {}), prefix)
        if number:
            raise Refused(number, text)
        return text

    def generation(self) -> str:
        """As `Control.generation`."""
        from cinder_lite.privileged import tgt

        with privilege.calling("a look at tgtd"):
            return tgt.generation(self.socket)


def control(path: str) -> Control:
    """The way to tgtd's socket `path` for this process."""
    return Control(path) if os.geteuid() == 0 else PrivilegedControl(path)


def _packed(mode: Mode, op: Op, tid: int | None, lun: int | None, body: bytes) -> bytes:
    number = -1 if tid is None else tid
    unit = (1 << 64) - 1 if lun is None else lun
    length = _REQUEST.size + len(body)
    return _REQUEST.pack(mode, op, b"iscsi", length, number, 0, unit, 0, 0, 0, 0, 0, 0) + body


def _exactly(sock: socket.socket, length: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < length:
        chunk = sock.recv(min(_CHUNK, length - len(chunks)))
        if not chunk:
            raise OSError(f"the connection ended after {len(chunks)} of {length} bytes")
        chunks += chunk
    return bytes(chunks)


_TEXTS: dict[int, str] = {
    Refusal.NO_TARGET: "there is no such target",
    Refusal.NO_UNIT: "there is no such logical unit",
    Refusal.TARGET_EXISTS: "a target of this name or number exists",
    Refusal.UNIT_EXISTS: "a logical unit of this number exists",
    Refusal.ACL_EXISTS: "this access rule exists",
    Refusal.ACCOUNT_EXISTS: "this account exists",
    Refusal.NO_ACCOUNT: "there is no such account",
    Refusal.INVALID: "the request is invalid, or the file cannot be opened",
    Refusal.TARGET_ACTIVE: "an initiator is logged in",
}
