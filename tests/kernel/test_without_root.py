"""A daemon that gave up root exports logical volumes through its privileged half, by LIO and by tgtd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinder_lite.privileged import lio_kernel
from cinder_lite.targets import base, tgt, tgt_control
from tests.fixtures import servers
from tests.kernel import lio_rig
from tests.unit.cinder_lite.targets.contract import HOST_A, NAME

LIMIT = 120.0
ROOT = Path(__file__).parents[2]
AUTH = base.Auth("user", "a-secret-of-16-c")
# One process for both targets: in an emulated machine its start takes longer than all the rest.
PROGRAM = """
import os, sys
from cinder_lite import conf as options
from cinder_lite.targets import base, lio, tgt, tgt_control
from lite_common import config, errors, privilege

file, socket, portal, directory, path, host = sys.argv[1:]
conf = config.load(options.PROJECT, "test", [options.OPTIONS], ["--config-file", file], logs=False)
privilege.start(conf, ["cinder_lite.privileged.sys_admin"])
assert os.geteuid() != 0
group, _, name = path.rpartition("/")
auth, connector = base.Auth("user", "a-secret-of-16-c"), {"initiator": host}

target = lio.LioTarget("iqn.2010-10.org.openstack:", "127.0.0.1:3260", group)
target.check_for_setup_error()
location = target.ensure_export(name, path, auth)
target.initialize_connection(name, auth, connector)
assert target.exported() == {name}
assert target.sessions(name) == []
try:
    target.ensure_export(name, "/dev/vda", auth)
    raise SystemExit("the system's disk was exported")
except errors.BackendError as err:
    assert "none of the names" in err.message
target.terminate_connection(name, connector)
target.remove_export(name, location)
assert "rtslib_fb" not in sys.modules

control = tgt_control.control(socket)
assert isinstance(control, tgt_control.PrivilegedControl)
target = tgt.TgtTarget("iqn.2010-10.org.openstack:", portal, directory, control)
target.check_for_setup_error()
location = target.ensure_export(name, path, auth)
assert target.ensure_all([base.Export(name, path, auth, location)]) == {name: location}
print(location)
"""


@pytest.fixture(scope="module", autouse=True)
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with lio_rig.ground(tmp_path_factory.mktemp("disks")):
        yield


def open_to_everybody(directory: Path) -> None:
    """Let a user without rights write there."""
    directory.chmod(0o777)
    for parent in directory.parents:
        parent.chmod(parent.stat().st_mode | 0o055)


def test_both_targets(tmp_path: Path) -> None:
    configuration, files = tmp_path / "cinder.conf", tmp_path / "targets"
    configuration.write_text("[DEFAULT]\nrun_as = nobody\n")
    files.mkdir()
    open_to_everybody(files)
    initiator = lio_rig.Initiator()
    path = lio_rig.logical_volume(lio_rig.GROUP, NAME)
    with servers.private_directory() as directory, servers.Tgtd(directory / "tgtd") as server:
        portal = f"{servers.HOST}:{server.port}"
        arguments = [str(configuration), str(server.ipc_socket), portal, str(files), path, HOST_A]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            cwd=ROOT,
        )
        location = done.stdout.strip()
        assert location, done.stderr
        assert lio_kernel.devices("iqn.") == {}
        assert base.parse_location(location).lun == 1
        saved = files / f"{NAME}.conf"
        assert f"backing-store {path}" in saved.read_text()
        assert saved.stat().st_mode & 0o777 == 0o600
        assert saved.stat().st_uid != os.geteuid()
        assert not initiator.login(location, base.Auth("user", "another-of-16-ch"), HOST_A)
        assert initiator.login(location, AUTH, HOST_A)
        try:
            lio_rig.write(initiator.disk(location, HOST_A), 4096, b"\x5a" * 4096)
        finally:
            initiator.let_go(location, HOST_A)
        assert lio_rig.read(path, 4096, 4096) == b"\x5a" * 4096
        control = tgt_control.Control(str(server.ipc_socket))
        tgt.TgtTarget(lio_rig.PREFIX, portal, str(files), control).remove_export(NAME, location)
        # tgtd let go of the device, so it can be removed.
        lio_rig.run("lvremove", "-q", "-f", f"{lio_rig.GROUP}/{NAME}")
