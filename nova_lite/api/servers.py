"""`/servers`: make, find, show, rename and delete servers. Source: Nova API reference, "Servers"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lite_common import db, errors
from lite_common.wsgi import expose
from nova_lite import flavors, images, policies
from nova_lite.api import paging, server_filters, server_requests, views
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import servers as schemas
from nova_lite.compute import api as compute_api
from nova_lite.compute import server_changes
from nova_lite.db import faults as faults_db
from nova_lite.db import servers, services


class ServersController:
    """Servers as clients see them; `down_time` is after how many silent seconds a host counts as down."""

    def __init__(
        self,
        compute: compute_api.ComputeApi,
        changes: server_changes.ServerChanges,
        image_store: images.ImageStore,
        flavor_table: flavors.FlavorTable,
        database: db.Database,
        *,
        down_time: float,
        max_limit: int,
    ) -> None:
        self._compute = compute
        self._changes = changes
        self._images = image_store
        self._flavors = flavor_table
        self._database = database
        self._down_time = down_time
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=answers.SERVERS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Ids and names of a page of servers."""
        found, limit = self._found(request, detail=False)
        return _listed(request, [views.server_summary(request, server) for server in found], limit)

    @expose.expose(query=schemas.LIST, answer=answers.SERVERS_DETAIL)
    def detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """A page of servers with all there is to say, at a number of SQL statements that does not grow with it."""
        found, limit = self._found(request, detail=True)
        return _listed(request, self._views(request, found), limit)

    @expose.expose(answer=answers.SERVER)
    def show(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """One server."""
        return self._shown(request, self._compute.get_server(request.context, server_id))

    @expose.expose(status=202, body=schemas.CREATE, media_types=types.MEDIA_TYPES, answer=answers.SERVER_MADE)
    def create(self, request: expose.ApiRequest) -> expose.Reply:
        """Begin to build a server, or several of one kind; answers with the first, or with what they have in common."""
        asked = request.body["server"]
        flavor = server_requests.flavor(asked, self._flavors)
        image = server_requests.image(asked, self._images)
        made = self._create_all(request, server_requests.new_servers(request, asked, flavor, image))
        if types.is_true(asked.get("return_reservation_id", False)):
            return expose.Reply({"reservation_id": made[0].reservation_id})
        shown = views.server_created(request, made[0])
        return expose.Reply({"server": shown}, headers={"Location": shown["links"][0]["href"]})

    @expose.expose(body=schemas.UPDATE, media_types=types.MEDIA_TYPES, answer=answers.SERVER_CHANGED)
    def update(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """The server with a new name, description, address or host name."""
        server = self._changes.update(request.context, server_id, server_requests.changes(request.body["server"]))
        if request.at_least("2.75"):
            return self._shown(request, server)
        tags = self._tags([server]).get(server.uuid, ())
        shown = views.server_updated(request, server, self._faults([server]).get(server.uuid), tags)
        return {"server": shown | _groups(request)}

    @expose.expose(status=204)
    def delete(self, request: expose.ApiRequest, server_id: str) -> None:
        """Begin to delete the server."""
        self._compute.delete_server(request.context, server_id)

    @expose.expose(answer=answers.NO_ADDRESSES)
    def addresses(self, request: expose.ApiRequest, server_id: str) -> dict[str, Any]:
        """The server's addresses by network: none, as servers here are in no network."""
        self._compute.get_server(request.context, server_id)
        return {"addresses": {}}

    @expose.expose()
    def addresses_of_network(self, request: expose.ApiRequest, server_id: str, network: str) -> dict[str, Any]:
        """Those in one network."""
        self._compute.get_server(request.context, server_id)
        raise errors.NotFound(f"Network label {network} is not found")

    def _create_all(self, request: expose.ApiRequest, wanted: Sequence[compute_api.NewServer]) -> list[servers.Server]:
        """All the servers or none: when one is refused, those begun before it are deleted."""
        made: list[servers.Server] = []
        try:
            for new in wanted:
                server = self._compute.create_server(request.context, new)
                made.append(server)
        except errors.LiteError:
            for server in made:
                self._compute.delete_server(request.context, server.uuid)
            raise
        return made

    def _found(self, request: expose.ApiRequest, *, detail: bool) -> tuple[list[servers.Server], int]:
        limit = paging.limit_of(request, self._max_limit)
        wanted = server_filters.read(request, detail=detail)
        if wanted is None:
            return [], limit
        found = self._compute.list_servers(
            request.context,
            wanted.filters,
            all_projects=wanted.all_projects,
            sort=wanted.sort,
            marker=request.value("marker"),
            limit=limit,
        )
        return found, limit

    def _shown(self, request: expose.ApiRequest, server: servers.Server) -> dict[str, Any]:
        (shown,) = self._views(request, [server])
        return {"server": shown | _groups(request)}

    def _views(self, request: expose.ApiRequest, found: Sequence[servers.Server]) -> list[dict[str, Any]]:
        volumes = self._compute.volumes_attached_of([server.uuid for server in found])
        faults = self._faults(found)
        tags = self._tags(found) if request.at_least("2.26") else {}
        hosts = self._host_statuses() if request.at_least("2.16") and request.may(policies.HOST_STATUS) else None
        inside = request.may(policies.EXTENDED_ATTRIBUTES)
        return [
            views.server(
                request,
                server,
                volumes.get(server.uuid, ()),
                faults.get(server.uuid),
                inside,
                None if hosts is None else hosts.get(server.host, "UNKNOWN") if server.host else "",
                tags.get(server.uuid, ()),
            )
            for server in found
        ]

    def _faults(self, found: Sequence[servers.Server]) -> Mapping[str, faults_db.Fault]:
        failed = [server.uuid for server in found if server.status in views.FAULT_STATUSES]
        return self._compute.faults_of(failed) if failed else {}

    def _tags(self, found: Sequence[servers.Server]) -> Mapping[str, Sequence[str]]:
        return self._compute.tags_of([server.uuid for server in found])

    def _host_statuses(self) -> dict[str, str]:
        found = services.list_all(self._database, binary=services.COMPUTE)
        return {one.host: views.host_status(one, self._down_time) for one in found}


def _groups(request: expose.ApiRequest) -> dict[str, Any]:
    """Servers are in no groups here; the long list never told."""
    return {"server_groups": []} if request.at_least("2.71") else {}


def _listed(request: expose.ApiRequest, shown: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"servers": shown}
    if links := expose.page_links(request, "marker", shown, limit):
        answer["servers_links"] = links
    return answer
