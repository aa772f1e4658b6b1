"""What stands around os-brick: which paths it gets, what is undone, which words an operator reads."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from nova_lite.virt import errors
from nova_lite.volume import brick_connector, connection_info, iscsi_login
from nova_lite.volume.brick_connector import BrickConnector, Settings
from nova_lite.volume.connection_info import IscsiVolume
from nova_lite.volume.sysfs import Sysfs
from tests.unit.nova_lite.virt import samples
from tests.unit.nova_lite.volume.contract import OTHER, VOLUME, ConnectorContract
from tests.unit.nova_lite.volume.machine import Brick, Machine

IQN = f"iqn.2010-10.org.openstack:volume-{VOLUME}"
PORTAL = "127.0.0.1:3260"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    limits: dict[str, Any] = {"device_timeout": 0.1, "recovery_timeout": 0.1}
    return Settings(my_ip="10.0.0.5", host="c1", lock_path=str(tmp_path / "locks"), **limits)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Portals that were asked whether they let us in; they do."""
    portals: list[str] = []
    monkeypatch.setattr(iscsi_login, "check", lambda volume, *rest: portals.append(volume.portal))
    monkeypatch.setattr(brick_connector.shutil, "which", lambda *args, **kwargs: "/sbin/iscsiadm")
    return portals


@pytest.fixture
def subject(machine: Machine, settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> BrickConnector:
    return make(machine, settings, monkeypatch)


def make(machine: Machine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> BrickConnector:
    made = BrickConnector(settings, machine.run, Sysfs(str(machine.root)))
    monkeypatch.setattr(made, "_brick", lambda commands: Brick(machine, commands))
    return made


class TestContract(ConnectorContract):
    @pytest.fixture
    def subject(
        self, machine: Machine, settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> BrickConnector:
        return make(machine, settings, monkeypatch)


def test_a_connected_volume_has_its_by_path_link(subject: BrickConnector, machine: Machine, asked: list[str]) -> None:
    connected = subject.connect_volume(samples.connection_info(VOLUME))
    assert connected["data"]["device_path"] == f"/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-{IQN}-lun-1"
    assert asked == [PORTAL]
    subject.connect_volume(samples.connection_info(VOLUME))
    assert asked == [PORTAL]  # a portal in use is not asked: the guest needs it to be there, not to answer now
    subject.disconnect_volume(connected)
    assert machine.session(IQN, PORTAL) is None


def test_the_values_of_a_node_are_written_at_once_before_the_login(subject: BrickConnector, machine: Machine) -> None:
    subject.connect_volume(samples.connection_info(VOLUME))
    update, login = (command for command in machine.commands if command[0] == "iscsiadm")
    assert update[7:9] == ("--op", "update")
    pairs = dict(zip(update[10::4], update[12::4], strict=True))
    assert pairs == {
        "node.session.initial_login_retry_max": "1",
        "node.conn[0].timeo.login_timeout": "10",
        "node.session.timeo.replacement_timeout": "300",
        "node.session.auth.password": samples.PASSWORD,
    }
    assert login[-1] == "--login"


@pytest.mark.parametrize(
    ("code", "words", "error", "said"),
    [
        (8, "iscsiadm: timed out", errors.PortalUnreachable, "no login within 10 s"),
        (12, "iscsiadm: transport", errors.InitiatorUnfit, "modprobe iscsi_tcp"),
        (20, "iscsiadm: can not connect to iSCSI daemon", errors.InitiatorUnfit, "systemctl start iscsid"),
        (24, "iscsiadm: authorization failure", errors.LoginRefused, "authorization failure"),
    ],
)
def test_a_login_that_fails(
    subject: BrickConnector, machine: Machine, code: int, words: str, error: type[Exception], said: str
) -> None:
    machine.fail["--login"] = (code, words)
    with pytest.raises(error, match=said):
        subject.connect_volume(samples.connection_info(VOLUME))
    assert machine.commands[-1][3:] == ("-T", IQN, "--op", "delete")


def test_nothing_of_a_session_that_was_there_is_undone(subject: BrickConnector, machine: Machine) -> None:
    connected = subject.connect_volume(samples.connection_info(VOLUME))
    (machine.root / "sys/class/block/sdb/holders/dm-7").mkdir()
    machine.commands.clear()
    with pytest.raises(errors.DeviceInUse, match="the device dm-7"):
        subject.connect_volume(samples.connection_info(VOLUME))
    with pytest.raises(errors.DisconnectFailed, match="the device dm-7"):
        subject.disconnect_volume(connected)
    assert machine.session(IQN, PORTAL) is not None
    assert machine.commands == []


def test_what_a_host_may_use_a_device_for(subject: BrickConnector, machine: Machine) -> None:
    subject.connect_volume(samples.connection_info(VOLUME))
    block = machine.root / "sys/class/block/sdb"
    (block / "sdb1/holders").mkdir(parents=True)
    (block / "sdb1/partition").write_text("1\n")
    (block / "sdb1/dev").write_text("8:17\n")
    (machine.root / "proc/self").mkdir(parents=True)
    (machine.root / "proc/self/mountinfo").write_text("36 35 8:17 / /mnt rw - ext4 /dev/sdb1 rw\n")
    (machine.root / "proc/swaps").write_text("Filename Type\n/dev/sdb partition\n")
    with pytest.raises(errors.DeviceInUse, match="the mount /mnt, swap on /dev/sdb"):
        subject.connect_volume(samples.connection_info(VOLUME))


def test_a_flush_that_fails_keeps_the_volume_unless_forced(subject: BrickConnector, machine: Machine) -> None:
    connected = subject.connect_volume(samples.connection_info(VOLUME))
    machine.fail["flush"] = (1, "")
    with pytest.raises(errors.DisconnectFailed, match="Flushing failed"):
        subject.disconnect_volume(connected)
    assert machine.session(IQN, PORTAL) is not None
    subject.disconnect_volume(connected, force=True)
    assert machine.session(IQN, PORTAL) is None


def test_a_lost_session_is_ended_by_force_only(subject: BrickConnector, machine: Machine) -> None:
    connected = subject.connect_volume(samples.connection_info(VOLUME))
    machine.state(IQN, PORTAL, "FAILED")
    with pytest.raises(errors.DisconnectFailed, match="lost"):
        subject.disconnect_volume(connected)
    subject.disconnect_volume(connected, force=True)
    assert machine.session(IQN, PORTAL) is None


def test_a_lost_session_that_the_kernel_has_given_up_needs_no_force(subject: BrickConnector, machine: Machine) -> None:
    """What was not written is lost by then, and a detach that waits for ever helps nobody."""
    connected = subject.connect_volume(samples.connection_info(VOLUME))
    machine.state(IQN, PORTAL, "FAILED")
    (machine.root / "sys/block/sdb/device/state").write_text("transport-offline\n")
    subject.disconnect_volume(connected)
    assert machine.session(IQN, PORTAL) is None


def test_volumes_that_share_a_target_leave_each_other_alone(
    subject: BrickConnector, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = subject.connect_volume(samples.connection_info(VOLUME))
    other = samples.connection_info(OTHER, target_iqn=IQN, target_lun=2)
    second = subject.connect_volume(other)
    assert first["data"]["device_path"] != second["data"]["device_path"]
    subject.disconnect_volume(second)
    assert subject.connect_volume(samples.connection_info(VOLUME)) == first
    # A connect that fails takes its own disk away and not the session.
    monkeypatch.setattr(subject, "_refuse_used", fail)
    with pytest.raises(errors.DeviceInUse):
        subject.connect_volume(other)
    session = machine.session(IQN, PORTAL)
    assert session is not None
    assert [one.parents[1].name for one in session.glob("device/target*/*/block/*")] == ["6:0:0:1"]


def fail(*args: object) -> None:
    raise errors.DeviceInUse(volume=OTHER, device="d", users="u", advice="a")


def test_a_lost_session_is_made_anew_when_its_portal_answers(
    subject: BrickConnector, machine: Machine, asked: list[str]
) -> None:
    subject.connect_volume(samples.connection_info(VOLUME))
    machine.state(IQN, PORTAL, "FAILED")
    subject.connect_volume(samples.connection_info(VOLUME))
    assert asked == [PORTAL, PORTAL]
    found = machine.session(IQN, PORTAL)
    assert found is not None
    assert (found / "state").read_text().strip() == "LOGGED_IN"


def test_the_first_portal_that_lets_us_in_is_taken(
    subject: BrickConnector, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = errors.PortalUnreachable(portal=PORTAL, iqn=IQN, reason="connection refused")

    def check(volume: IscsiVolume, *rest: object) -> None:
        if volume.portal == PORTAL:
            raise dead

    monkeypatch.setattr(iscsi_login, "check", check)
    info = samples.connection_info(VOLUME, target_portals=[PORTAL, "[fd00::4]:3260"])
    connected = subject.connect_volume(info)
    assert connected["data"]["device_path"] == f"/dev/disk/by-path/ip-fd00::4:3260-iscsi-{IQN}-lun-1"
    monkeypatch.setattr(iscsi_login, "check", lambda *args: None)
    assert subject.connect_volume(info) == connected  # the path in use, not a better one
    monkeypatch.setattr(iscsi_login, "check", check)
    subject.disconnect_volume(connected)
    with pytest.raises(errors.PortalUnreachable, match="refused"):
        subject.connect_volume(samples.connection_info(VOLUME))


def test_without_a_link_of_udev_everything_is_undone(
    subject: BrickConnector, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in = machine.log_in

    def without_link(path: Any) -> str:
        device = log_in(path)
        os.unlink(machine.root / path.by_path[1:])
        return device

    monkeypatch.setattr(machine, "log_in", without_link)
    with pytest.raises(errors.DeviceMissing, match="udev made no link"):
        subject.connect_volume(samples.connection_info(VOLUME))
    assert machine.session(IQN, PORTAL) is None


def test_extending(subject: BrickConnector) -> None:
    connected = subject.connect_volume(samples.connection_info(VOLUME))
    assert subject.extend_volume(connected) == 96 * 2**20
    subject.disconnect_volume(connected)
    with pytest.raises(errors.DeviceMissing, match="no session"):
        subject.extend_volume(connected)


def test_a_host_that_cannot_log_in(
    machine: Machine, settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.names = ""
    with pytest.raises(errors.InitiatorUnfit, match=r"/etc/iscsi/initiatorname.iscsi has no line .*iscsi-iname"):
        make(machine, settings, monkeypatch).init_host()
    (machine.root / "sys/module/iscsi_tcp").rmdir()
    with pytest.raises(errors.InitiatorUnfit, match="no module iscsi_tcp"):
        make(machine, settings, monkeypatch).init_host()
    monkeypatch.setattr(brick_connector.shutil, "which", lambda *args, **kwargs: None)
    with pytest.raises(errors.InitiatorUnfit, match="open-iscsi"):
        make(machine, settings, monkeypatch).init_host()


@pytest.mark.parametrize("enforce", [False, True])
def test_multipath_without_multipathd(
    machine: Machine, settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch, enforce: bool
) -> None:
    machine.fail["status"] = (1, "error")
    wanted = dataclasses.replace(settings, multipath=True, enforce_multipath=enforce)
    subject = make(machine, wanted, monkeypatch)
    if enforce:
        with pytest.raises(errors.InitiatorUnfit, match="Start multipathd"):
            subject.init_host()
        return
    subject.init_host()
    assert subject.properties()["multipath"] is False


def test_the_password_is_in_no_log(subject: BrickConnector, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    machine.fail["--login"] = (24, "iscsiadm: authorization failure")
    with pytest.raises(errors.LoginRefused) as refused:
        subject.connect_volume(samples.connection_info(VOLUME))
    assert samples.PASSWORD not in caplog.text + str(refused.value)


def test_paths_are_read_from_lists_that_match() -> None:
    info = samples.connection_info(VOLUME, target_portals=["127.0.0.1:3260", "10.0.0.9:3261"], target_luns=[1, 300])
    volume = connection_info.iscsi(info)
    assert [(path.portal, path.lun) for path in volume.paths] == [("127.0.0.1:3260", 1), ("10.0.0.9:3261", 300)]
    assert volume.paths[1].by_path.endswith("-lun-0x012c000000000000")
    with pytest.raises(errors.UnsupportedVolume, match="do not match"):
        connection_info.iscsi(samples.connection_info(VOLUME, target_portals=["127.0.0.1:3260"], target_luns=[1, 2]))
