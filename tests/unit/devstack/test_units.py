"""The systemd units: they start what is installed, wait long enough, and give no daemon more than its work needs."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from oslo_privsep import capabilities

from cinder_lite import privileged
from lite_common import config

ROOT = Path(__file__).parents[3]
UNITS = {path.stem: path for path in (ROOT / "etc" / "systemd").glob("*.service")}
DAEMONS = ("nova-lite-api", "nova-lite-compute", "cinder-lite-api", "cinder-lite-scheduler", "cinder-lite-volume")
UNPRIVILEGED = ("nova-lite-api", "cinder-lite-api", "cinder-lite-scheduler")
# A name may stand in a unit several times; the values then add up.
Settings = dict[str, list[str]]


def section(unit: str, name: str) -> Settings:
    found: Settings = {}
    inside = False
    for line in UNITS[unit].read_text().splitlines():
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_there_is_one_unit_for_each_daemon() -> None:
    assert sorted(UNITS) == sorted(DAEMONS)


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_unit_starts_the_console_script_of_its_name_with_its_service_s_files(unit: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert f"\n{unit} = " in setup["options.entry_points"]["console_scripts"]
    service = unit.partition("-")[0]
    assert section(unit, "Service")["ExecStart"] == [
        f"/opt/nlite/venv/bin/{unit} --config-file /etc/nlite/{service}.conf --config-dir /etc/nlite/{service}.conf.d"
    ]


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_stop_may_take_as_long_as_the_daemon_gives_its_work(unit: str) -> None:
    (grace,) = [option.default for option in config.COMMON["DEFAULT"] if option.name == "graceful_shutdown_timeout"]
    assert int(section(unit, "Service")["TimeoutStopSec"][0]) > grace


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_daemon_tells_when_it_serves_and_is_started_again(unit: str) -> None:
    service = section(unit, "Service")
    assert service["Type"] == ["notify"]
    assert service["Restart"][0] in ("on-failure", "always")
    assert section(unit, "Unit")["StartLimitIntervalSec"] == ["0"]
    assert section(unit, "Install")["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize("unit", DAEMONS)
def test_every_daemon_is_confined(unit: str) -> None:
    service = section(unit, "Service")
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces", "RestrictSUIDSGID"):
        assert service[name] == ["yes"], name
    assert service["ProtectSystem"] == ["strict"]
    assert service["SystemCallFilter"][0] == "@system-service"
    assert f"/var/lib/nlite/{unit.partition('-')[0]}" in " ".join(service["ReadWritePaths"]).split()


@pytest.mark.parametrize("unit", UNPRIVILEGED)
def test_apis_and_scheduler_have_no_capability_and_no_device(unit: str) -> None:
    service = section(unit, "Service")
    assert service["User"] == ["nlite"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["PrivateDevices"] == ["yes"]
    other = "nova" if unit.startswith("cinder") else "cinder"
    assert f"-/etc/nlite/{other}.conf" in service["InaccessiblePaths"][0].split()


@pytest.mark.parametrize("unit", ["cinder-lite-volume", "nova-lite-compute"])
def test_who_starts_as_root_has_a_bounded_set_and_stops_before_its_helpers(unit: str) -> None:
    service = section(unit, "Service")
    assert "User" not in service
    capabilities = " ".join(service["CapabilityBoundingSet"]).split()
    assert set(capabilities).isdisjoint({"CAP_SYS_MODULE", "CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_SETPCAP"})
    assert len(capabilities) < 16
    assert service["KillMode"] == ["mixed"]


def test_the_privileged_half_of_cinder_volume_gets_what_it_asks_for_and_no_more() -> None:
    names = {capabilities.CAPS_BYVALUE[number] for number in privileged.sys_admin.conf.capabilities}
    given = set(" ".join(section("cinder-lite-volume", "Service")["CapabilityBoundingSet"]).split())
    assert given == names | {"CAP_SETUID", "CAP_SETGID"}


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With a program that exists in the place of the installed one, which is not here."""
    verify = shutil.which("systemd-analyze")
    assert verify, "systemd-analyze is missing: install systemd"
    for unit, path in UNITS.items():
        copy = tmp_path / path.name
        copy.write_text(path.read_text().replace(f"/opt/nlite/venv/bin/{unit}", "/bin/true"))
        done = subprocess.run([verify, "verify", copy], capture_output=True, text=True, timeout=60, check=False)
        complaints = [line for line in (done.stdout + done.stderr).splitlines() if path.name in line]
        assert complaints == []
