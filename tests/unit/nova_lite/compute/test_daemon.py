"""The programs: nova-lite-manage makes the schema, nova-lite-compute builds, reports, takes messages and stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lite_common import context, db, errors, rpc
from nova_lite import conf as nova_conf
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
    assert "is at revision 0001" in capsys.readouterr().out

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


def test_eventlet_and_libvirt_are_not_loaded_for_the_twin(config_file: Path) -> None:
    program = (
        "import sys; from nova_lite.cmd import compute; from nova_lite import conf\n"
        f"c = conf.load('x', ['--config-file', {str(config_file)!r}], logs=False)\n"
        "compute.build(c)\n"
        "print(sorted(set(sys.modules) & {'eventlet', 'libvirt', 'taskflow', 'openstack', 'webob', 'pecan'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
