"""The host's own initiator against real LIO targets: os-brick, iscsid and udev, nothing replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from os_brick import privileged
from os_brick.privileged import rootwrap

from nova_lite.virt import errors
from nova_lite.volume import brick_connector
from nova_lite.volume.brick_connector import BrickConnector
from nova_lite.volume.sysfs import Sysfs
from tests.kernel import initiator_world as world
from tests.kernel.initiator_world import MIB, Target


@pytest.fixture(scope="module", autouse=True)
def as_root() -> None:
    """The privileged functions run in this process, as in a daemon that is root."""
    privileged.default.set_client_mode(False)


@pytest.fixture
def settings(tmp_path: Path) -> brick_connector.Settings:
    return brick_connector.Settings(
        my_ip="127.0.0.1", host="kernel", lock_path=str(tmp_path / "locks"), scan_attempts=1
    )


@pytest.fixture
def connector(settings: brick_connector.Settings) -> BrickConnector:
    made = BrickConnector(settings)
    made.init_host()
    return made


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    world.assert_nothing_left()
    with world.target(tmp_path) as made:
        yield made


def test_a_volume_comes_and_goes(connector: BrickConnector, target: Target) -> None:
    before = target.info()
    connected = connector.connect_volume(before)
    assert connected == {**before, "data": {**before["data"], "device_path": target.by_path()}}
    device = connected["data"]["device_path"]
    assert Path(device).is_block_device()
    assert Sysfs().size(device) == 64 * MIB
    assert [target.iqn in line for line in world.sessions()] == [True]
    data = random.randbytes(MIB)
    descriptor = os.open(device, os.O_WRONLY)
    os.pwrite(descriptor, data, 8 * MIB)  # in the host's buffers only, when the volume is disconnected
    os.close(descriptor)
    connector.disconnect_volume(connected)
    world.assert_nothing_left()
    assert target.image.read_bytes()[8 * MIB : 9 * MIB] == data


def test_twice_is_as_once_and_disturbs_nobody(connector: BrickConnector, target: Target) -> None:
    connected = connector.connect_volume(target.info())
    number = world.session_number(target.iqn)
    with open(connected["data"]["device_path"], "rb") as in_use:
        assert connector.connect_volume(target.info()) == connected
        assert world.session_number(target.iqn) == number
        assert in_use.read(512) == b"\0" * 512
    connector.disconnect_volume(connected)
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_what_the_storage_service_is_told(connector: BrickConnector) -> None:
    told = connector.properties("/dev/vdb")
    assert told["initiator"] == world.initiator_name()
    assert (told["ip"], told["host"], told["multipath"], told["mountpoint"]) == (
        "127.0.0.1",
        "kernel",
        False,
        "/dev/vdb",
    )


def test_the_node_record_does_not_log_in_at_boot(connector: BrickConnector, target: Target) -> None:
    connected = connector.connect_volume(target.info())
    record = world.run("iscsiadm", "-m", "node", "-T", target.iqn)
    assert "node.startup = manual" in record
    assert "node.session.timeo.replacement_timeout = 300" in record
    assert "node.session.auth.username = chapuser" in record
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


@pytest.mark.parametrize("wrong", [{"auth_password": "wrongwrongwrong"}, {"auth_username": "nobody"}])
def test_a_wrong_chap_secret(connector: BrickConnector, target: Target, wrong: dict[str, str]) -> None:
    with pytest.raises(errors.LoginRefused, match="CHAP"):
        connector.connect_volume(target.info(**wrong))
    world.assert_nothing_left()


def test_another_initiators_acl(connector: BrickConnector, tmp_path: Path) -> None:
    with world.target(tmp_path, initiator="iqn.1993-08.org.debian:01:somebodyelse") as other:
        with pytest.raises(errors.LoginRefused, match=world.initiator_name()):
            connector.connect_volume(other.info())
        world.assert_nothing_left()


@pytest.mark.parametrize("wrong", [{"auth_password": "wrongwrongwrong"}])
def test_a_refusal_that_only_the_login_meets(
    connector: BrickConnector, target: Target, wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check before the login passed, and then the secret was changed."""
    monkeypatch.setattr(BrickConnector, "_ask", lambda self, volume: None)
    with pytest.raises(errors.LoginRefused, match="authorization"):
        connector.connect_volume(target.info(**wrong))
    world.assert_nothing_left()


def test_a_closed_portal(connector: BrickConnector, target: Target) -> None:
    started = time.monotonic()
    with pytest.raises(errors.PortalUnreachable, match="refused"):
        connector.connect_volume(target.info(target_portal="127.0.0.1:3999"))
    assert time.monotonic() - started < 10
    world.assert_nothing_left()


def test_a_portal_that_swallows_what_is_sent(connector: BrickConnector, target: Target) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        with pytest.raises(errors.PortalUnreachable, match="no answer"):
            connector.connect_volume(target.info(target_portal=f"127.0.0.1:{deaf.getsockname()[1]}"))
        assert time.monotonic() - started < 15
    world.assert_nothing_left()


def test_a_portal_that_dies_between_check_and_login(
    connector: BrickConnector, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BrickConnector, "_ask", lambda self, volume: None)
    target.close()
    started = time.monotonic()
    with pytest.raises(errors.PortalUnreachable):
        connector.connect_volume(target.info())
    assert time.monotonic() - started < 60
    world.assert_nothing_left()


def test_a_target_without_the_lun(connector: BrickConnector, tmp_path: Path) -> None:
    with world.target(tmp_path, lun=False) as empty:
        with pytest.raises(errors.DeviceMissing, match="LUN 0"):
            connector.connect_volume(empty.info())
        world.assert_nothing_left()


def test_udev_that_makes_no_link(settings: brick_connector.Settings, target: Target) -> None:
    connector = BrickConnector(dataclasses.replace(settings, device_timeout=1.0))
    world.run("udevadm", "control", "--stop-exec-queue")
    try:
        with pytest.raises(errors.DeviceMissing, match="udev"):
            connector.connect_volume(target.info())
    finally:
        world.run("udevadm", "control", "--start-exec-queue")
    world.run("udevadm", "settle", "--timeout=30")
    world.assert_nothing_left()


def test_iscsid_that_cannot_run(connector: BrickConnector, target: Target) -> None:
    units = ("iscsid.socket", "iscsid.service")
    world.run("systemctl", "stop", *units)
    world.run("systemctl", "mask", "--runtime", *units)
    try:
        with pytest.raises(errors.InitiatorUnfit, match="systemctl start iscsid"):
            connector.connect_volume(target.info())
        assert world.nodes() == []
    finally:
        world.run("systemctl", "unmask", "--runtime", *units)
        world.run("systemctl", "start", "iscsid.socket")
    connected = connector.connect_volume(target.info())
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_records_that_a_crash_left(connector: BrickConnector, target: Target) -> None:
    """An old secret for the portal, and a portal that the target has no more."""
    for portal in (target.portals[0], "127.0.0.2:3271"):
        record = ("iscsiadm", "-m", "node", "-T", target.iqn, "-p", portal)
        world.run(*record, "--op", "new")
        for name, value in (("authmethod", "CHAP"), ("username", "old"), ("password", "oldoldoldoldold")):
            world.run(*record, "--op", "update", "-n", f"node.session.auth.{name}", "-v", value)
        world.run(*record, "--op", "update", "-n", "node.startup", "-v", "automatic")
    connected = connector.connect_volume(target.info())
    assert len(world.sessions()) == 1
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_records_are_deleted_without_a_session(connector: BrickConnector, target: Target) -> None:
    """As after a reboot of the host: the sessions are gone, the records are not."""
    connected = connector.connect_volume(target.info())
    world.run("iscsiadm", "-m", "node", "-T", target.iqn, "--logout")
    assert len(world.nodes()) == 1
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_a_host_without_a_name(settings: brick_connector.Settings) -> None:
    path = Path("/etc/iscsi/initiatorname.iscsi")
    text = path.read_text()
    try:
        for content in ("", "## nothing\n", "GenerateName=yes\n"):
            path.write_text(content)
            with pytest.raises(errors.InitiatorUnfit, match="iscsi-iname"):
                BrickConnector(settings).init_host()
        path.unlink()
        with pytest.raises(errors.InitiatorUnfit, match=str(path)):
            BrickConnector(settings).properties()
    finally:
        path.write_text(text)
        path.chmod(0o600)


def test_a_device_that_something_holds(connector: BrickConnector, target: Target) -> None:
    connected = connector.connect_volume(target.info())
    device = connected["data"]["device_path"]
    world.run("dmsetup", "create", "holder", "--table", f"0 2048 linear {device} 0")
    try:
        with pytest.raises(errors.DeviceInUse, match="dm-"):
            connector.connect_volume(target.info())
        with pytest.raises(errors.DisconnectFailed, match="dm-"):
            connector.disconnect_volume(connected)
        assert len(world.sessions()) == 1
    finally:
        world.run("dmsetup", "remove", "--retry", "holder")
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_a_device_that_the_host_swaps_to(connector: BrickConnector, target: Target) -> None:
    connected = connector.connect_volume(target.info())
    device = connected["data"]["device_path"]
    world.run("mkswap", device)
    world.run("swapon", device)
    try:
        with pytest.raises(errors.DeviceInUse, match="swap on /dev/sd"):
            connector.connect_volume(target.info())
    finally:
        world.run("swapoff", device)
    connector.disconnect_volume(connected)
    world.assert_nothing_left()


def test_a_lost_session(connector: BrickConnector, target: Target) -> None:
    """The portal went away under a connected volume: nothing is flushed, so only force disconnects it."""
    connected = connector.connect_volume(target.info())
    _lose(target)
    with pytest.raises(errors.DisconnectFailed, match="lost"):
        connector.disconnect_volume(connected)
    with pytest.raises(errors.PortalUnreachable):
        connector.connect_volume(target.info())
    assert len(world.sessions()) == 1
    started = time.monotonic()
    connector.disconnect_volume(connected, force=True)
    assert time.monotonic() - started < 60
    world.assert_nothing_left()


def test_a_session_that_comes_back(connector: BrickConnector, target: Target) -> None:
    connected = connector.connect_volume(target.info())
    number = world.session_number(target.iqn)
    _lose(target)
    target.tpg.enable = True
    target.open()
    again = connector.connect_volume(target.info())
    assert again == connected
    with open(again["data"]["device_path"], "rb") as device:
        assert device.read(512) == b"\0" * 512
    assert number  # kept or made anew, whichever iscsid managed
    connector.disconnect_volume(again)
    world.assert_nothing_left()


def _lose(target: Target) -> None:
    target.close()
    target.tpg.enable = False
    deadline = time.monotonic() + 60
    while any(one.healthy for one in Sysfs().sessions(target.iqn)):
        assert time.monotonic() < deadline, "the session is still up"
        time.sleep(0.2)


def test_many_at_once(connector: BrickConnector, tmp_path: Path) -> None:
    """Four volumes, each connected and disconnected five times, all beside each other."""
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(world.target(tmp_path)) for _ in range(4)]
        seen: set[str] = set()
        lock = threading.Lock()

        def again_and_again(target: Target) -> None:
            for _ in range(5):
                connected = connector.connect_volume(target.info())
                device = os.path.realpath(connected["data"]["device_path"])
                with lock:
                    assert device not in seen, "two volumes have one device"
                    seen.add(device)
                assert world.run("lsblk", "-dno", "SIZE", device).strip() == "64M"
                with lock:
                    seen.discard(device)
                connector.disconnect_volume(connected)

        with futures.ThreadPoolExecutor(len(targets)) as pool:
            for done in [pool.submit(again_and_again, target) for target in targets]:
                done.result(280)
        world.assert_nothing_left()


def test_a_grown_volume(connector: BrickConnector, target: Target) -> None:
    connected = connector.connect_volume(target.info())
    target.grow(96 * MIB)
    assert connector.extend_volume(connected) == 96 * MIB
    assert Sysfs().size(connected["data"]["device_path"]) == 96 * MIB
    connector.disconnect_volume(connected)
    with pytest.raises(errors.DeviceMissing, match="no session"):
        connector.extend_volume(connected)
    world.assert_nothing_left()


def test_the_second_portal_is_taken_when_the_first_is_dead(connector: BrickConnector, tmp_path: Path) -> None:
    portals = [f"127.0.0.1:{world.PORT}", f"127.0.0.2:{world.PORT}"]
    with world.target(tmp_path, portals=portals) as both:
        next(iter(both.tpg.network_portals)).delete()
        open_now = [f"{one.ip_address}:{one.port}" for one in both.tpg.network_portals]
        connected = connector.connect_volume(both.info())
        device = connected["data"]["device_path"]
        assert device == both.by_path(portals.index(open_now[0]))
        connector.disconnect_volume(connected)
        world.assert_nothing_left()


@pytest.fixture
def multipathd() -> Iterator[None]:
    world.run("systemctl", "start", "multipathd.socket", "multipathd.service")
    yield
    world.run("systemctl", "stop", "multipathd.socket", "multipathd.service")


def test_two_portals_make_one_multipath_device(
    settings: brick_connector.Settings, multipathd: None, tmp_path: Path
) -> None:
    connector = BrickConnector(dataclasses.replace(settings, multipath=True, enforce_multipath=True))
    connector.init_host()
    assert connector.properties()["multipath"] is True
    with world.target(tmp_path, portals=[f"127.0.0.1:{world.PORT}", f"127.0.0.2:{world.PORT}"]) as both:
        connected = connector.connect_volume(both.info(enforce_multipath=True))
        device = connected["data"]["device_path"]
        assert device == f"/dev/disk/by-id/dm-uuid-mpath-{connected['data']['multipath_id']}"
        assert len(world.sessions()) == 2
        assert len(list(Path(f"/sys/class/block/{os.path.basename(os.path.realpath(device))}/slaves").iterdir())) == 2
        assert connector.connect_volume(both.info(enforce_multipath=True)) == connected
        both.grow(96 * MIB)
        assert connector.extend_volume(connected) == 96 * MIB
        assert Sysfs().size(device) == 96 * MIB
        data = random.randbytes(MIB)
        descriptor = os.open(device, os.O_WRONLY)
        os.pwrite(descriptor, data, 0)
        os.close(descriptor)
        connector.disconnect_volume(connected)
        world.assert_nothing_left()
        assert both.image.read_bytes()[:MIB] == data


def test_an_ipv6_portal(connector: BrickConnector, tmp_path: Path) -> None:
    with world.target(tmp_path, portals=[f"[::1]:{world.PORT}"]) as made:
        connected = connector.connect_volume(made.info())
        assert connected["data"]["device_path"] == f"/dev/disk/by-path/ip-::1:{world.PORT}-iscsi-{made.iqn}-lun-0"
        assert connector.connect_volume(made.info()) == connected
        connector.disconnect_volume(connected)
        world.assert_nothing_left()


def test_the_password_is_in_no_command_line(settings: brick_connector.Settings, target: Target) -> None:
    lines: list[str] = []

    def run(*command: str, **options: Any) -> tuple[str, str]:
        lines.append(" ".join(command))
        return rootwrap.execute(*command, **options)

    connector = BrickConnector(settings, run)
    connected = connector.connect_volume(target.info())
    assert any("--login" in line for line in lines)
    assert not any(world.PASSWORD in line for line in lines)
    connector.disconnect_volume(connected)
    assert len([line for line in lines if line.startswith("iscsiadm")]) == 4  # new, login, logout, delete
    world.assert_nothing_left()
