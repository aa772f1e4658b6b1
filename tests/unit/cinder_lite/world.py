"""cinder-api over a real SQLite file, asked through its whole WSGI stack, with twins of the daemons behind RPC."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import webob

from cinder_lite import policies
from cinder_lite.api import app
from cinder_lite.db import attachments, changes, services, snapshots, types, volumes
from cinder_lite.volume import requests
from lite_common import context, db, errors, policy
from lite_common.wsgi import auth, pipeline

SECRET = "s3cret"
HOST = "host1@fake1#fake1"
CONNECTOR = {"host": "compute1", "ip": "127.0.0.1", "initiator": "iqn.2010-10.org.openstack:c1"}


@dataclass
class SchedulerTwin:
    """Takes what is cast and gives each volume a backend, as far as the database shows it."""

    database: db.Database
    down: bool = False
    places: bool = True
    specs: list[dict[str, Any]] = field(default_factory=list)
    pools: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": HOST, "capabilities": {"free_capacity_gb": 1}}]
    )
    told: list[tuple[str, ...]] = field(default_factory=list)

    def create_volume(
        self, ctx: context.RequestContext, volume_id: str, request_spec: dict[str, Any], filters: dict[str, Any]
    ) -> None:
        if self.down:
            raise errors.Unavailable("RabbitMQ cannot be reached.")
        self.specs.append(request_spec)
        if self.places:
            with self.database.connection() as conn:
                volumes.update(conn, volume_id, host=HOST)
                assert volumes.move(conn, "created", volume_id)

    def create_snapshot(self, ctx: context.RequestContext, snapshot_id: str) -> None:
        self._told("create_snapshot", snapshot_id)
        if self.places:
            with self.database.connection() as conn:
                assert snapshots.move(conn, "created", snapshot_id)

    def extend_volume(self, ctx: context.RequestContext, volume_id: str) -> None:
        self._told("extend_volume", volume_id)
        if self.places:
            with self.database.connection() as conn:
                size = changes.pending(conn, volume_id).new_size
            assert changes.finish(self.database, "extended", volume_id, size=size)

    def retype(self, ctx: context.RequestContext, volume_id: str, migration_policy: str) -> None:
        self._told("retype", volume_id, migration_policy)
        if self.places:
            with self.database.connection() as conn:
                new = changes.pending(conn, volume_id).new_type_id
            assert changes.finish(self.database, "retyped", volume_id, volume_type_id=new)

    def _told(self, *what: str) -> None:
        if self.down:
            raise errors.Unavailable("RabbitMQ cannot be reached.")
        self.told.append(what)

    def get_pools(self, ctx: context.RequestContext) -> list[dict[str, Any]]:
        return self.pools


@dataclass
class DaemonTwin:
    """Writes what the volume daemon writes; `failure` is raised by the next call instead."""

    database: db.Database
    failure: errors.LiteError | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def _called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.failure:
            raise self.failure

    def delete_volume(self, ctx: context.RequestContext, host: str, volume_id: str) -> None:
        self._called("delete_volume", host, volume_id)
        volumes.destroy(self.database, volume_id)

    def delete_snapshot(self, ctx: context.RequestContext, host: str, snapshot_id: str) -> None:
        self._called("delete_snapshot", host, snapshot_id)
        snapshots.destroy(self.database, snapshot_id)

    def attachment_update(
        self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        self._called("attachment_update", host, volume_id, attachment_id)
        info = {"driver_volume_type": "iscsi", "attachment_id": attachment_id, "access_mode": "rw"}
        assert attachments.connect(
            self.database, volume_id, attachment_id, connector=connector, connection_info=info, mode="rw"
        )
        return info

    def attachment_delete(self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str) -> None:
        self._called("attachment_delete", host, volume_id, attachment_id)

    def initialize_connection(
        self, ctx: context.RequestContext, host: str, volume_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        self._called("initialize_connection", host, volume_id)
        return {"driver_volume_type": "iscsi", "data": {"target_lun": 1}}

    def terminate_connection(self, ctx: context.RequestContext, host: str, volume_id: str, connector: Any) -> None:
        self._called("terminate_connection", host, volume_id)

    def attach_volume(
        self,
        ctx: context.RequestContext,
        host: str,
        volume_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> None:
        self._called("attach_volume", host, volume_id, instance_uuid, host_name, mountpoint, mode)
        values = {
            "instance_uuid": instance_uuid,
            "attached_host": host_name,
            "mountpoint": mountpoint,
            "attach_mode": mode,
        }
        assert attachments.attach(self.database, volume_id, values)

    def detach_volume(self, ctx: context.RequestContext, host: str, volume_id: str, attachment_id: str | None) -> None:
        self._called("detach_volume", host, volume_id, attachment_id)
        with self.database.connection() as conn:
            found = attachments.of_volume(conn, volume_id)
        for one in found:
            if attachment_id in (None, one.id):
                attachments.remove(self.database, volume_id, one.id)


@dataclass
class ComputeTwin:
    """The compute API's knowledge: which attachment a server uses."""

    used: dict[str, str] = field(default_factory=dict)
    down: bool = False

    def used_attachment(self, ctx: context.RequestContext, server_id: str, volume_id: str) -> str | None:
        if self.down:
            raise errors.Unavailable("compute cannot be reached.")
        return self.used.get(server_id)


class World:
    """The application with its twins; `statements` are those of the last request."""

    def __init__(self, database: db.Database, **quotas: int) -> None:
        self.database = database
        self.scheduler = SchedulerTwin(database)
        self.daemon = DaemonTwin(database)
        self.compute = ComputeTwin()
        self.statements: list[str] = []
        sa.event.listen(database.engine, "before_cursor_execute", self._note)
        limits = {"volumes": 10, "gigabytes": 100, "per_volume_gigabytes": -1} | quotas
        self.settings = app.Settings(requests.Defaults("__DEFAULT__", "nova", False), limits, 60, 60, 1000, 114688)
        self.app: pipeline.Pipeline = app.build(
            app.Parts(database, self.scheduler, self.daemon, self.compute),
            self.settings,
            auth.NoAuth("demo", SECRET),
            policy.Policy(policies.RULES),
            self._healthy,
        )
        services.beat(database, "host1@fake1", "cinder-volume", "cinder-volume", "nova")

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str = "3.69",
        token: str = "admin:demo",
        trusted: bool = False,
        **headers: str,
    ) -> webob.Response:
        """The answer to a request at microversion `version`; `trusted`: with the service secret."""
        sent = {"X-Auth-Token": token, "OpenStack-API-Version": f"volume {version}", **headers}
        if trusted:
            sent["X-Service-Token"] = SECRET
        data = json.dumps(body).encode() if body is not None else b""
        if data:
            sent.setdefault("Content-Type", "application/json")
        request = webob.Request.blank(f"/v3{path}", method=method, headers=sent, body=data)
        self.statements.clear()
        return request.get_response(self.app)

    def volume(self, *, token: str = "admin:demo", **asked: Any) -> str:
        """The id of a new available volume."""
        answer = self.ask("POST", "/volumes", {"volume": {"size": 1, **asked}}, token=token)
        assert answer.status_int == 202, answer.text
        return str(answer.json["volume"]["id"])

    def snapshot(self, volume_id: str, *, token: str = "admin:demo", **asked: Any) -> str:
        """The id of a new available snapshot."""
        answer = self.ask("POST", "/snapshots", {"snapshot": {"volume_id": volume_id, **asked}}, token=token)
        assert answer.status_int == 202, answer.text
        return str(answer.json["snapshot"]["id"])

    def action(self, volume_id: str, name: str, value: Any = None, **kw: Any) -> webob.Response:
        """The answer to an action."""
        return self.ask("POST", f"/volumes/{volume_id}/action", {name: value}, **kw)

    def status(self, volume_id: str) -> tuple[str, str]:
        """The volume's two states."""
        with self.database.connection() as conn:
            found = volumes.get(conn, volume_id)
        return found.status, found.attach_status

    def reserve(self, volume_id: str, server: str | None = None) -> str:
        """The id of a new reserved attachment."""
        wanted = {"volume_uuid": volume_id, "instance_uuid": server or str(uuid.uuid4())}
        answer = self.ask("POST", "/attachments", {"attachment": wanted})
        assert answer.status_int == 200, answer.text
        return str(answer.json["attachment"]["id"])

    def attach(self, volume_id: str, server: str | None = None) -> str:
        """The id of a new attachment that went all the way."""
        attachment_id = self.reserve(volume_id, server)
        body = {"attachment": {"connector": CONNECTOR}}
        assert self.ask("PUT", f"/attachments/{attachment_id}", body).status_int == 200
        assert self.ask("POST", f"/attachments/{attachment_id}/action", {"os-complete": None}).status_int == 204
        return attachment_id

    def shared_type(self) -> str:
        """The name of a type whose volumes may be attached several times."""
        with self.database.connection() as conn:
            types.insert(conn, "shared", None, True, {"multiattach": "<is> True"})
        return "shared"

    def rows(self, table: str) -> int:
        """How many live rows the table has."""
        with self.database.connection() as conn:
            return int(conn.execute(sa.text(f"SELECT count(*) FROM {table} WHERE deleted = 0")).scalar_one())

    def usage(self, project: str = "demo") -> dict[str, tuple[int, int]]:
        """quota_usages of volumes and gigabytes: (in_use, reserved)."""
        text = "SELECT resource, in_use, reserved FROM quota_usages WHERE project_id = :p"
        with self.database.connection() as conn:
            found = {row[0]: (row[1], row[2]) for row in conn.execute(sa.text(text), {"p": project})}
        return {name: found.get(name, (0, 0)) for name in ("volumes", "gigabytes")}

    def _healthy(self) -> None:
        with self.database.connection() as conn:
            services.probe(conn)

    def _note(self, conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        self.statements.append(statement)
