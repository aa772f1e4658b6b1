"""What can be wrong with LIO's ground, and what an operator is told of it; the tool for operators."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.cmd import rtstool
from cinder_lite.privileged import lio_ground, lio_kernel, lio_store
from cinder_lite.targets import base
from lite_common import errors
from tests.kernel import lio_rig
from tests.unit.cinder_lite.targets import contract
from tests.unit.cinder_lite.targets.contract import HOST_A, HOST_B, NAME

IQN = lio_rig.PREFIX + NAME
LIMIT = 120.0


@pytest.fixture(scope="module", autouse=True)
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with lio_rig.ground(tmp_path_factory.mktemp("disks")):
        yield


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[lio_rig.LioRig]:
    made = lio_rig.LioRig(tmp_path)
    yield made
    made.close()


def assert_nothing_is_left() -> None:
    assert lio_kernel.targets() == []
    assert lio_kernel.devices("iqn.") == {}
    assert not lio_rig.SAVED.exists() or NAME not in lio_rig.SAVED.read_text()


# ------------------------------------------------------------------ portals


def test_an_address_that_is_not_here(rig: lio_rig.LioRig) -> None:
    with pytest.raises(errors.BackendError, match=r"no address 192\.0\.2\.7.*target_ip_address"):
        lio_rig.LioRig(rig.directory, portal="192.0.2.7:3260")
    # It was here at the start, and is gone now.
    rig.lio.portals = ("127.0.0.1:3260", "192.0.2.7:3260")
    with pytest.raises(errors.BackendError, match=r"no address 192\.0\.2\.7"):
        rig.target.ensure_export(NAME, rig.volume(NAME), base.Auth.generate(), None, [HOST_A])
    assert_nothing_is_left()


def test_a_port_that_another_program_has(rig: lio_rig.LioRig) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 3271))
        other.listen()
        with pytest.raises(errors.BackendError, match=r"127\.0\.0\.1:3271 is taken by another program.*target_port"):
            lio_rig.LioRig(rig.directory, portal="127.0.0.1:3271")
        rig.lio.portals = ("127.0.0.1:3271",)
        with pytest.raises(errors.BackendError, match="is taken by another program"):
            rig.target.ensure_export(NAME, rig.volume(NAME), base.Auth.generate(), None, [HOST_A])
    assert_nothing_is_left()


def test_a_port_that_a_foreign_target_has(rig: lio_rig.LioRig) -> None:
    foreign = "iqn.2001-01.org.foreign:disk"
    assert rtstool.main(["create", rig.volume(NAME), foreign, "u", "s" * 16, "False", "-a0.0.0.0", "-p3272"]) == 0
    with pytest.raises(errors.BackendError, match=rf"taken by the kernel's target {foreign} on 0\.0\.0\.0:3272"):
        lio_rig.LioRig(rig.directory, portal="127.0.0.1:3272")


# ------------------------------------------------------------------ devices, logins, files


def test_a_device_that_is_in_use(rig: lio_rig.LioRig) -> None:
    path = rig.volume(NAME)
    holder = os.open(path, os.O_RDWR | os.O_EXCL)
    try:
        with pytest.raises(errors.BackendError, match=r"held by another program.*Free it there"):
            rig.target.ensure_export(NAME, path, base.Auth.generate(), None, [HOST_A])
    finally:
        os.close(holder)
    assert_nothing_is_left()


def test_a_device_that_is_gone_or_no_logical_volume(rig: lio_rig.LioRig, tmp_path: Path) -> None:
    auth = base.Auth.generate()
    with pytest.raises(errors.BackendError, match=r"does not exist.*lv_active"):
        rig.target.ensure_export(NAME, f"/dev/{rig.group}/volume-{'0' * 8}-0000-0000-0000-{'0' * 12}", auth)
    link = Path(f"/dev/{rig.group}/volume-0b5f2b0e-9999-4a4a-8f5e-6a2f3c4d5e6f")
    link.symlink_to("/dev/vda")
    try:
        with pytest.raises(errors.BackendError, match="is not a logical volume"):
            rig.target.ensure_export(NAME, str(link), auth)
    finally:
        link.unlink()
    with pytest.raises(errors.BackendError, match="none of the names"):
        rig.target.ensure_export(NAME, "/etc/shadow", auth)
    assert_nothing_is_left()


@pytest.mark.parametrize("secret", ["short", "x" * 11, "x" * 17, "with a blank in it", "NULL-and-nine-more"])
def test_a_secret_that_initiators_cannot_use(rig: lio_rig.LioRig, secret: str) -> None:
    with pytest.raises(errors.BackendError, match="CHAP secret has") as caught:
        rig.target.ensure_export(NAME, rig.volume(NAME), base.Auth("user", secret), None, [HOST_A])
    assert secret not in caught.value.message
    assert_nothing_is_left()


def test_a_full_or_broken_saved_file_costs_nobody_a_grant(rig: lio_rig.LioRig) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    location = rig.target.ensure_export(NAME, path, auth)
    lio_rig.SAVED.write_text('{"targets": [')
    try:
        with pytest.raises(errors.BackendError, match="is not a saved target configuration"):
            rig.target.initialize_connection(NAME, auth, contract.connector(HOST_A))
        assert lio_kernel.initiators(IQN) == set()
        with pytest.raises(errors.BackendError, match="is not a saved target configuration"):
            rig.target.check_for_setup_error()
        rig.target.remove_export(NAME, location)
        assert lio_rig.SAVED.read_text() == '{"targets": ['
    finally:
        lio_rig.SAVED.unlink()
    assert_nothing_is_left()


def test_a_removal_waits_for_a_logout(rig: lio_rig.LioRig) -> None:
    auth = base.Auth.generate()
    location = rig.export(NAME, auth)
    rig.hold(location, auth, HOST_A)
    rig.lio.busy_wait = 20.0
    logout = subprocess.Popen(["sh", "-c", f"sleep 0.5; iscsiadm -m node -T {IQN} --logout"], stdout=subprocess.DEVNULL)
    rig.target.remove_export(NAME, location)
    assert logout.wait(LIMIT) == 0
    assert_nothing_is_left()


def test_a_refused_removal_lets_a_lost_session_come_back(rig: lio_rig.LioRig) -> None:
    """The rule's secret is not touched while somebody is logged in."""
    auth = base.Auth.generate()
    location = rig.export(NAME, auth)
    rig.hold(location, auth, HOST_A)
    with pytest.raises(cinder_errors.VolumeIsBusy, match=HOST_A):
        rig.target.remove_export(NAME, location)
    with pytest.raises(cinder_errors.VolumeIsBusy, match=HOST_A):
        rig.target.terminate_connection(NAME, contract.connector(HOST_A))
    found = lio_kernel.found(IQN)
    assert found is not None
    assert found.password == auth.password


# ------------------------------------------------------------------ the kernel


def test_a_module_that_is_not_there_is_named(rig: lio_rig.LioRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lio_ground, "MODULES", [("no_such_target_mod", "/sys/module/no_such_target_mod")])
    with pytest.raises(errors.Unavailable, match=r"no_such_target_mod is needed.*modprobe no_such_target_mod"):
        rig.target.check_for_setup_error()


def test_configfs_that_is_not_mounted_is_named(rig: lio_rig.LioRig, tmp_path: Path) -> None:
    """/sys/kernel/config itself stays mounted: systemd would mount it again at once."""
    with pytest.raises(errors.Unavailable, match=r"configfs is not mounted.*mount -t configfs"):
        lio_ground.check(str(tmp_path))


# ------------------------------------------------------------------ cinder-lite-rtstool


def test_the_tool_makes_and_removes_an_export(rig: lio_rig.LioRig, capsys: pytest.CaptureFixture[str]) -> None:
    auth, path = base.Auth.generate(), rig.volume(NAME)
    login = [auth.username, auth.password]
    location = f"127.0.0.1:3260,{IQN} {IQN} 0"
    assert rtstool.main(["create", path, IQN, *login, "False", HOST_A, "-a127.0.0.1", "-p3260"]) == 0
    assert rtstool.main(["create", path, IQN, *login, "False", HOST_A, "-a127.0.0.1"]) == 0
    assert rtstool.main(["add-initiator", IQN, *login, HOST_B]) == 0
    assert rig.can_login(location, auth, HOST_A)
    assert rig.can_login(location, auth, HOST_B)
    assert rtstool.main(["delete-initiator", IQN, HOST_A]) == 0
    assert rtstool.main(["delete-initiator", IQN, HOST_A]) == 0
    assert "has no access" in capsys.readouterr().out
    assert lio_kernel.initiators(IQN) == {HOST_B}
    assert rtstool.main(["get-targets"]) == 0
    assert capsys.readouterr().out == f"{IQN}\n"
    rig.hold(location, auth, HOST_B)
    assert rtstool.main(["delete", IQN]) == 1
    assert f"{HOST_B} is logged in" in capsys.readouterr().err
    rig.let_go(location, HOST_B)
    assert rtstool.main(["delete", IQN]) == 0
    assert rtstool.main(["delete", IQN]) == 0
    assert_nothing_is_left()


def test_the_tool_saves_and_verifies(rig: lio_rig.LioRig, tmp_path: Path) -> None:
    auth = base.Auth.generate()
    rig.export(NAME, auth, HOST_A)
    file = tmp_path / "targets" / "saved.json"
    assert rtstool.main(["verify"]) == 0
    assert rtstool.main(["save", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert lio_store.SavedConfiguration(str(file)).entries() == lio_store.saved().entries()
    assert rtstool.main(["save"]) == 0
    assert lio_store.saved().entries()[IQN].initiators == {HOST_A}


def test_the_tool_tells_what_is_wrong(rig: lio_rig.LioRig, capsys: pytest.CaptureFixture[str]) -> None:
    login = ["user", "a-secret-of-16-c"]
    for arguments, text in (
        (["add-initiator", IQN, *login, HOST_A], "no target"),
        (["delete-initiator", IQN, HOST_A], "no target"),
        (["create", "/dev/nothing", IQN, *login, "False"], "does not exist"),
        (["create", rig.volume(NAME), IQN, "user", "short"], "CHAP secret has 5"),
        (["create", rig.volume(NAME), IQN, *login, "False", "-a192.0.2.7"], "no address"),
        (["create", rig.volume(NAME), IQN, *login, "False", "not-a-name"], "none of the names"),
    ):
        assert rtstool.main(arguments) == 1, arguments
        assert text in capsys.readouterr().err
    assert_nothing_is_left()


def test_without_addresses_the_tool_listens_everywhere(rig: lio_rig.LioRig) -> None:
    assert rtstool.main(["create", rig.volume(NAME), IQN, "user", "a-secret-of-16-c", "False", HOST_A, "-p3273"]) == 0
    found = lio_kernel.found(IQN)
    assert found is not None
    assert {"0.0.0.0:3273"} <= {str(portal) for portal in found.portals} <= {"0.0.0.0:3273", "[::]:3273"}
