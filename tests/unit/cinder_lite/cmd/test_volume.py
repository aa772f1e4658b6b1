"""What cinder-lite-volume makes of its options: drivers, and whether it needs a privileged half."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from cinder_lite import conf as options
from cinder_lite.cmd import volume
from cinder_lite.drivers import base, fake, file, lvm
from cinder_lite.targets import base as targets
from cinder_lite.targets import fake as fake_target
from cinder_lite.targets import lio, tgt
from lite_common import config

ROOT = Path(__file__).parents[4]


def conf(tmp_path: Path, *lines: str, default: str = "") -> cfg.ConfigOpts:
    path = tmp_path / "cinder.conf"
    path.write_text("\n".join(["[DEFAULT]", "enabled_backends = one", default, "[one]", *lines]))
    loaded = config.load(options.PROJECT, volume.NAME, [options.OPTIONS], ["--config-file", str(path)], logs=False)
    return options.prepare(loaded)


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        ([], lvm.Settings("cinder-volumes", "auto", None)),
        (["volume_group = nlite", "lvm_type = thin"], lvm.Settings("nlite", "thin", None)),
        (["lvm_type = default", "volume_clear = none"], lvm.Settings("cinder-volumes", "default", 0)),
        (["volume_clear_size = 100"], lvm.Settings("cinder-volumes", "auto", 100 << 20)),
        (["volume_clear = none", "volume_clear_size = 100"], lvm.Settings("cinder-volumes", "auto", 0)),
    ],
)
def test_the_options_of_lvm(tmp_path: Path, lines: list[str], settings: lvm.Settings) -> None:
    made = volume._driver(conf(tmp_path, "volume_driver = lvm", *lines).one, base.Pool("one"))
    assert isinstance(made, lvm.LvmDriver)
    assert made.settings == settings


@pytest.mark.parametrize(("name", "kind"), [("file", file.FileDriver), ("fake", fake.FakeDriver)])
def test_the_other_drivers(tmp_path: Path, name: str, kind: type[base.VolumeDriver]) -> None:
    assert isinstance(volume._driver(conf(tmp_path, f"volume_driver = {name}").one, base.Pool("one")), kind)


@pytest.mark.parametrize(
    ("driver", "helper", "needed"),
    [("file", "tgtadm", False), ("fake", "fake", False), ("lvm", "tgtadm", True), ("file", "lioadm", True)],
)
def test_the_privileged_half_is_there_where_a_backend_needs_it(
    tmp_path: Path, driver: str, helper: str, needed: bool
) -> None:
    loaded = conf(tmp_path, f"volume_driver = {driver}", f"target_helper = {helper}")
    assert volume._contexts(loaded) == ([volume.SYS_ADMIN] if needed else [])


def test_tgtd_listens_to_root_only(tmp_path: Path) -> None:
    loaded = conf(tmp_path, "volume_driver = file", "target_helper = tgt", default="run_as = nobody")
    assert volume._contexts(loaded) == [volume.SYS_ADMIN]


@pytest.mark.parametrize(
    ("helper", "kind"),
    [("fake", fake_target.FakeTarget), ("tgt", tgt.TgtTarget), ("tgtadm", tgt.TgtTarget), ("lioadm", lio.LioTarget)],
)
def test_the_targets_and_their_portals(tmp_path: Path, helper: str, kind: type[targets.TargetDriver]) -> None:
    loaded = conf(
        tmp_path,
        "volume_driver = lvm",
        "volume_group = group",
        f"target_helper = {helper}",
        "target_ip_address = 10.0.0.4",
        "target_secondary_ip_addresses = fd00::4,10.0.1.4",
        "target_port = 3261",
        default=f"state_path = {tmp_path}",
    )
    _, made = volume._parts(loaded, "one")
    assert isinstance(made, kind)
    assert made.portals == ("10.0.0.4:3261", "[fd00::4]:3261", "10.0.1.4:3261")
    if isinstance(made, lio.LioTarget):
        assert made.directory == "/dev/group"


def test_a_daemon_that_cannot_become_its_user_says_so_and_ends(tmp_path: Path) -> None:
    conf(tmp_path, "volume_driver = fake", default="run_as = no-such-user")
    done = subprocess.run(
        [sys.executable, "-m", "cinder_lite.cmd.volume", "--config-file", str(tmp_path / "cinder.conf")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "no-such-user, a user that does not exist" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_daemon_without_privileged_work_does_not_load_privsep(tmp_path: Path) -> None:
    conf(tmp_path, "volume_driver = file", "target_helper = tgtadm", default=f"state_path = {tmp_path}")
    program = f"""
import sys
from cinder_lite.cmd import volume
from cinder_lite import conf as options
from lite_common import config, privilege
conf = config.load(options.PROJECT, "x", [options.OPTIONS], ["--config-file", {str(tmp_path / "cinder.conf")!r}])
privilege.start(conf, volume._contexts(options.prepare(conf)))
volume.build(conf)
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("oslo_privsep", "rtslib_fb", "cffi")))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
