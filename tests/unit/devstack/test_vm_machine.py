"""A machine's QEMU command, its refusals, and the commands that are run in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devstack.vm import accel, environment, hosts, shell, tsc
from devstack.vm.hosts import HOSTS, VmError
from devstack.vm.image import Image
from devstack.vm.machine import Machine, processors

CONTROLLER, COMPUTE1, COMPUTE2 = HOSTS


def command(host: hosts.Host, tmp_path: Path, accelerator: str = accel.TCG) -> list[str]:
    return Machine(host, tmp_path).command(Image(tmp_path / "key"), accelerator, 2222)


def options(argv: list[str], name: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == name]


def test_nothing_of_a_machine_can_be_reached_but_its_ssh_on_loopback(tmp_path: Path) -> None:
    for host in HOSTS:
        for network in options(command(host, tmp_path), "-netdev"):
            if network.startswith("user,"):
                assert "restrict=on" in network
                assert network.endswith("hostfwd=tcp:127.0.0.1:2222-:22")
            else:
                assert network.startswith(("dgram,", "hubport,"))
                assert "type=inet" not in network


def test_the_controller_is_the_hub_and_each_pair_of_sockets_fits(tmp_path: Path) -> None:
    def ends(host: hosts.Host) -> set[tuple[str, str]]:
        found = set()
        for network in options(command(host, tmp_path), "-netdev"):
            fields = dict(field.split("=", 1) for field in network.split(",")[1:])
            if network.startswith("dgram,"):
                found.add((fields["local.path"], fields["remote.path"]))
        return found

    hub = ends(CONTROLLER)
    assert len(hub) == 2
    assert {(remote, local) for local, remote in hub} == ends(COMPUTE1) | ends(COMPUTE2)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_spare_disks_are_written_when_the_machine_says_so(tmp_path: Path, host: hosts.Host) -> None:
    spare = [drive for drive in options(command(host, tmp_path), "-drive") if "id=spare" in drive]
    assert len(spare) == len(host.disks) >= 1
    assert all("cache=writeback" in drive and "format=raw" in drive for drive in spare)


@pytest.mark.parametrize(("accelerator", "cpu"), [(accel.KVM, "host"), (accel.TCG, "Nehalem")])
def test_the_processor_fits_the_accelerator(tmp_path: Path, accelerator: str, cpu: str) -> None:
    argv = command(COMPUTE1, tmp_path, accelerator)
    assert options(argv, "-accel") == [accelerator]
    assert options(argv, "-cpu")[0].split(",")[0] == cpu


def test_emulated_machines_share_the_host_but_the_controller_keeps_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert [processors(accel.TCG, COMPUTE1, count) for count in (1, 2, 3, 5)] == [2, 2, 1, 1]
    assert [processors(accel.TCG, CONTROLLER, count) for count in (1, 2, 3, 5)] == [2, 2, 2, 2]
    assert processors(accel.KVM, COMPUTE1, 3) == 2
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert processors(accel.TCG, CONTROLLER, 3) == 1


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    machine = Machine(COMPUTE1, tmp_path / ("x" * 90))
    with pytest.raises(VmError, match="too long a path for unix sockets"):
        machine.prepare(Image(tmp_path), {})


def test_what_does_not_run_says_how_it_is_started(tmp_path: Path) -> None:
    machine = Machine(COMPUTE1, tmp_path)
    assert not machine.running()
    with pytest.raises(VmError, match=r"compute1 does not run: ./devstack/vm/up"):
        machine.shell()
    machine.stop()  # nothing to do


def test_the_console_is_shown_from_its_end(tmp_path: Path) -> None:
    machine = Machine(COMPUTE1, tmp_path)
    assert machine.console_tail() == ""
    machine.directory.mkdir()
    (machine.directory / "console.log").write_text("".join(f"line {number}\n" for number in range(100)))
    assert machine.console_tail().endswith("line 99")
    assert "line 50" not in machine.console_tail()
    assert machine.boots() == 0
    (machine.directory / "console.log").write_text("nlite: network is up, systemd starts after 3 s\n" * 2)
    assert machine.boots() == 2


class Ran:
    """Stands for the programs that are started; keeps their arguments."""

    def __init__(self, answer: subprocess.CompletedProcess[str] | Exception) -> None:
        self.answer = answer
        self.argv: list[str] = []

    def __call__(self, argv: list[str], seconds: float, data: str = "") -> subprocess.CompletedProcess[str]:
        self.argv = argv
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def way_in(tmp_path: Path) -> shell.Shell:
    return shell.Shell("compute1", 2222, tmp_path)


def test_a_command_is_limited_where_it_runs(way_in: shell.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran(subprocess.CompletedProcess([], 0, "out\n", ""))
    monkeypatch.setattr(shell, "_run", ran)
    assert way_in.run(["echo", "a b"], timeout=7).stdout == "out\n"
    assert ran.argv[-1] == """timeout --kill-after=5 7 bash -c 'echo '"'"'a b'"'"''"""
    assert "root@127.0.0.1" in ran.argv


def test_a_failed_command_shows_host_command_and_output(way_in: shell.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_run", Ran(subprocess.CompletedProcess([], 5, "before\n", "no such volume\n")))
    assert way_in.run("lvs x", check=False).returncode == 5
    with pytest.raises(shell.CommandFailed, match=r"compute1: lvs x: exit code 5\nbefore\nno such volume"):
        way_in.run("lvs x")


def test_a_command_that_hangs_is_a_failure(way_in: shell.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_run", Ran(subprocess.TimeoutExpired("ssh", 1, output=b"so far")))
    result = way_in.run("sleep 99", check=False, timeout=1)
    assert (result.returncode, result.stdout) == (124, "so far")


def test_only_known_machines_are_spoken_to(way_in: shell.Shell, tmp_path: Path) -> None:
    argv = way_in.ssh()
    assert "StrictHostKeyChecking=yes" in argv
    assert f"UserKnownHostsFile={tmp_path}/known_hosts" in argv


def test_an_environment_is_worked_on_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LOCK_SECONDS", 0.1)
    world = environment.Environment(tmp_path / "state", tmp_path, lambda _: None)
    with world.locked(), pytest.raises(VmError, match="another up, sync or down"):
        environment.Environment(tmp_path / "state", tmp_path, lambda _: None).down()
    world.down()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_sync_says_that_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(VmError, match="no machine runs"):
        environment.Environment(tmp_path, tmp_path, lambda _: None).sync()


def test_an_emulated_kernel_is_told_the_speed_of_its_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsc, "kilohertz", lambda: 2_596_000)
    (emulated,) = options(command(COMPUTE1, tmp_path, accel.TCG), "-append")
    assert emulated.endswith(" tsc=reliable tsc_early_khz=2596000")
    (virtual,) = options(command(COMPUTE1, tmp_path, accel.KVM), "-append")
    assert "tsc" not in virtual
    monkeypatch.setattr(tsc, "kilohertz", lambda: None)
    (other,) = options(command(COMPUTE1, tmp_path, accel.TCG), "-append")
    assert "tsc" not in other


def test_the_counters_speed_is_measured() -> None:
    first = tsc.kilohertz()
    tsc.kilohertz.cache_clear()
    again = tsc.kilohertz()
    assert first is not None
    assert again is not None
    assert 500_000 < first < 10_000_000
    assert abs(first - again) < first / 100
