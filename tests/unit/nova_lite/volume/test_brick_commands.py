"""os-brick's own connector over our way to run its commands: which of them become processes, and when it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oslo_concurrency import processutils

from nova_lite.volume.brick_commands import Commands
from nova_lite.volume.connection_info import IscsiPath
from nova_lite.volume.sysfs import Sysfs
from tests.unit.nova_lite.volume.machine import Machine

PORTAL, IQN = "10.0.0.4:3260", "iqn.x:volume"
NODE = ("iscsiadm", "-m", "node", "-T", IQN, "-p", PORTAL)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def commands(machine: Machine) -> Commands:
    return Commands(machine.run, Sysfs(str(machine.root)), [(PORTAL, IQN)], {"node.session.x": "1"}, timeout=30)


def test_what_only_reads_starts_no_process(commands: Commands, machine: Machine) -> None:
    assert commands("iscsiadm", "-m", "session", check_exit_code=[0, 21]) == ("", "")
    assert commands("iscsiadm", "-m", "node") == (f"{PORTAL},-1 {IQN}\n", "")
    assert commands(*NODE)[1]  # words on stderr: os-brick makes the record anew
    machine.log_in(IscsiPath("fd00::4", 3260, IQN, 0))
    machine.log_in(IscsiPath("10.0.0.4", 3260, IQN, 0))
    shown = commands("iscsiadm", "-m", "session")[0].splitlines()
    assert shown == [
        f"tcp: [1] [fd00::4]:3260,1 {IQN} (non-flash)",
        f"tcp: [2] 10.0.0.4:3260,1 {IQN} (non-flash)",
    ]
    assert commands(*NODE)[1] == ""
    assert machine.commands == []


def test_values_wait_for_the_login(commands: Commands, machine: Machine) -> None:
    commands(*NODE, "--op", "update", "-n", "node.session.scan", "-v", "manual")
    commands(*NODE, "--op", "update", "-n", "node.startup", "-v", "automatic")
    assert machine.commands == []
    commands(*NODE, "--login", check_exit_code=(0, 15, 255))
    assert machine.commands == [
        (*NODE, "--op", "update", "-n", "node.session.x", "-v", "1", "-n", "node.session.scan", "-v", "manual"),
        (*NODE, "--login"),
    ]


@pytest.mark.parametrize("home", ["/etc/iscsi/nodes", "/var/lib/iscsi/nodes"])
def test_the_password_is_in_no_command_line(commands: Commands, machine: Machine, home: str) -> None:
    (machine.root / home[1:]).mkdir(parents=True)
    given: list[tuple[tuple[str, ...], Any]] = []
    added = f"New iSCSI node [tcp:[hw=,ip=,net_if=,iscsi_if=default] 10.0.0.4,3260,-1 {IQN}] added\n"

    def run(*command: str, **options: Any) -> tuple[str, str]:
        given.append((command, options.get("process_input")))
        return (added, "") if command[-1] == "new" else ("", "")

    commands._run = run
    commands(*NODE, "--interface", "default", "--op", "new")
    commands(*NODE, "--op", "update", "-n", "node.session.auth.password", "-v", "secret")
    commands(*NODE, "--login")
    assert given[1] == (
        ("dd", f"of={home}/{IQN}/10.0.0.4,3260", "oflag=append", "conv=notrunc", "status=none"),
        "node.session.x = 1\nnode.session.auth.password = secret\n",
    )
    assert [command[-1] for command, _ in given] == ["new", "status=none", "--login"]


def test_a_value_cannot_bring_others_along(commands: Commands, machine: Machine) -> None:
    commands(*NODE, "--op", "update", "-n", "node.session.auth.password", "-v", "x\nnode.startup = automatic")
    with pytest.raises(processutils.ProcessExecutionError, match="line break"):
        commands(*NODE, "--login")
    assert machine.commands == []


def test_a_login_that_ends_with_255_is_a_failure(commands: Commands, machine: Machine) -> None:
    """os-brick takes it for a success and would ask for ever."""
    machine.fail["--login"] = (255, "iscsiadm: odd")
    with pytest.raises(processutils.ProcessExecutionError):
        commands(*NODE, "--login", check_exit_code=(0, 15, 255))
    assert [err.exit_code for err in commands.login_failures] == [255]
    machine.commands.clear()
    for what in (["--interface", "default", "--op", "new"], ["--login"]):
        with pytest.raises(processutils.ProcessExecutionError, match="no further login"):
            commands(*NODE, *what)
    assert machine.commands == []


def test_a_login_that_left_no_session_is_not_repeated(commands: Commands) -> None:
    commands(*NODE, "--login")
    with pytest.raises(processutils.ProcessExecutionError, match="no further login"):
        commands(*NODE, "--login")


def test_a_daemon_that_does_not_run_is_noticed_at_the_record(
    commands: Commands,
) -> None:
    words = "Failed to start iscsid.socket\niscsiadm: can not connect to iSCSI daemon (111)!\n"
    commands._run = lambda *command, **options: ("added", words)
    with pytest.raises(processutils.ProcessExecutionError):
        commands(*NODE, "--interface", "default", "--op", "new", check_exit_code=(0, 6))
    assert [err.exit_code for err in commands.login_failures] == [20]


def test_the_last_session_takes_all_records_of_its_target_along(commands: Commands, machine: Machine) -> None:
    machine.log_in(IscsiPath("10.0.0.4", 3260, IQN, 0))
    commands(*NODE, "--op", "delete")
    machine.log_out(IQN, PORTAL)
    commands(*NODE, "--op", "delete")
    assert machine.commands == [(*NODE, "--op", "delete"), ("iscsiadm", "-m", "node", "-T", IQN, "--op", "delete")]


def test_every_command_has_a_limit(commands: Commands) -> None:
    given: list[dict[str, Any]] = []
    commands._run = lambda *command, **options: (given.append(options), ("", ""))[1]
    commands("tee", "-a", "/sys/x", process_input="1")
    commands("blockdev", "--flushbufs", "/dev/sdb", attempts=3, timeout=300, interval=10)
    assert [(one["timeout"], one.get("interval")) for one in given] == [(30, None), (30, 1)]


def test_os_brick_takes_our_answers(machine: Machine, commands: Commands) -> None:
    """The real connector of os-brick reads them as iscsiadm's own, so that a new release of it shows here."""
    from os_brick.initiator.connectors import iscsi

    real = iscsi.ISCSIConnector("sudo", execute=commands)
    run = machine.run

    def log_in(*command: str, **options: Any) -> tuple[str, str]:
        if command[-1] == "--login":
            machine.log_in(IscsiPath("10.0.0.4", 3260, IQN, 0))
        return run(*command, **options)

    commands._run = log_in
    properties = {"target_portal": PORTAL, "target_iqn": IQN, "target_lun": 0, "auth_method": "CHAP"}
    properties |= {"auth_username": "u", "auth_password": "p"}
    connect = real._connect_to_iscsi_portal_unsafe
    assert connect(properties) == ("1", True)
    assert [command[-1] for command in machine.commands] == ["new", "p", "--login"]
    assert connect(properties) == ("1", True)  # the session is found again, and nothing is run
    assert len(machine.commands) == 3
