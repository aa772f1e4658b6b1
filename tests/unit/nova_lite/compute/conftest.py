"""nova-api's half and nova-compute's half wired together in one thread, over twins of everything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lite_common import context, db, errors
from nova_lite.compute import api, attach_api, manager
from nova_lite.compute import host as compute_host
from nova_lite.db import attachments, models, servers, services
from nova_lite.db.servers import Server
from nova_lite.flavors import Flavor
from nova_lite.images import ImageStore
from nova_lite.virt import driver
from nova_lite.virt.fake import FakeDriver
from nova_lite.volume.client import CinderClient
from nova_lite.volume.connector import FakeConnector
from tests.unit.nova_lite.cinder_twin import CinderTwin

HOST = "host1"
IMAGE_ID = "5c2f8f4e-1f5e-4a53-9d5e-7c1f1c0f7a10"


class DirectRpc:
    """The bus without a bus: calls and casts run the manager's method at once.

    `casts_fail` lets the bus be down, `calls_fail` raises its error (after the work when `calls_late`); with `queue`
    set, casts wait in it.
    """

    def __init__(self) -> None:
        self.manager: Any = None
        self.casts_fail: Exception | None = None
        self.calls_fail: Exception | None = None
        self.calls_late = False
        self.queue: list[Any] | None = None
        self.errors: list[Exception] = []

    def reserve_block_device_name(self, ctx: Any, host: str, server_id: str, volume_id: str, **wanted: Any) -> Any:
        assert host == HOST
        if self.calls_fail and not self.calls_late:
            raise self.calls_fail
        answer = self.manager.reserve_block_device_name(ctx, server_id, volume_id, **wanted)
        if self.calls_fail:
            raise self.calls_fail
        return answer

    def attach_volume(self, ctx: Any, host: str, server_id: str, bdm_uuid: str) -> None:
        self._cast(host, "attach_volume", ctx, server_id, bdm_uuid)

    def detach_volume(self, ctx: Any, host: str, server_id: str, volume_id: str, attachment_id: str | None) -> None:
        self._cast(host, "detach_volume", ctx, server_id, volume_id, attachment_id)

    def do_to_server(self, ctx: Any, host: str, operation: str, server_id: str, **arguments: Any) -> None:
        self._cast(host, operation, ctx, server_id, **arguments)

    def external_instance_event(self, ctx: Any, host: str, server_id: str, name: str, tag: str) -> None:
        self._cast(host, "external_instance_event", ctx, server_id, name, tag)

    def get_console_output(self, ctx: Any, host: str, server_id: str, length: int | None) -> str:
        return str(self.manager.get_console_output(ctx, server_id, length))

    def deliver(self) -> None:
        """Run what waits."""
        waiting, self.queue = self.queue or [], None
        for method, arguments, keywords in waiting:
            self._run(method, arguments, keywords)

    def _cast(self, host: str, method: str, *arguments: Any, **keywords: Any) -> None:
        assert host == HOST
        if self.casts_fail:
            raise self.casts_fail
        if self.queue is not None:
            self.queue.append((method, arguments, keywords))
            return
        self._run(method, arguments, keywords)

    def _run(self, method: str, arguments: Any, keywords: Any) -> None:
        try:
            getattr(self.manager, method)(*arguments, **keywords)
        except errors.LiteError as err:  # as the bus: nobody hears of a cast's error
            self.errors.append(err)


@dataclasses.dataclass
class Cloud:
    """Everything a test looks at."""

    database: db.Database
    twin: CinderTwin
    virt: FakeDriver
    connector: FakeConnector
    rpc: DirectRpc
    host: compute_host.ComputeHost
    api: api.ComputeApi
    volumes: attach_api.AttachmentApi
    images: ImageStore
    statements: list[str]
    ctx: context.RequestContext

    def legacy(self) -> None:
        """Begin new attachments by the volume actions."""
        self.volumes = attach_api.AttachmentApi(
            self.database, self.rpc, self.host.cinder, service_down_time=60, legacy=True  # type: ignore[arg-type]
        )  # fmt: skip

    def boot(self, **fields: Any) -> Server:
        new = api.NewServer(
            **{"name": "guest", "flavor": Flavor("42", "m1.nano", 128, 1), "image": self.images.get(IMAGE_ID)} | fields
        )
        return self.api.get_server(self.ctx, self.api.create_server(self.ctx, new).uuid)

    def server(self, server_id: str) -> Server:
        return servers.get(self.database, server_id, deleted=True)

    def set_server(self, server_id: str, **values: Any) -> None:
        with self.database.connection() as conn:
            conn.execute(models.instances.update().where(models.instances.c.uuid == server_id).values(values))

    def devices(self, server_id: str) -> list[attachments.BlockDevice]:
        return attachments.of_server(self.database, server_id)

    def disks(self, server_id: str) -> driver.AttachedVolumes:
        return self.virt.attached_volumes(server_id)

    def faults(self, server_id: str) -> list[tuple[int, str]]:
        table = models.instance_faults
        with self.database.connection() as conn:
            rows = conn.execute(
                sa.select(table.c.code, table.c.message).where(table.c.instance_uuid == server_id).order_by(table.c.id)
            )
            return [(row[0], row[1]) for row in rows]

    def report(self, host: str = HOST) -> None:
        services.report(self.database, host, services.COMPUTE, "compute")

    def silence(self, host: str = HOST) -> None:
        """Make the host's last report an old one."""
        table = models.services
        with self.database.connection() as conn:
            conn.execute(
                table.update().where(table.c.host == host).values(last_seen_up=sa.literal("2020-01-01 00:00:00.000000"))
            )

    def assert_as_before(self, server_id: str, volume_id: str) -> None:
        """Nothing of an attach is left anywhere."""
        assert volume_id not in [device.volume_id for device in self.devices(server_id)]
        assert self.twin.status(volume_id) == "available"
        assert not [one for one in self.twin.attachments.values() if one["volume_id"] == volume_id]
        assert volume_id not in self.disks(server_id).live | self.disks(server_id).stored
        assert volume_id not in self.connector.connected

    def assert_attached(self, server_id: str, volume_id: str) -> None:
        """The volume is in the guest and everybody says so."""
        assert [device.volume_id for device in self.devices(server_id)].count(volume_id) == 1
        assert self.twin.status(volume_id) == "in-use"
        assert volume_id in self.disks(server_id).stored
        assert volume_id in self.connector.connected


@pytest.fixture
def database(tmp_path: Path) -> Iterator[db.Database]:
    made = db.Database(f"sqlite:///{tmp_path}/nova.sqlite")
    models.metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def cloud(database: db.Database, tmp_path: Path) -> Cloud:
    directory = tmp_path / "images"
    directory.mkdir()
    (directory / "tiny.vmlinux").write_bytes(b"kernel")
    (directory / "tiny.json").write_text(
        f'{{"id": "{IMAGE_ID}", "name": "tiny", "kernel": "tiny.vmlinux", "min_ram": 64}}'
    )
    images = ImageStore(str(directory))
    twin, virt, connector, rpc = CinderTwin(), FakeDriver(), FakeConnector(host=HOST), DirectRpc()
    cinder = CinderClient(twin)
    host = compute_host.ComputeHost(HOST, database, cinder, virt, connector, images)
    rpc.manager = manager.ComputeManager(host)
    statements: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    made = Cloud(
        database=database,
        twin=twin,
        virt=virt,
        connector=connector,
        rpc=rpc,
        host=host,
        api=api.ComputeApi(database, rpc, cinder, service_down_time=60),  # type: ignore[arg-type]
        volumes=attach_api.AttachmentApi(database, rpc, cinder, service_down_time=60),  # type: ignore[arg-type]
        images=images,
        statements=statements,
        ctx=context.RequestContext(user_id="alice", project_id="demo", roles=["member"]),
    )
    made.report()
    return made


FLOWS = ("attachments", "legacy")
# nova-api asks for the volume, reserves; nova-compute connects, finishes: four requests and no more.
REQUESTS = {
    "attachments": ["GET volumes", "POST attachments", "PUT attachments", "os-complete"],
    "legacy": ["GET volumes", "os-reserve", "os-initialize_connection", "os-attach"],
}
RESERVE = {"attachments": "POST attachments", "legacy": "os-reserve"}
CONNECT = {"attachments": "PUT attachments", "legacy": "os-initialize_connection"}
FINISH = {"attachments": "os-complete", "legacy": "os-attach"}
DOWN = errors.Unavailable("volume at http://127.0.0.1:8776/v3 cannot be reached. Check that it runs there.")
BUS_DOWN = errors.Unavailable("RabbitMQ did not take the message")


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    if request.param == "legacy":
        cloud.legacy()
    return str(request.param)
