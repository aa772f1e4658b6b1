"""The API over fakes: the real table of paths, controllers, schemas and views; no database, bus or Cinder."""

import dataclasses
import datetime
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import webob

from lite_common import errors, policy
from lite_common.wsgi import auth, records
from nova_lite import errors as nova_errors
from nova_lite import flavors, images, policies
from nova_lite.api import (
    app,
    attachment_sides,
    extensions,
    hypervisors,
    instance_actions,
    limits,
    quota_sets,
    routes,
    server_actions,
    server_external_events,
    server_metadata,
    server_tags,
    servers,
    service_changes,
    services,
    versions,
    volume_attachments,
    volume_proxies,
)
from nova_lite.api import flavors as flavors_api
from nova_lite.api import images as images_api
from nova_lite.db import attachments, faults
from nova_lite.db import servers as servers_db

SERVER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
VOLUME = "33333333-3333-4333-8333-333333333333"
ATTACHMENT = "44444444-4444-4444-8444-444444444444"
BDM = "55555555-5555-4555-8555-555555555555"
IMAGE = "5c2f8f4e-1f5e-4a53-9d5e-7c1f1c0f7a10"
NOW = datetime.datetime(2026, 8, 1, 12, 30, 15, 250000)


def a_server(**changes: Any) -> servers_db.Server:
    """An active server of project demo, changed as said."""
    flavor = dataclasses.asdict(flavors.Flavor("42", "m1.nano", 128, 1))
    values: dict[str, Any] = {name: None for name in servers_db.Server.__dataclass_fields__} | {
        "id": 7, "uuid": SERVER, "project_id": "demo", "user_id": "ann", "display_name": "s1", "hostname": "s1",
        "host": "host1", "node": "host1", "vm_state": "active", "power_state": 1, "image_ref": IMAGE,
        "root_device_name": "/dev/vda", "launched_at": NOW, "locked": False, "availability_zone": "nova",
        "memory_mb": 128, "vcpus": 1, "root_gb": 0, "ephemeral_gb": 0, "reservation_id": "r-abc", "launch_index": 0,
        "created_at": NOW, "updated_at": NOW, "deleted": 0, "flavor": flavor, "instance_metadata": {"a": "b"},
    }  # fmt: skip
    return servers_db.Server(**values | changes)


def a_device(**changes: Any) -> attachments.BlockDevice:
    """A volume of SERVER, attached as /dev/vdb, changed as said."""
    values: dict[str, Any] = {
        "id": 1, "uuid": BDM, "instance_uuid": SERVER, "volume_id": VOLUME, "attachment_id": ATTACHMENT,
        "device_name": "/dev/vdb", "boot_index": None, "tag": None, "delete_on_termination": False,
        "disk_bus": "virtio", "device_type": "disk", "volume_size": 1, "deleted": 0,
    }  # fmt: skip
    return attachments.BlockDevice(**values | changes)


class FakeCompute:
    """Stands for `compute.api.ComputeApi`: keeps servers in a dictionary and every call in `calls`."""

    def __init__(self) -> None:
        self.servers = {SERVER: a_server()}
        self.volumes: dict[str, list[attachments.AttachedVolume]] = {}
        self.faults: dict[str, faults.Fault] = {}
        self.tags: dict[str, list[str]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.fail_at: int | None = None

    def get_server(self, ctx: Any, server_id: str) -> servers_db.Server:
        server = self.servers.get(server_id)
        if server is None or not ctx.owns(server.project_id):
            raise nova_errors.ServerNotFound(server=server_id)
        return server

    def list_servers(self, ctx: Any, filters: Any, **how: Any) -> list[servers_db.Server]:
        self.calls.append(("list", filters, how))
        return list(self.servers.values())[: how["limit"]]

    def create_server(self, ctx: Any, new: Any) -> servers_db.Server:
        if self.fail_at == new.launch_index:
            raise nova_errors.NoValidHost(reason="None is up.")
        self.calls.append(("create", new))
        return a_server(uuid=f"{new.launch_index}" * 8 + SERVER[8:], display_name=new.name)

    def delete_server(self, ctx: Any, server_id: str) -> None:
        self.calls.append(("delete", server_id))

    def volumes_attached_of(self, server_ids: Any) -> dict[str, list[attachments.AttachedVolume]]:
        self.calls.append(("volumes_attached_of", tuple(server_ids)))
        return self.volumes

    def tags_of(self, server_ids: Any) -> dict[str, list[str]]:
        self.calls.append(("tags_of", tuple(server_ids)))
        return self.tags

    def faults_of(self, server_ids: Any) -> dict[str, faults.Fault]:
        self.calls.append(("faults_of", tuple(server_ids)))
        return self.faults

    def console_output(self, ctx: Any, server_id: str, length: int | None) -> str:
        self.calls.append(("console_output", server_id, length))
        return "login:"

    def reboot(self, ctx: Any, server_id: str, *, hard: bool) -> None:
        self.calls.append(("reboot", server_id, hard))

    def start(self, ctx: Any, server_id: str) -> None:
        self.calls.append(("start", server_id))

    def stop(self, ctx: Any, server_id: str) -> None:
        self.calls.append(("stop", server_id))

    def pause(self, ctx: Any, server_id: str) -> None:
        self.calls.append(("pause", server_id))

    def unpause(self, ctx: Any, server_id: str) -> None:
        self.calls.append(("unpause", server_id))


class FakeEvents:
    """Stands for `compute.external_events.ExternalEventApi`: answers with the `codes` in turn, 200 after them."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.told: list[tuple[str, str, str | None]] = []

    def dispatch(self, ctx: Any, name: str, server_id: str, tag: str | None) -> int:
        self.told.append((name, server_id, tag))
        return self.codes.pop(0) if self.codes else 200


class FakeChanges:
    """Stands for `compute.server_changes.ServerChanges`, for what is not looked at behind the API by other tests."""

    def __init__(self, compute: FakeCompute) -> None:
        self._compute = compute
        self.calls: list[tuple[Any, ...]] = []

    def update(self, ctx: Any, server_id: str, values: Any) -> servers_db.Server:
        self.calls.append(("update", server_id, values))
        return dataclasses.replace(self._compute.get_server(ctx, server_id), **values)

    def lock(self, ctx: Any, server_id: str, reason: str | None) -> None:
        self.calls.append(("lock", server_id, reason))

    def unlock(self, ctx: Any, server_id: str, *, override: bool) -> None:
        self.calls.append(("unlock", server_id))

    def reset_state(self, ctx: Any, server_id: str, state: str) -> None:
        self.calls.append(("reset_state", server_id, state))


class FakeVolumes:
    """Stands for `compute.attach_api.AttachmentApi`."""

    def __init__(self) -> None:
        self.devices = [a_device()]
        self.calls: list[tuple[Any, ...]] = []
        self.error: errors.LiteError | None = None

    def list_attachments(self, ctx: Any, server_id: str, *, limit: int, offset: int = 0, **more: Any) -> list[Any]:
        self.calls.append(("list", server_id, limit, offset))
        found = [device for device in self.devices if device.attachment_id or not more.get("by_attachment")]
        return found[offset : offset + limit]

    def get_attachment(self, ctx: Any, server_id: str, volume_id: str) -> attachments.BlockDevice:
        for device in self.devices:
            if device.volume_id == volume_id:
                return device
        raise nova_errors.VolumeNotAttached(server=server_id, volume=volume_id)

    def get_server(self, ctx: Any, server_id: str) -> None:
        if server_id != SERVER:
            raise nova_errors.ServerNotFound(server=server_id)

    def swap_volume(self, ctx: Any, server_id: str, volume_id: str, new_volume_id: str) -> None:
        self.calls.append(("swap", volume_id, new_volume_id))

    def attach_volume(self, ctx: Any, server_id: str, volume_id: str, **wanted: Any) -> attachments.BlockDevice:
        self.calls.append(("attach", server_id, volume_id, wanted))
        if self.error:
            raise self.error
        return a_device(tag=wanted["tag"], delete_on_termination=wanted["delete_on_termination"])

    def detach_volume(self, ctx: Any, server_id: str, volume_id: str, **how: Any) -> None:
        self.calls.append(("detach", server_id, volume_id))

    def set_delete_on_termination(self, ctx: Any, server_id: str, volume_id: str, value: bool) -> None:
        self.calls.append(("set_delete_on_termination", volume_id, value))


class Api:
    """The application, asked as a client asks it."""

    def __init__(self, image_directory: pathlib.Path) -> None:
        self.compute = FakeCompute()
        self.changes = FakeChanges(self.compute)
        self.volumes = FakeVolumes()
        self.events = FakeEvents()
        store, table = images.ImageStore(str(image_directory)), flavors.FlavorTable()
        nobody: Any = None
        self.controllers = routes.Controllers(
            versions=versions.VersionsController(),
            servers=servers.ServersController(
                self.compute,
                self.changes,
                store,
                table,
                nobody,
                down_time=60,
                max_limit=5,  # type: ignore[arg-type]  # a fake
            ),
            server_actions=server_actions.ServerActionsController(self.compute, self.changes),  # type: ignore[arg-type]
            server_metadata=server_metadata.ServerMetadataController(nobody),
            server_tags=server_tags.ServerTagsController(nobody),
            instance_actions=instance_actions.InstanceActionsController(nobody, 1000),
            hypervisors=hypervisors.HypervisorsController(nobody, 60, 1000),
            limits=limits.LimitsController(nobody),
            quota_sets=quota_sets.QuotaSetsController(nobody),
            service_changes=service_changes.ServiceChangesController(nobody, 60),
            volume_attachments=volume_attachments.VolumeAttachmentsController(
                self.volumes,
                1000,  # type: ignore[arg-type]  # a fake
            ),
            flavors=flavors_api.FlavorsController(table, 1000),
            services=services.ServicesController(nobody, 60),
            images=images_api.ImagesController(store, 1000),
            external_events=server_external_events.ServerExternalEventsController(
                self.events,  # type: ignore[arg-type]  # a fake
            ),
            extensions=extensions.ExtensionsController(),
            volume_proxies=volume_proxies.VolumeProxiesController(nobody),
            steps=records.StepsController(nobody, 1000),
            operations=records.OperationsController(nobody, 1000),
            attachment_sides=attachment_sides.AttachmentSidesController(nobody, 1000),
        )
        self._app = app.application(
            self.controllers,
            auth.NoAuth("demo", "secret"),
            rules=policy.Policy(policies.RULES),
            max_body=10_000,
            healthy=lambda: None,
        )

    def __call__(
        self,
        path: str,
        method: str = "GET",
        version: str | None = None,
        *,
        token: str = "ann:demo",
        json_: Any = None,
        host: str = "localhost",
        content_type: str | None = None,
    ) -> webob.Response:
        headers = {"X-Auth-Token": token, "Host": host}
        if version:
            headers["OpenStack-API-Version"] = f"compute {version}"
        if content_type:
            headers["Content-Type"] = content_type
        body: dict[str, Any] = {} if json_ is None else {"body": json.dumps(json_).encode()}
        return webob.Request.blank(path, method=method, headers=headers, **body).get_response(self._app)


@pytest.fixture
def image_directory(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory with one image, tiny."""
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    described = {"id": IMAGE, "name": "tiny", "kernel": "vmlinuz", "min_ram": 64, "created_at": "2026-01-01T00:00:00Z"}
    (tmp_path / "tiny.json").write_text(json.dumps(described))
    return tmp_path


@pytest.fixture
def api(image_directory: pathlib.Path) -> Api:
    """The application over fakes."""
    return Api(image_directory)


@pytest.fixture
def message() -> Callable[[webob.Response], str]:
    """The text of a fault."""

    def read(answer: webob.Response) -> str:
        (fault,) = answer.json.values()
        assert fault["code"] == answer.status_int
        assert not re.search(r"Traceback|site-packages", fault["message"])
        return str(fault["message"])

    return read
