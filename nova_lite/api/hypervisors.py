"""`/os-hypervisors`: the hosts that guests run on, for admins.

Source: Nova API reference, "Hypervisors"; microversions 2.28, 2.33, 2.53, 2.75, 2.88.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lite_common import db, errors
from lite_common.wsgi import expose
from nova_lite.api import paging
from nova_lite.api.schemas import answers, types
from nova_lite.api.schemas import hypervisors as schemas
from nova_lite.db import compute_nodes, server_lists
from nova_lite.db.compute_nodes import Node

# From here on hosts are known by UUIDs, and their servers and names are asked for in the query.
BY_UUID = "2.53"
# From here on nothing is told of capacities: those are Placement's business.
NO_CAPACITY = "2.88"
BEFORE_NO_CAPACITY = "2.87"
BEFORE_BY_UUID = "2.52"


class HypervisorsController:
    """Lists and shows hosts; `down_time` is after how many silent seconds one counts as down."""

    def __init__(self, database: db.Database, down_time: float, max_limit: int) -> None:
        self._database = database
        self._down_time = down_time
        self._max_limit = max_limit

    @expose.expose(query=schemas.LIST, answer=answers.HYPERVISORS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Hosts with their states."""
        return self._listed(request, detailed=False)

    @expose.expose(query=schemas.LIST, answer=answers.HYPERVISORS_DETAIL)
    def detail(self, request: expose.ApiRequest) -> dict[str, Any]:
        """Hosts with all there is to say."""
        return self._listed(request, detailed=True)

    @expose.expose(query=schemas.SHOW, answer=answers.HYPERVISOR)
    def show(self, request: expose.ApiRequest, node_id: str) -> dict[str, Any]:
        """One host."""
        shown = self._view(request, self._find(request, node_id), detailed=True)
        if request.at_least(BY_UUID) and types.is_true(request.value("with_servers") or ""):
            self._add_servers(request, [shown])
        return {"hypervisor": shown}

    @expose.expose(until=BEFORE_NO_CAPACITY, answer=answers.HYPERVISOR_STATISTICS)
    def statistics(self, request: expose.ApiRequest) -> dict[str, Any]:
        """What all hosts that are enabled have together."""
        shown = [_capacity(node) for node in compute_nodes.list_all(self._database) if not node.service.disabled]
        names = ("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used", "free_ram_mb",
                 "free_disk_gb", "current_workload", "running_vms", "disk_available_least")  # fmt: skip
        sums = {name: sum(one[name] for one in shown) for name in names}
        return {"hypervisor_statistics": sums | {"count": len(shown)}}

    @expose.expose(also=(501,), until=BEFORE_NO_CAPACITY)
    def uptime(self, request: expose.ApiRequest, node_id: str) -> dict[str, Any]:
        """Not told here."""
        node = self._find(request, node_id)
        raise errors.NotImplementedHere(f"Virt driver does not implement uptime function. Host: {node.host}.")

    @expose.expose(until=BEFORE_BY_UUID, answer=answers.HYPERVISORS)
    def search(self, request: expose.ApiRequest, pattern: str) -> dict[str, Any]:
        """Hosts whose names have the text in them."""
        return {"hypervisors": [self._view(request, node, detailed=False) for node in self._named(pattern)]}

    @expose.expose(until=BEFORE_BY_UUID, answer=answers.HYPERVISORS)
    def servers(self, request: expose.ApiRequest, pattern: str) -> dict[str, Any]:
        """The same with their servers."""
        shown = [self._view(request, node, detailed=False) for node in self._named(pattern)]
        self._add_servers(request, shown)
        return {"hypervisors": shown}

    def _listed(self, request: expose.ApiRequest, *, detailed: bool) -> dict[str, Any]:
        pattern = request.value("hypervisor_hostname_pattern") if request.at_least(BY_UUID) else None
        found: Sequence[Node] = compute_nodes.list_all(self._database) if pattern is None else self._named(pattern)
        limit = self._max_limit
        if request.at_least("2.33"):
            if pattern is not None and (request.value("limit") or request.value("marker")):
                raise errors.Invalid(
                    "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
                )
            limit = paging.limit_of(request, self._max_limit)
            found = paging.page_of(found, request.value("marker"), limit, lambda node: str(_id(request, node)))
        shown = [self._view(request, node, detailed=detailed) for node in found]
        answer: dict[str, Any] = {"hypervisors": shown}
        if request.at_least("2.33") and (links := expose.page_links(request, "marker", shown, limit)):
            answer["hypervisors_links"] = links
        if request.at_least(BY_UUID) and types.is_true(request.value("with_servers") or ""):
            self._add_servers(request, shown)
        return answer

    def _named(self, pattern: str) -> list[Node]:
        nodes = compute_nodes.list_all(self._database)
        found = [node for node in nodes if pattern in node.facts.hypervisor_hostname]
        if not found:
            raise errors.NotFound(f"No hypervisor matching '{pattern}' could be found.")
        return found

    def _find(self, request: expose.ApiRequest, node_id: str) -> Node:
        if request.at_least(BY_UUID) and not expose.is_uuid(node_id):
            raise errors.Invalid(f"Invalid uuid {node_id}")
        for node in compute_nodes.list_all(self._database):
            if str(_id(request, node)) == node_id:
                return node
        raise errors.NotFound(f"Hypervisor with ID '{node_id}' could not be found.")

    def _add_servers(self, request: expose.ApiRequest, shown: Sequence[dict[str, Any]]) -> None:
        """Add the servers of each host in one statement; before 2.75 a host without any had no list of them."""
        by_host: dict[str | None, list[dict[str, str]]] = {}
        for server in server_lists.list_page(self._database, server_lists.ServerFilters(), sort=[("id", "asc")]):
            by_host.setdefault(server.node, []).append({"name": server.display_name, "uuid": server.uuid})
        for one in shown:
            found = by_host.get(one["hypervisor_hostname"], [])
            if found or request.at_least("2.75"):
                one["servers"] = found

    def _view(self, request: expose.ApiRequest, node: Node, *, detailed: bool) -> dict[str, Any]:
        service = node.service
        shown: dict[str, Any] = {
            "id": _id(request, node),
            "hypervisor_hostname": node.facts.hypervisor_hostname,
            "state": "up" if service.is_up(self._down_time) else "down",
            "status": "disabled" if service.disabled else "enabled",
        }
        if not detailed:
            return shown
        shown |= {
            "hypervisor_type": node.facts.hypervisor_type,
            "hypervisor_version": node.facts.hypervisor_version,
            "host_ip": node.facts.host_ip,
            "service": {
                "id": service.uuid if request.at_least(BY_UUID) else service.id,
                "host": service.host,
                "disabled_reason": service.disabled_reason,
            },
        }
        if request.at_least(NO_CAPACITY):
            return shown | {"uptime": None}
        return shown | _capacity(node) | {"cpu_info": {} if request.at_least("2.28") else ""}


def _id(request: expose.ApiRequest, node: Node) -> str | int:
    return node.uuid if request.at_least(BY_UUID) else node.id


def _capacity(node: Node) -> dict[str, Any]:
    free_disk = node.facts.local_gb - node.local_gb_used
    return {
        "vcpus": node.facts.vcpus,
        "memory_mb": node.facts.memory_mb,
        "local_gb": node.facts.local_gb,
        "vcpus_used": node.vcpus_used,
        "memory_mb_used": node.memory_mb_used,
        "local_gb_used": node.local_gb_used,
        "free_ram_mb": node.facts.memory_mb - node.memory_mb_used,
        "free_disk_gb": free_disk,
        "disk_available_least": free_disk,
        "current_workload": 0,
        "running_vms": node.servers,
    }
