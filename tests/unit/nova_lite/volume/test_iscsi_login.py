"""The login check against a portal of our own, which answers from a script."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nova_lite.virt import errors
from nova_lite.volume import connection_info, iscsi_login
from tests.unit.nova_lite.virt import samples

INITIATOR = "iqn.2010-10.org.openstack:nova-lite-test"
VOLUME = "5b1f0000-0000-4000-8000-000000000001"
CHALLENGE = bytes(range(16))
Keys = dict[str, str]


def receive(peer: socket.socket) -> Keys:
    """One login request's keys; an empty dictionary when the peer has gone."""
    header = peer.recv(48, socket.MSG_WAITALL)
    if len(header) < 48:
        return {}
    assert header[0] == 0x43
    length = int.from_bytes(header[5:8], "big")
    data = peer.recv(length + -length % 4, socket.MSG_WAITALL)[:length]
    return dict(part.split("=", 1) for part in data.decode().split("\0") if part)


def send(peer: socket.socket, keys: Keys, status: int = 0, opcode: int = 0x23) -> None:
    data = b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())
    header = bytearray(48)
    header[0] = opcode
    header[5:8] = len(data).to_bytes(3, "big")
    header[36:38] = status.to_bytes(2, "big")
    peer.sendall(bytes(header) + data + b"\0" * (-len(data) % 4))


@contextlib.contextmanager
def portal(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A portal that serves one connection; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(5)
                    serve(peer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.close()
        thread.join(6)
        assert not thread.is_alive()


def chap(seen: list[Keys], encode: Callable[[bytes], str] = lambda value: "0x" + value.hex()) -> Callable[..., None]:
    """A target with CHAP that checks the response as the standard says."""

    def serve(peer: socket.socket) -> None:
        seen.append(receive(peer))
        send(peer, {"AuthMethod": "CHAP"})
        seen.append(receive(peer))
        send(peer, {"CHAP_A": "5", "CHAP_I": "42", "CHAP_C": encode(CHALLENGE)})
        seen.append(receive(peer))
        right = hashlib.md5(bytes([42]) + samples.PASSWORD.encode() + CHALLENGE).hexdigest()
        send(peer, {}, 0 if seen[-1].get("CHAP_R") == f"0x{right}" else 0x0201)

    return serve


def check(address: str, connect: float = 2.0, login: float = 2.0, **data: object) -> None:
    info = samples.connection_info(VOLUME, target_portal=address, **data)
    iscsi_login.check(connection_info.iscsi(info), INITIATOR, connect, login)


def test_the_right_password_is_let_in_and_never_sent() -> None:
    seen: list[Keys] = []
    with portal(chap(seen)) as address:
        check(address)
    assert seen[0]["TargetName"] == f"iqn.2010-10.org.openstack:volume-{VOLUME}"
    assert seen[0]["InitiatorName"] == INITIATOR
    assert seen[2]["CHAP_N"] == "chapuser"
    assert samples.PASSWORD not in str(seen)


def test_a_challenge_in_base64() -> None:
    with portal(chap([], lambda value: "0b" + base64.b64encode(value).decode())) as address:
        check(address)


def test_a_wrong_password_is_refused_with_what_to_do() -> None:
    with portal(chap([])) as address, pytest.raises(errors.LoginRefused) as refused:
        check(address, auth_password="wrong")
    for part in (address, INITIATOR, f"volume-{VOLUME}", "CHAP user or password is wrong", "Check that"):
        assert part in str(refused.value)
    assert samples.PASSWORD not in str(refused.value)


def test_a_target_without_chap_is_asked_for_none() -> None:
    seen: list[Keys] = []

    def serve(peer: socket.socket) -> None:
        seen.append(receive(peer))
        send(peer, {"AuthMethod": "None"})

    with portal(serve) as address:
        check(address, auth_method=None)
    assert seen[0]["AuthMethod"] == "None"


@pytest.mark.parametrize(
    ("status", "text"),
    [(0x0203, "no such target"), (0x0202, "access list"), (0x0301, "out of service"), (0x02FF, "0x02ff")],
)
def test_a_target_that_says_no(status: int, text: str) -> None:
    with portal(lambda peer: (receive(peer), send(peer, {}, status))) as address:
        with pytest.raises(errors.LoginRefused, match=text):
            check(address)


def test_an_unreadable_challenge() -> None:
    def serve(peer: socket.socket) -> None:
        receive(peer)
        send(peer, {"AuthMethod": "CHAP"})
        receive(peer)
        send(peer, {"CHAP_A": "5", "CHAP_I": "999", "CHAP_C": "0xzz"})

    with portal(serve) as address, pytest.raises(errors.LoginRefused, match="challenge cannot be read"):
        check(address)


def test_something_else_answers() -> None:
    with portal(lambda peer: (receive(peer), peer.sendall(b"HTTP/1.1 400 Bad Request\r\n" + b" " * 40))) as address:
        with pytest.raises(errors.PortalUnreachable, match="not an iSCSI target"):
            check(address)


def test_the_portal_hangs_up() -> None:
    with portal(receive) as address, pytest.raises(errors.PortalUnreachable, match="broke during the login"):
        check(address)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(errors.PortalUnreachable, match="refused"):
        check(f"127.0.0.1:{port}")


def test_a_portal_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = time.monotonic()
        with pytest.raises(errors.PortalUnreachable, match=r"no answer came within 0\.2 s"):
            check(f"127.0.0.1:{listener.getsockname()[1]}", login=0.2)
        assert time.monotonic() - before < 1


def test_a_portal_that_swallows_connections_is_given_up_in_time() -> None:
    """A listener whose queue is full drops what asks for more, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.05)
        before = time.monotonic()
        with pytest.raises(errors.PortalUnreachable, match=r"no connection within 0\.2 s"):
            check(f"127.0.0.1:{address[1]}", connect=0.2)
        assert time.monotonic() - before < 1


@pytest.mark.parametrize(
    ("portal_text", "host", "port"),
    [
        ("10.0.0.4:3261", "10.0.0.4", 3261),
        ("10.0.0.4", "10.0.0.4", 3260),
        ("[fd00::4]:3261", "fd00::4", 3261),
        ("[fd00::4]", "fd00::4", 3260),
    ],
)
def test_portals(portal_text: str, host: str, port: int) -> None:
    volume = connection_info.iscsi(samples.connection_info(VOLUME, target_portal=portal_text))
    assert (volume.host, volume.port) == (host, port)


@pytest.mark.parametrize("portal_text", ["", "fd00::4", "host:iscsi", "[fd00::4", ":3260"])
def test_portals_that_are_none(portal_text: str) -> None:
    with pytest.raises(errors.UnsupportedVolume, match="not an address"):
        connection_info.iscsi(samples.connection_info(VOLUME, target_portal=portal_text))


@pytest.mark.parametrize("missing", ["target_portal", "target_iqn", "target_lun", "auth_username", "auth_password"])
def test_information_that_lacks_something(missing: str) -> None:
    with pytest.raises(errors.UnsupportedVolume, match=missing):
        connection_info.iscsi(samples.connection_info(VOLUME, **{missing: None}))


def test_another_protocol() -> None:
    info = {**samples.connection_info(VOLUME), "driver_volume_type": "rbd"}
    with pytest.raises(errors.UnsupportedVolume, match="'rbd'"):
        connection_info.iscsi(info)


def test_a_volume_does_not_show_its_password() -> None:
    assert samples.PASSWORD not in repr(connection_info.iscsi(samples.connection_info(VOLUME)))
