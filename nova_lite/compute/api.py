"""Servers, nova-api's half: check, write down what is wanted, hand over to the nova-compute that has the server.

What is wanted is in the database (the task state) before the message is sent, and is taken back when the bus does not
take it. Volumes of servers are in `attach_api`.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lite_common import context, db, errors, trace
from nova_lite import errors as nova_errors
from nova_lite import flavors, images, states
from nova_lite.compute import action_records, guard, local_delete
from nova_lite.compute.rpcapi import ComputeRpc
from nova_lite.db import actions, attachments, faults, server_lists, servers, services, tags
from nova_lite.db.server_lists import ServerFilters
from nova_lite.db.servers import Server
from nova_lite.volume.client import CinderClient

LOG = logging.getLogger(__name__)

ROOT_DEVICE = "/dev/vda"


@dataclass(frozen=True, slots=True)
class NewServer:
    """What a user asks for; `host` forces a host.

    Servers of one request share `reservation_id` and differ in `launch_index`.
    """

    name: str
    flavor: flavors.Flavor
    image: images.Image
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    availability_zone: str | None = None
    host: str | None = None
    hostname: str | None = None
    key_name: str | None = None
    user_data: str | None = None
    reservation_id: str | None = None
    launch_index: int = 0
    tags: Collection[str] = ()
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    auto_disk_config: bool = False


class ComputeApi:
    """What the REST controllers call. Another project's server is ServerNotFound, as one that does not exist."""

    def __init__(
        self, database: db.Database, rpc: ComputeRpc, cinder: CinderClient, *, service_down_time: float
    ) -> None:
        self._database = database
        self._rpc = rpc
        self._cinder = cinder
        self._down_time = service_down_time

    def create_server(self, ctx: context.RequestContext, new: NewServer) -> Server:
        """The new server, being built.

        Raises FlavorTooSmall, ComputeHostNotFound, NoValidHost; when the bus is down, errors.Unavailable and nothing is
        left.
        """
        _check_fits(new)
        host = self._choose_host(new)
        server_id = str(uuid.uuid4())
        servers.create(self._database, _columns(ctx, new, server_id, host))
        if new.tags:
            tags.replace(self._database, server_id, new.tags)
        server = servers.get(self._database, server_id)
        try:
            with action_records.begun(self._database, ctx, server_id, "create"):
                self._rpc.do_to_server(ctx, host, "build_server", server_id)
        except errors.Unavailable:
            servers.bury(self._database, server_id)
            raise
        return server

    def get_server(self, ctx: context.RequestContext, server_id: str) -> Server:
        """The server. Raises ServerNotFound."""
        return guard.visible(ctx, servers.get(self._database, server_id))

    def list_servers(
        self,
        ctx: context.RequestContext,
        filters: ServerFilters,
        *,
        all_projects: bool = False,
        sort: Sequence[tuple[str, str]] = (),
        marker: str | None = None,
        limit: int | None = None,
    ) -> list[Server]:
        """A page of the caller's servers (of everybody's with `all_projects`), as `server_lists.list_page`.

        Raises errors.Invalid for a pattern that is no regular expression, an unknown sort key or marker.
        """
        if not all_projects:
            filters = replace(filters, project_id=ctx.project_id)
        for pattern in filters.patterns.values():
            _check_pattern(pattern)
        for key, _ in sort:
            if key not in server_lists.SORT_KEYS:
                known = ", ".join(server_lists.SORT_KEYS)
                raise errors.Invalid(f"Servers cannot be sorted by {key}. Use one of {known}.")
        try:
            return server_lists.list_page(self._database, filters, sort=sort, marker=marker, limit=limit)
        except nova_errors.ServerNotFound as err:
            raise errors.Invalid(f"marker [{marker}] not found") from err

    @trace.operation("delete", "deleted", about="server", last=False, server="server_id")
    def delete_server(self, ctx: context.RequestContext, server_id: str) -> None:
        """Begin to delete the server with its attachments; one that is being deleted already is left to that.

        With its host down it is deleted here: the guest is removed when nova-compute is back there.
        Raises ServerLocked.
        """
        server, service = self._load(ctx, server_id)
        guard.check_unlocked(ctx, server)
        up = service is not None and service.is_up(self._down_time)
        if server.task_state == states.DELETING and up:
            trace.ends_here()
            return
        if not servers.move(self._database, server_id, "delete"):
            trace.ends_here()
            return
        if server.host is None or not up:
            self._delete_here(ctx, server)
            trace.ends_here()
            return
        self._hand_over(ctx, server, "delete", "delete", "terminate_server")

    def start(self, ctx: context.RequestContext, server_id: str) -> None:
        """Begin to start a stopped server. Raises ServerInvalidState, ServerLocked, HostDown, as all below."""
        self._begin(ctx, server_id, "start", "start", "start_server")

    def stop(self, ctx: context.RequestContext, server_id: str) -> None:
        """Begin to shut the server down."""
        self._begin(ctx, server_id, "stop", "stop", "stop_server")

    def reboot(self, ctx: context.RequestContext, server_id: str, *, hard: bool) -> None:
        """Begin to reboot the server: through its guest, or by switching it off and on."""
        self._begin(ctx, server_id, "reboot_hard" if hard else "reboot", "reboot", "reboot_server", hard=hard)

    def pause(self, ctx: context.RequestContext, server_id: str) -> None:
        """Begin to freeze the server."""
        self._begin(ctx, server_id, "pause", "pause", "pause_server")

    def unpause(self, ctx: context.RequestContext, server_id: str) -> None:
        """Begin to let a frozen server run on."""
        self._begin(ctx, server_id, "unpause", "unpause", "unpause_server")

    def console_output(self, ctx: context.RequestContext, server_id: str, length: int | None) -> str:
        """The last `length` lines (None: all) of the serial console. Raises HostDown."""
        server, service = self._load(ctx, server_id)
        host = guard.live_host(server, service, self._down_time)
        return self._rpc.get_console_output(ctx, host, server_id, length)

    def volumes_attached_of(self, server_ids: Collection[str]) -> dict[str, list[attachments.AttachedVolume]]:
        """The volumes of each server, merely reserved ones included, in one statement for a whole page."""
        return attachments.volumes_of(self._database, server_ids)

    def tags_of(self, server_ids: Collection[str]) -> dict[str, list[str]]:
        """The tags of each server, in one statement."""
        return tags.of_servers(self._database, server_ids)

    def faults_of(self, server_ids: Collection[str]) -> dict[str, faults.Fault]:
        """The last failure of each server that has one, in one statement."""
        return faults.latest(self._database, server_ids)

    def _load(self, ctx: context.RequestContext, server_id: str) -> tuple[Server, services.ServiceRecord | None]:
        server, service = servers.get_with_service(self._database, server_id)
        return guard.visible(ctx, server), service

    def _begin(
        self, ctx: context.RequestContext, server_id: str, move: str, action: str, operation: str, **arguments: Any
    ) -> None:
        server, service = self._load(ctx, server_id)
        guard.check_unlocked(ctx, server)
        guard.check_move(server, move, action)
        guard.live_host(server, service, self._down_time)
        if not servers.move(self._database, server_id, move):
            # Somebody was faster: say what the server is doing now.
            now = servers.get(self._database, server_id)
            guard.check_move(now, move, action)
            raise nova_errors.ServerInvalidState(
                action=action, server=server_id, attribute="vm_state", state=now.vm_state
            )
        self._hand_over(ctx, server, move, action, operation, **arguments)

    def _hand_over(
        self, ctx: context.RequestContext, server: Server, move: str, action: str, operation: str, **arguments: Any
    ) -> None:
        try:
            with action_records.begun(self._database, ctx, server.uuid, action):
                self._rpc.do_to_server(ctx, server.host or "", operation, server.uuid, **arguments)
        except errors.Unavailable:
            servers.take_back(self._database, server, move)
            raise

    def _delete_here(self, ctx: context.RequestContext, server: Server) -> None:
        """What cannot be deleted yet is left to the timer, which tells the end of the action then."""
        begun = db.utcnow()
        actions.begin(self._database, ctx, server.uuid, "delete")
        if local_delete.delete(self._database, self._cinder, ctx, server):
            told = actions.Event(local_delete.EVENT, begun, db.utcnow(), actions.SUCCESS, None, None, None)
            actions.add_event(self._database, ctx, server.uuid, told)

    def _choose_host(self, new: NewServer) -> str:
        """The wanted host, or of those that report the one with the fewest servers."""
        known = services.list_all(self._database, binary=services.COMPUTE)
        up = [one.host for one in known if one.is_up(self._down_time) and not one.disabled]
        if new.host is not None:
            if all(one.host != new.host for one in known):
                raise nova_errors.ComputeHostNotFound(host=new.host)
            up = [host for host in up if host == new.host]
        if not up:
            wanted = f"host {new.host}" if new.host else "any host"
            raise nova_errors.NoValidHost(
                reason=f"There is no nova-compute that is enabled and reports on {wanted}. See: nlite service-list"
            )
        if len(up) == 1:
            return up[0]
        load = servers.count_by_host(self._database)
        return min(up, key=lambda host: (load.get(host, 0), host))


def _check_fits(new: NewServer) -> None:
    if new.flavor.memory_mb < new.image.min_ram:
        raise nova_errors.FlavorTooSmall(
            what="memory", flavor=new.flavor.name, has=f"{new.flavor.memory_mb} MiB", needs=f"{new.image.min_ram} MiB"
        )
    if 0 < new.flavor.root_gb < new.image.min_disk:
        raise nova_errors.FlavorTooSmall(
            what="disk", flavor=new.flavor.name, has=f"{new.flavor.root_gb} GB", needs=f"{new.image.min_disk} GB"
        )


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as err:
        raise errors.Invalid(f"The filter {pattern!r} is no regular expression: {err}.") from err


def _columns(ctx: context.RequestContext, new: NewServer, server_id: str, host: str) -> dict[str, Any]:
    return {
        "uuid": server_id,
        "project_id": ctx.project_id,
        "user_id": ctx.user_id,
        "display_name": new.name,
        "display_description": new.description,
        "hostname": new.hostname or _hostname(new.name, server_id),
        "host": host,
        "node": host,
        "launched_on": host,
        "image_ref": new.image.id,
        "root_device_name": ROOT_DEVICE,
        "availability_zone": new.availability_zone,
        "memory_mb": new.flavor.memory_mb,
        "vcpus": new.flavor.vcpus,
        "root_gb": new.flavor.root_gb,
        "ephemeral_gb": new.flavor.ephemeral_gb,
        "flavor": asdict(new.flavor),
        "flavor_id": new.flavor.id,
        "access_ip_v4": new.access_ip_v4,
        "access_ip_v6": new.access_ip_v6,
        "auto_disk_config": new.auto_disk_config,
        "instance_metadata": new.metadata,
        "key_name": new.key_name,
        "user_data": new.user_data,
        "reservation_id": new.reservation_id or f"r-{uuid.uuid4().hex[:8]}",
        "launch_index": new.launch_index,
    }


def _hostname(name: str, server_id: str) -> str:
    """A host name made of a display name: letters, digits and dashes; the server's id where nothing is left."""
    kept = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return kept or f"server-{server_id}"
