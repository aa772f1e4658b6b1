"""cinder-scheduler and cinder-volume as they are wired by their main programs: creating, trying elsewhere, restarts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from cinder_lite import conf as options
from cinder_lite.cmd import scheduler as scheduler_cmd
from cinder_lite.cmd import volume as volume_cmd
from cinder_lite.db import attachments, migrations, services, types, volumes
from cinder_lite.drivers import base as drivers
from cinder_lite.drivers import fake as fake_driver
from cinder_lite.scheduler import rpcapi as scheduler_rpc
from cinder_lite.targets import base as targets
from cinder_lite.targets import fake as fake_target
from cinder_lite.volume import rpcapi as volume_rpc
from lite_common import config, context, db, errors, rpc, service
from tests.unit.cinder_lite.volume.conftest import CONNECTOR

HOST = "functional-volume"
CONF = """
[DEFAULT]
host = {host}
state_path = {directory}
transport_url = fake://
control_exchange = {host}
rpc_response_timeout = 5
report_interval = 1
enabled_backends = small, large
[database]
connection = sqlite:///{directory}/cinder.sqlite
[small]
volume_driver = fake
target_helper = fake
[large]
volume_driver = fake
target_helper = fake
"""


def eventually(told: Callable[[], Any], expected: Any, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while (found := told()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    assert found == expected


class Site:
    """A scheduler, a volume daemon with two backends, and the client's side of both."""

    def __init__(self, directory: Path) -> None:
        # One in-process bus serves all tests of the run, so each site has an exchange and a host of its own.
        self.host = f"{HOST}-{uuid.uuid4().hex[:6]}"
        file = directory / "cinder.conf"
        file.write_text(CONF.format(directory=directory, host=self.host))
        self._arguments = ["--config-file", str(file)]
        conf = self.conf()
        self.database = db.from_conf(conf)
        db.upgrade(self.database, migrations.LOCATION)
        self.parts = {
            name: (
                fake_driver.FakeDriver(drivers.Pool(name), capacity),
                fake_target.FakeTarget("iqn.2010-10.org.openstack:", "127.0.0.1:3260", busy_wait=0.05),
            )
            for name, capacity in (("small", 10), ("large", 20))
        }
        bus = rpc.Bus(conf, ["cinder_lite.errors"])
        self.scheduler, self.volume = scheduler_rpc.SchedulerRpc(bus), volume_rpc.VolumeRpc(bus)
        self.ctx = context.admin_context(overwrite=False)
        self.running: list[service.Service] = []

    def conf(self) -> cfg.ConfigOpts:
        return config.load(options.PROJECT, "test", [options.OPTIONS], self._arguments, logs=False)

    def start(self) -> service.Service:
        """Start a volume daemon over the same backends."""
        return self._started(volume_cmd.build(self.conf(), self.parts))

    def start_scheduler(self) -> service.Service:
        return self._started(scheduler_cmd.build(self.conf()))

    def _started(self, built: service.Service) -> service.Service:
        built.start()
        self.running.append(built)
        return built

    def stop(self) -> None:
        for one in reversed(self.running):
            one.stop()

    def create(self, size: int = 1) -> str:
        """What cinder-api does: the row, then the cast."""
        volume_id = str(uuid.uuid4())
        with self.database.connection() as conn:
            default = types.find(conn, "__DEFAULT__")
        assert default is not None
        row = {"id": volume_id, "size": size, "project_id": "p", "volume_type_id": default.id}
        row["availability_zone"] = "nova"
        self.database.run(lambda conn: volumes.insert(conn, row, {}))
        self.scheduler.create_volume(self.ctx, volume_id, {}, {})
        return volume_id

    def read(self, volume_id: str) -> volumes.Volume:
        with self.database.connection() as conn:
            return volumes.get(conn, volume_id)

    def backends_up(self) -> set[str]:
        with self.database.connection() as conn:
            return {one.host.partition("@")[2] for one in services.listed(conn, binary="cinder-volume")}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.start_scheduler()
    made.start()
    yield made
    made.stop()


def test_a_volume_is_made_on_the_roomiest_backend_and_deleted(site: Site) -> None:
    volume_id = site.create()
    eventually(lambda: site.read(volume_id).status, "available")
    assert site.read(volume_id).host == f"{site.host}@large#large"
    with site.database.connection() as conn:
        assert volumes.begin_deleting(conn, volume_id)
    site.volume.delete_volume(site.ctx, f"{site.host}@large#large", volume_id)
    eventually(lambda: site.parts["large"][0].volumes, {})


def test_a_backend_that_fails_gives_way_to_another(site: Site) -> None:
    site.parts["large"][0].broken = "input/output error"
    volume_id = site.create()
    eventually(lambda: site.read(volume_id).status, "available")
    assert site.read(volume_id).host == f"{site.host}@small#small"


def test_when_all_fail_the_volume_is_in_error(site: Site) -> None:
    for driver, _ in site.parts.values():
        driver.broken = "input/output error"
    volume_id = site.create()
    eventually(lambda: site.read(volume_id).status, "error")
    too_large = site.create(size=20 * 20 + 1)
    eventually(lambda: site.read(too_large).status, "error")


def test_attaching_over_rpc_and_a_restart_of_daemon_and_target(site: Site) -> None:
    volume_id = site.create()
    eventually(lambda: site.read(volume_id).status, "available")
    host = str(site.read(volume_id).host)
    attachment_id = attachments.reserve(site.database, volume_id, None, str(uuid.uuid4()), None)
    assert attachment_id is not None
    info = site.volume.attachment_update(site.ctx, host, volume_id, attachment_id, CONNECTOR)
    assert attachments.complete(site.database, attachment_id, None)
    auth = targets.Auth(info["auth_username"], info["auth_password"])
    site.running.pop().stop()
    target = site.parts["large"][1]
    target.restart()
    site.start()
    # Exports are complete before the daemon takes messages, so nothing is to be waited for.
    assert target.login(str(site.read(volume_id).provider_location), auth, CONNECTOR["initiator"])
    with pytest.raises(errors.Conflict, match=CONNECTOR["initiator"]):
        site.volume.attachment_delete(site.ctx, host, volume_id, attachment_id)
    target.logout(str(site.read(volume_id).provider_location), CONNECTOR["initiator"])
    target.restart()
    eventually(lambda: target.login(str(site.read(volume_id).provider_location), auth, CONNECTOR["initiator"]), True)
    target.logout(str(site.read(volume_id).provider_location), CONNECTOR["initiator"])
    site.volume.attachment_delete(site.ctx, host, volume_id, attachment_id)
    assert target.exported() == set()


def test_errors_of_the_backend_arrive_as_themselves(site: Site) -> None:
    volume_id = site.create()
    eventually(lambda: site.read(volume_id).status, "available")
    host = str(site.read(volume_id).host)
    attachment_id = attachments.reserve(site.database, volume_id, None, str(uuid.uuid4()), None)
    assert attachment_id is not None
    with pytest.raises(errors.Invalid) as invalid:
        site.volume.attachment_update(site.ctx, host, volume_id, attachment_id, {"host": "compute1"})
    assert invalid.value.code == 400
    assert "initiator" in invalid.value.message
    site.parts["large"][1].down = "killed"
    with pytest.raises(errors.Unavailable) as unavailable:
        site.volume.attachment_update(site.ctx, host, volume_id, attachment_id, CONNECTOR)
    assert "killed" in unavailable.value.message


def test_a_backend_that_is_broken_at_the_start_joins_when_it_is_repaired(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.parts["large"][0].broken = "not mounted"
    try:
        site.start_scheduler()
        site.start()
        assert site.backends_up() == {"small"}
        first = site.create()
        eventually(lambda: site.read(first).status, "available")
        assert site.read(first).host == f"{site.host}@small#small"
        site.parts["large"][0].broken = ""
        eventually(site.backends_up, {"small", "large"})
    finally:
        site.stop()


def test_work_of_a_killed_daemon_is_finished_at_the_next_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.start_scheduler()
        daemon = site.start()
        volume_id = site.create()
        eventually(lambda: site.read(volume_id).status, "available")
        host = str(site.read(volume_id).host)
        site.running.remove(daemon)
        daemon.stop()
        with site.database.connection() as conn:
            assert volumes.begin_deleting(conn, volume_id)
            half_made = str(uuid.uuid4())
            row = {"id": half_made, "size": 1, "project_id": "p", "host": host}
            row["volume_type_id"] = site_type(site)
        site.database.run(lambda conn: volumes.insert(conn, row, {}))
        site.start()
        eventually(lambda: site.read(half_made).status, "available")
        eventually(lambda: set(site.parts["large"][0].volumes), {f"volume-{half_made}"})
    finally:
        site.stop()


def site_type(site: Site) -> str:
    with site.database.connection() as conn:
        found = types.find(conn, "__DEFAULT__")
    assert found is not None
    return found.id


def test_a_scheduler_started_last_asks_for_reports(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.start()
        site.start_scheduler()
        eventually(lambda: len(site.scheduler.get_pools(site.ctx)), 2)
    finally:
        site.stop()


def test_no_backend_enabled_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "empty.conf"
    file.write_text("[DEFAULT]\ntransport_url = fake://\n")
    conf = config.load(options.PROJECT, "test", [options.OPTIONS], ["--config-file", str(file)], logs=False)
    with pytest.raises(errors.Invalid, match="enabled_backends"):
        volume_cmd.build(conf)
