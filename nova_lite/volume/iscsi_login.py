"""A question to an iSCSI portal: would this host be let in to that target, now?

QEMU opens the iSCSI session itself when a disk is plugged in, and while it does so the guest stands still and
the hypervisor's daemon waits. A portal that swallows packets would hold both for minutes. So the host asks
first, with limits of its own, and gives QEMU only portals that answer.

The question is the security stage of an iSCSI login (RFC 7143 chapter 6, CHAP as in section 12.1.3) and
nothing after it: the target checks its name, its access list and the CHAP secret, but no session comes to be,
so nothing is left at the target that could stand in the way of removing an export. It is asked in this
process: three round trips (0.3 ms against tgt on the same machine), where starting `qemu-img info` costs 20
ms, up to a seventh of the floor of an attach, and needs the password in a file or a pipe. The password leaves
this process only inside a CHAP response.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import struct
import time

from nova_lite.virt import errors
from nova_lite.volume.connection_info import IscsiVolume

_LOGIN_REQUEST = 0x43  # login, marked for immediate delivery
_LOGIN_RESPONSE = 0x23
_HEADER = struct.Struct(">BBBB B3s 6sH I HH II 16x")
_HEADER_BYTES = 48
_TRANSIT_TO_OPERATIONAL = 0x81
_STAY_IN_SECURITY = 0x00
_MAX_ANSWER = 64 * 1024
_CHAP_MD5 = "5"
_REASONS = {
    0x0201: "the CHAP user or password is wrong or missing",
    0x0202: "the target's access list does not name this initiator",
    0x0203: "there is no such target",
    0x0204: "the target was removed",
    0x0301: "the target is out of service",
}


def check(volume: IscsiVolume, initiator: str, connect_timeout: float, login_timeout: float) -> None:
    """Return if the portal lets the initiator in to the target; both limits are seconds.

    Raises PortalUnreachable (no connection, no answer in time, or something else than iSCSI answers) and
    LoginRefused (an answer that says no).
    """
    try:
        connection = socket.create_connection((volume.host, volume.port), timeout=connect_timeout)
    except TimeoutError as exc:
        raise _unreachable(volume, f"no connection within {connect_timeout:g} s") from exc
    except OSError as exc:
        raise _unreachable(volume, exc.strerror or str(exc)) from exc
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            _Exchange(connection, volume, initiator, time.monotonic() + login_timeout).run()
        except TimeoutError as exc:
            reason = f"it took the connection but no answer came within {login_timeout:g} s"
            raise _unreachable(volume, reason) from exc
        except OSError as exc:
            raise _unreachable(volume, f"the connection broke during the login ({exc})") from exc


def _unreachable(volume: IscsiVolume, reason: str) -> errors.PortalUnreachable:
    return errors.PortalUnreachable(portal=volume.portal, iqn=volume.iqn, reason=reason)


class _Exchange:
    """One login on one connection, up to the end of the security stage."""

    def __init__(self, connection: socket.socket, volume: IscsiVolume, initiator: str, deadline: float) -> None:
        self._connection = connection
        self._volume = volume
        self._initiator = initiator
        self._deadline = deadline
        self._isid = b"\x80" + secrets.token_bytes(5)  # 0x80: a random identifier
        self._next_status = 0

    def run(self) -> None:
        volume = self._volume
        names = {"InitiatorName": self._initiator, "SessionType": "Normal", "TargetName": volume.iqn}
        if volume.user is None:
            self._ask({**names, "AuthMethod": "None"}, _TRANSIT_TO_OPERATIONAL)
            return
        answer = self._ask({**names, "AuthMethod": "CHAP,None"}, _STAY_IN_SECURITY)
        if answer.get("AuthMethod") == "None":
            return
        if answer.get("AuthMethod") != "CHAP":
            raise self._refused(f"it offers no CHAP (AuthMethod {answer.get('AuthMethod', 'missing')})")
        challenge = self._ask({"CHAP_A": _CHAP_MD5}, _STAY_IN_SECURITY)
        response = self._chap_response(challenge)
        self._ask({"CHAP_N": volume.user, "CHAP_R": response}, _TRANSIT_TO_OPERATIONAL)

    def _chap_response(self, challenge: dict[str, str]) -> str:
        """MD5 over identifier, secret and challenge: the protocol's choice, and the only one that tgt offers."""
        try:
            identifier = bytes([int(challenge["CHAP_I"], 0)])
            value = _binary(challenge["CHAP_C"])
        except (KeyError, ValueError) as exc:
            raise self._refused("its CHAP challenge cannot be read") from exc
        secret = (self._volume.password or "").encode()
        digest = hashlib.md5(identifier + secret + value)  # noqa: S324 - CHAP algorithm 5 is MD5 by definition
        return "0x" + digest.hexdigest()

    def _ask(self, keys: dict[str, str], flags: int) -> dict[str, str]:
        """Send one login request, return the keys of the answer."""
        data = b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())
        header = _HEADER.pack(
            _LOGIN_REQUEST,
            flags,
            0,
            0,
            0,
            len(data).to_bytes(3, "big"),
            self._isid,
            0,
            1,
            0,
            0,
            1,
            self._next_status,
        )
        self._connection.settimeout(self._left())
        self._connection.sendall(header + data + b"\0" * (-len(data) % 4))
        answer = self._receive(_HEADER_BYTES)
        length = int.from_bytes(answer[5:8], "big")
        if answer[0] & 0x3F != _LOGIN_RESPONSE or length > _MAX_ANSWER:
            raise _unreachable(self._volume, "what answers there is not an iSCSI target")
        text = self._receive(length + -length % 4)[:length]
        self._next_status = (int.from_bytes(answer[24:28], "big") + 1) & 0xFFFFFFFF
        status = int.from_bytes(answer[36:38], "big")
        if status >= 0x0200:  # class 1 is a redirection, which QEMU follows by itself
            raise self._refused(_REASONS.get(status, f"login status 0x{status:04x}"))
        pairs = (part.split("=", 1) for part in text.decode("utf-8", "replace").split("\0") if "=" in part)
        return {key: value for key, value in pairs}

    def _receive(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            self._connection.settimeout(self._left())
            chunk = self._connection.recv(count - len(received))
            if not chunk:
                raise ConnectionResetError("the portal closed it")
            received += chunk
        return bytes(received)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _refused(self, reason: str) -> errors.LoginRefused:
        volume = self._volume
        return errors.LoginRefused(portal=volume.portal, iqn=volume.iqn, initiator=self._initiator, reason=reason)


def _binary(text: str) -> bytes:
    """A large binary value of a login key: 0x and hexadecimal digits, or 0b and base64."""
    if text[:2].lower() == "0x":
        digits = text[2:]
        return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
    if text[:2].lower() == "0b":
        return base64.b64decode(text[2:], validate=True)
    raise ValueError(f"not a binary value: {text[:4]}")
