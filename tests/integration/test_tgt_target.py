"""The tgt driver against a real tgtd of its own, seen by QEMU's iSCSI initiator."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite import privileged
from cinder_lite.targets import base, tgt, tgt_control
from lite_common import errors
from tests.fixtures import servers
from tests.unit.cinder_lite.targets import contract

LIMIT = 20.0
PREFIX = "iqn.2010-10.org.openstack:"


class TgtRig(contract.Rig):
    """tgtd and QEMU's tools. Secrets go to QEMU in files, because argv is for all to see."""

    by_host = False

    def __init__(self, directory: Path, server: servers.Tgtd) -> None:
        self.directory = directory
        self.server = server
        self.sessions: dict[str, subprocess.Popen[bytes]] = {}
        self.conf_directory = directory / "targets"
        self.target = self.driver(busy_wait=1.0)

    def driver(self, *, busy_wait: float) -> tgt.TgtTarget:
        made = tgt.TgtTarget(
            PREFIX,
            f"{servers.HOST}:{self.server.port}",
            str(self.conf_directory),
            tgt_control.Control(str(self.server.ipc_socket)),
            busy_wait=busy_wait,
        )
        made.check_for_setup_error()
        return made

    def arguments(self, location: str, auth: base.Auth, initiator: str) -> list[str]:
        where = base.parse_location(location)
        secret = self.directory / f"secret-{auth.username}-{len(os.listdir(self.directory))}"
        secret.write_text(auth.password)
        return [
            "--object",
            f"secret,id=chap,file={secret}",
            "--image-opts",
            f"driver=raw,file.driver=iscsi,file.transport=tcp,file.portal={where.portal},"
            f"file.target={where.iqn},file.lun={where.lun},"
            f"file.user={auth.username},file.password-secret=chap,file.initiator-name={initiator}",
        ]

    def can_login(self, location: str, auth: base.Auth, initiator: str = contract.HOST_B) -> bool:
        command = ["qemu-img", "info", *self.arguments(location, auth, initiator)]
        return subprocess.run(command, capture_output=True, timeout=LIMIT, check=False).returncode == 0

    def hold(self, location: str, auth: base.Auth, initiator: str) -> None:
        command = ["qemu-io", *self.arguments(location, auth, initiator)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.sessions[initiator] = process
        assert "wrote 4096/4096" in self.tell(initiator, "write -P 0x5a 0 4k", "wrote")

    def tell(self, initiator: str, command: str, awaited: str) -> str:
        """Have the session's qemu-io do something; its output up to `awaited`."""
        process = self.sessions[initiator]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(command.encode() + b"\n")
        process.stdin.flush()
        said, end = b"", time.monotonic() + LIMIT
        while awaited.encode() not in said and time.monotonic() < end:
            if select.select([process.stdout], [], [], 0.1)[0]:
                said += os.read(process.stdout.fileno(), 65536)
        return said.decode()

    def let_go(self, location: str, initiator: str) -> None:
        process = self.sessions.pop(initiator)
        process.communicate(b"quit\n", timeout=LIMIT)

    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    def close(self) -> None:
        for process in self.sessions.values():
            process.kill()
            process.communicate(timeout=LIMIT)


@pytest.fixture
def rig() -> Iterator[TgtRig]:
    with servers.private_directory() as directory, servers.Tgtd(directory / "tgtd") as server:
        made = TgtRig(directory, server)
        yield made
        made.close()


class TestTgtTarget(contract.TargetContract):
    """The suite on tgtd."""


def test_the_files_alone_restore_the_exports(rig: TgtRig) -> None:
    """tgt-admin reads what the driver wrote, so a tgtd configured with an include needs no cinder-volume."""
    auth = base.Auth.generate()
    location = rig.target.ensure_export(contract.NAME, rig.volume(contract.NAME), auth)
    rig.restart()
    assert not rig.can_login(location, auth)
    file = rig.conf_directory / f"{contract.NAME}.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    subprocess.run(
        ["tgt-admin", "-c", str(file), "--update", rig.target.iqn(contract.NAME)],
        env=os.environ | rig.server.control_env,
        timeout=LIMIT,
        check=True,
    )
    assert rig.can_login(location, auth)
    before = rig.server.tgtadm("--op", "show", "--mode", "target")
    rig.target.ensure_export(contract.NAME, rig.volume(contract.NAME), auth)
    assert rig.server.tgtadm("--op", "show", "--mode", "target") == before


def test_a_session_survives_a_restart_of_tgtd(rig: TgtRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(contract.NAME)
    location = rig.target.ensure_export(contract.NAME, path, auth)
    rig.hold(location, auth, contract.HOST_A)
    rig.restart()
    assert rig.target.ensure_all([base.Export(contract.NAME, path, auth, location)]) == {contract.NAME: location}
    assert "read 4096/4096" in rig.tell(contract.HOST_A, "read -P 0x5a 0 4k", "read 4096")
    assert "wrote 4096/4096" in rig.tell(contract.HOST_A, "write -P 0x77 8k 4k", "wrote 4096")
    rig.let_go(location, contract.HOST_A)
    assert Path(path).read_bytes()[8192:12288] == b"\x77" * 4096


def test_parts_of_an_export_that_went_missing_come_back_under_its_session(rig: TgtRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(contract.NAME)
    location = rig.target.ensure_export(contract.NAME, path, auth)
    rig.hold(location, auth, contract.HOST_A)
    rig.server.tgtadm("--op", "unbind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL")
    rig.server.tgtadm("--op", "delete", "--mode", "account", "--user", auth.username)
    assert not rig.can_login(location, auth)
    assert rig.target.ensure_export(contract.NAME, path, auth) == location
    assert rig.can_login(location, auth)
    assert [session.initiator for session in rig.target.sessions(contract.NAME)] == [contract.HOST_A]
    rig.let_go(location, contract.HOST_A)


def test_a_foreign_target_keeps_its_number_and_its_life(rig: TgtRig) -> None:
    rig.server.tgtadm("--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2001-01.org.foreign:disk")
    auth = base.Auth.generate()
    wished = str(base.Location(rig.target.portals, "1", rig.target.iqn(contract.NAME), 1))
    location = rig.target.ensure_export(contract.NAME, rig.volume(contract.NAME), auth, wished)
    assert ",2 " in location
    rig.target.remove_export(contract.NAME, wished)
    shown = rig.server.tgtadm("--op", "show", "--mode", "target")
    assert "foreign:disk" in shown
    assert contract.NAME not in shown


def test_a_failed_export_leaves_nothing(rig: TgtRig) -> None:
    with pytest.raises(errors.BackendError, match=r"cannot open .*absent"):
        rig.target.ensure_export(contract.NAME, str(rig.directory / "absent"), base.Auth.generate())
    assert rig.target.exported() == set()
    assert rig.server.tgtadm("--op", "show", "--mode", "target") == ""
    assert rig.server.tgtadm("--op", "show", "--mode", "account") == ""


def test_an_account_left_behind_gets_its_password_again(rig: TgtRig) -> None:
    auth = base.Auth.generate()
    rig.server.tgtadm("--op", "new", "--mode", "account", "--user", auth.username, "--password", "something-old")
    assert rig.can_login(rig.target.ensure_export(contract.NAME, rig.volume(contract.NAME), auth), auth)


def test_a_dead_or_stopped_tgtd_is_named_in_bounded_time(rig: TgtRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(contract.NAME)
    rig.target.control.timeout = 1.0
    os.kill(rig.server.pid, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with pytest.raises(errors.Unavailable, match="tgtd does not answer"):
            rig.target.ensure_export(contract.NAME, path, auth)
    finally:
        os.kill(rig.server.pid, signal.SIGCONT)
    assert time.monotonic() - begun < 5
    rig.server.stop()
    with pytest.raises(errors.Unavailable, match="tgt_control_socket"):
        rig.target.ensure_export(contract.NAME, path, auth)
    assert rig.target.exported() == set()
    rig.server.start()
    assert rig.can_login(rig.target.ensure_export(contract.NAME, path, auth), auth)


def test_being_watched_costs_tgtd_nothing(rig: TgtRig) -> None:
    """Once it has served a session, tgtd keeps a connection that ends without a whole request, and spins on it for
    the rest of its life; a watch must not leave such."""
    auth = base.Auth.generate()
    location = rig.target.ensure_export(contract.NAME, rig.volume(contract.NAME), auth)
    rig.hold(location, auth, contract.HOST_A)
    process = psutil.Process(_process_of(rig.server))
    descriptors = _kept_descriptors(process)
    for _ in range(20):
        rig.target.generation()
        rig.target.check_for_setup_error()
    before = process.cpu_times()
    time.sleep(1.0)
    after = process.cpu_times()
    assert after.user + after.system - before.user - before.system < 0.2
    assert _kept_descriptors(process) == descriptors
    rig.let_go(location, contract.HOST_A)


def _kept_descriptors(process: psutil.Process) -> int:
    """How many it keeps: it closes a connection only some moments after it has answered on it."""
    seen = [process.num_fds()]
    while len(seen) < 5 or len(set(seen[-5:])) > 1:
        assert len(seen) < 100, f"the number of descriptors goes on changing: {seen}"
        time.sleep(0.1)
        seen.append(process.num_fds())
    return seen[-1]


def _process_of(server: servers.Tgtd) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(f"{server.ipc_socket}.0")
        pid, _, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        # A whole request, for the reason that the test above tells.
        sock.sendall(tgt_control._packed(tgt_control.Mode.ACCOUNT, tgt_control.Op.SHOW, None, None, b""))
        assert sock.recv(8)
    return int(pid)


def test_a_daemon_that_gave_up_root_exports_through_its_privileged_half(rig: TgtRig) -> None:
    """Here the half is this process; that it may be another one is tested where the kernel allows it."""
    privileged.sys_admin.set_client_mode(False)
    rig.target.control = tgt_control.PrivilegedControl(str(rig.server.ipc_socket))
    rig.target.check_for_setup_error()
    auth, path = base.Auth.generate(), rig.volume(contract.NAME)
    rig.server.tgtadm("--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2001-01.org.foreign:disk")
    location = rig.export(contract.NAME, auth, path=path)
    assert rig.can_login(location, auth)
    rig.server.tgtadm("--op", "unbind", "--mode", "target", "--tid", "2", "--initiator-address", "ALL")
    assert rig.target.ensure_export(contract.NAME, path, auth, location) == location
    rig.hold(location, auth, contract.HOST_A)
    with pytest.raises(cinder_errors.VolumeIsBusy):
        rig.target.remove_export(contract.NAME, location)
    rig.let_go(location, contract.HOST_A)
    rig.target.remove_export(contract.NAME, location)
    with pytest.raises(errors.BackendError, match="foreign:disk, which is not a volume's"):
        rig.target.control.request(tgt_control.Mode.TARGET, tgt_control.Op.DELETE, tid=1)
    assert "foreign:disk" in rig.server.tgtadm("--op", "show", "--mode", "target")
    before = rig.target.generation()
    rig.restart()
    assert rig.target.generation() != before


def test_a_larger_volume_is_shown_when_nobody_is_logged_in(rig: TgtRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(contract.NAME)
    location = rig.export(contract.NAME, auth, path=path)
    os.truncate(path, 2 << 20)
    rig.hold(location, auth, contract.HOST_A)
    with pytest.raises(cinder_errors.VolumeIsBusy, match=contract.HOST_A):
        rig.target.extend_target(contract.NAME, path)
    rig.let_go(location, contract.HOST_A)
    rig.target.extend_target(contract.NAME, path)
    command = ["qemu-img", "info", *rig.arguments(location, auth, contract.HOST_B)]
    assert "2 MiB" in subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    rig.target.remove_export(contract.NAME, location)
    rig.target.extend_target(contract.NAME, path)


def test_portals_where_tgtd_does_not_listen_are_logged(rig: TgtRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.target.portals = (rig.target.portal, "192.0.2.7:3260")
    rig.target.check_for_setup_error()
    assert [record.getMessage() for record in caplog.records if "does not listen on" in record.getMessage()] == [
        f"tgtd does not listen on 192.0.2.7:3260 itself (but on {rig.target.portal}); hosts reach it only if something "
        "leads there"
    ]
    location = rig.export(contract.NAME, base.Auth.generate())
    assert base.parse_location(location).portals == (rig.target.portal, "192.0.2.7:3260")


def test_something_else_on_the_socket_is_noticed(rig: TgtRig) -> None:
    control = tgt_control.Control(str(rig.directory / "nothing"))
    with pytest.raises(errors.Unavailable, match="nothing"):
        control.check()


def test_the_password_is_in_no_error_and_no_argument(rig: TgtRig) -> None:
    """tgtadm and tgt-admin would show it to `ps`; the control socket does not."""
    auth = base.Auth.generate()
    with pytest.raises(errors.BackendError) as caught:
        rig.target.ensure_export(contract.NAME, str(rig.directory / "absent"), auth)
    assert auth.password not in caught.value.message
    assert "subprocess" not in Path(tgt.__file__).read_text() + Path(tgt_control.__file__).read_text()
