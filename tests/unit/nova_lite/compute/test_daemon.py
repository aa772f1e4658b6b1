"""The programs: nova-lite-manage makes the schema, nova-lite-compute builds, reports, takes messages and stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lite_common import context, db, errors, rpc
from nova_lite import conf as nova_conf
from nova_lite import db as nova_db
from nova_lite import errors as nova_errors
from nova_lite.cmd import compute, manage
from nova_lite.compute import api, rpcapi
from nova_lite.db import services
from nova_lite.flavors import Flavor
from nova_lite.images import ImageStore
from nova_lite.volume import client
from tests.fixtures.stack import wait_for

CTX = context.RequestContext(user_id="alice", project_id="demo")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    (images / "disk.qcow2").write_bytes(b"disk")
    path = tmp_path / "nova.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nhost = h1\nmy_ip = 127.0.0.1\ntransport_url = fake://\n"
        "rpc_response_timeout = 5\n[compute]\nvirt_driver = fake\n"
        "[cinder]\nendpoint = http://127.0.0.1:1\nretries = 0\n"
    )
    return path


def test_compute_from_start_to_stop(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config-file", str(config_file)]
    conf = nova_conf.load("nova-lite-compute", arguments, logs=False)
    assert (conf.api.port, conf.images.directory) == (8774, f"{config_file.parent}/images")
    with pytest.raises(errors.Unavailable, match=r"nova-lite-manage .* db sync"):
        compute.build(conf).start()
    assert manage.main([*arguments, "db", "version"]) == 1
    assert manage.main([*arguments, "db", "sync"]) == 0
    assert manage.main([*arguments, "db", "version"]) == 0
    assert f"is at revision {nova_db.HEAD}" in capsys.readouterr().out

    daemon = compute.build(nova_conf.load("nova-lite-compute", arguments, logs=False))
    daemon.start()
    try:
        use(conf)
    finally:
        daemon.stop()


def use(conf: object) -> None:
    """Be nova-api for a while: over the bus, with the daemon's database."""
    database = db.from_conf(conf)
    (reported,) = services.list_all(database)
    assert (reported.host, reported.binary, reported.is_up(60)) == ("h1", "nova-compute", True)
    bus = rpc.Bus(conf, ["nova_lite.errors"])  # type: ignore[arg-type]
    calls = rpcapi.ComputeRpc(bus)
    cinder = client.connect("http://127.0.0.1:1", secret=None, timeout=1, retries=0)
    servers = api.ComputeApi(database, calls, cinder, service_down_time=60)
    (image,) = ImageStore(conf.images.directory).all()  # type: ignore[attr-defined]
    made = servers.create_server(CTX, api.NewServer("guest", Flavor("1", "f", 64, 1), image))
    wait_for(lambda: servers.get_server(CTX, made.uuid).status == "ACTIVE", 5, "the guest runs")
    assert "started" in servers.console_output(CTX, made.uuid, 1)
    wanted = {"device": None, "tag": None, "delete_on_termination": False}
    device = calls.reserve_block_device_name(CTX, "h1", made.uuid, "v1", bdm_uuid="b1", **wanted)
    assert (device["device_name"], device["uuid"]) == ("/dev/vdb", "b1")
    with pytest.raises(nova_errors.InvalidVolume) as caught:
        calls.reserve_block_device_name(CTX, "h1", made.uuid, "v1", bdm_uuid="b2", **wanted)
    assert caught.value.message == "Invalid volume: volume v1 already attached"
    bus.close()
    database.close()


HEAVY = {"eventlet", "libvirt", "taskflow", "openstack", "webob", "pecan", "os_brick", "oslo_privsep"}


def test_eventlet_and_libvirt_are_not_loaded_for_the_twin(config_file: Path) -> None:
    program = (
        "import sys; from nova_lite.cmd import compute; from nova_lite import conf\n"
        f"c = conf.load('x', ['--config-file', {str(config_file)!r}], logs=False)\n"
        "compute.build(c)\n"
        f"print(sorted(set(sys.modules) & {HEAVY}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_who_connects_volumes(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nova_lite.volume import brick_connector, qemu_connector

    def configured(*lines: str) -> object:
        text = config_file.read_text().replace("virt_driver = fake", "virt_driver = libvirt")
        path = config_file.with_name("other.conf")
        path.write_text("\n".join([text, "[libvirt]", *lines]))
        return nova_conf.load("nova-lite-compute", ["--config-file", str(path)], logs=False)

    monkeypatch.setattr(compute.initiator, "name", lambda state_path: "iqn.x:y")
    userspace = compute._connector(configured())
    assert isinstance(userspace, qemu_connector.UserspaceConnector)
    assert (userspace.initiator, userspace.properties()["ip"]) == ("iqn.x:y", "127.0.0.1")
    conf = configured("iscsi_initiator = host", "volume_use_multipath = true", "num_iscsi_scan_tries = 7")
    of_the_host = compute._connector(conf)
    assert isinstance(of_the_host, brick_connector.BrickConnector)
    settings = of_the_host._settings
    assert (settings.host, settings.my_ip, settings.multipath, settings.scan_attempts) == ("h1", "127.0.0.1", True, 7)
    assert settings.lock_path == f"{config_file.parent}/locks"


def test_a_user_that_does_not_exist_ends_the_start(config_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    config_file.write_text(config_file.read_text().replace("host = h1", "host = h1\nrun_as = nobody-here"))
    assert compute.main(["--config-file", str(config_file)]) == 1
