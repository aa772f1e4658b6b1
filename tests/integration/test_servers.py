"""The private servers start, serve, survive a crash as promised, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import launch
from lite_common import db, errors
from tests.fixtures import servers

DOMAIN = """
<domain type='qemu'>
  <name>probe</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with servers.private_directory() as path:
        yield path


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((servers.HOST, port)) == 0


def mentions(directory: Path) -> list[str]:
    """Return the command lines of live processes that name the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(directory) in line:
                found.append(line)
    return found


def wait_until_gone(directory: Path, limit: float = 10.0) -> list[str]:
    deadline = time.monotonic() + limit
    while (left := mentions(directory)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Other tests' shared servers may run beside; nothing may be added to them."""
    before = set(launch.descendants(os.getpid()))
    yield
    assert set(launch.descendants(os.getpid())) - before == set()


def assert_nothing_left(server: servers.Server) -> None:
    assert wait_until_gone(server.directory, 2.0) == []
    assert not server.pid_path.exists()
    if server.port:
        assert not listening(server.port)


def test_rabbitmq_speaks_amqp_and_leaves_no_port_mapper(directory: Path) -> None:
    server = servers.RabbitMQ(directory).start(60)
    assert server.answers()
    assert listening(server.epmd_port)
    server.stop()
    assert not server.answers()
    assert not listening(server.epmd_port)
    assert_nothing_left(server)


def test_mariadb_keeps_its_data_over_a_crash(directory: Path) -> None:
    server = servers.MariaDB(directory).start(60)
    url = server.create_database("probe")
    assert url == server.create_database("probe")
    assert url.startswith("mysql+mysqldb://nlite:")
    assert url.endswith(f"@127.0.0.1:{server.port}/probe?charset=utf8mb4")
    for wrong, says in ((url.replace("nlite:", "nlite:no"), "Access denied"), (url.replace("/probe", "/none"), "none")):
        with pytest.raises(errors.Unavailable, match=says):
            with db.Database(wrong).connection():
                pass
    server.execute("CREATE TABLE probe.t (x VARCHAR(9)); INSERT INTO probe.t VALUES ('Grüße')")
    server.kill()
    assert not server.running
    server.start(60)
    assert server.execute("SELECT x FROM probe.t").strip() == "Grüße"
    server.drop_database("probe")
    server.stop()
    assert_nothing_left(server)


def test_two_tgtd_do_not_see_each_other(directory: Path) -> None:
    first, second = servers.Tgtd(directory / "1").start(20), servers.Tgtd(directory / "2").start(20)
    first.tgtadm("--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2010-10.org.openstack:probe")
    assert "openstack:probe" in first.tgtadm("--op", "show", "--mode", "target")
    assert "openstack:probe" not in second.tgtadm("--op", "show", "--mode", "target")
    first.stop()
    assert second.answers()
    second.stop()
    assert_nothing_left(first)
    assert_nothing_left(second)


def test_a_frozen_server_is_found_out_in_limited_time(directory: Path) -> None:
    with servers.Tgtd(directory) as server:
        server.freeze()
        begin = time.monotonic()
        assert not server.answers()
        assert time.monotonic() - begin < 8
        server.thaw()
        assert server.answers()


def test_libvirtd_is_respawned_beside_its_guests_and_stop_ends_both(directory: Path) -> None:
    server = servers.Libvirtd(directory).start(30)
    (directory / "probe.xml").write_text(DOMAIN)
    server.virsh("define", str(directory / "probe.xml"))
    server.virsh("start", "probe")
    assert len([line for line in _qemu() if "guest=probe" in line]) == 1

    before = server.pid
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (server.pid == before or not server.answers()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.virsh("domstate", "probe").strip() == "running"

    server.stop()
    assert [line for line in _qemu() if "guest=probe" in line] == []
    assert_nothing_left(server)


def _qemu() -> list[str]:
    """Return the command lines of all QEMU processes that descend from this one."""
    lines = []
    for pid in launch.descendants(os.getpid()):
        line = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if "qemu-system" in line:
            lines.append(line)
    return lines


def test_failed_start_shows_the_log_and_leaves_nothing(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind((servers.HOST, 0))
        taken.listen()
        server = servers.MariaDB(directory, port=taken.getsockname()[1])
        with pytest.raises(servers.ServerError, match=r"(?s)mariadb in .* its log ends with:.*port"):
            server.start(30)
    assert_nothing_left(server)


def test_servers_end_with_a_killed_test_run(directory: Path) -> None:
    script = (
        "import sys, time; from tests.fixtures import servers\n"
        "servers.Tgtd(sys.argv[1]).start(20); print('up', flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.Popen([sys.executable, "-c", script, str(directory)], cwd=root, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout:
        assert run.stdout.readline() == "up\n"
        assert mentions(directory) != []
        run.kill()
        run.wait(10)
    assert wait_until_gone(directory) == []
