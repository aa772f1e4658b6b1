"""`/os-quota-sets`: what a project may have. Servers are not limited here, and nothing can be set; -1 says so.

Source: Nova API reference, "Quota sets"; microversions 2.36, 2.57.
"""

from __future__ import annotations

from typing import Any

from lite_common import db
from lite_common.wsgi import expose
from nova_lite import policies
from nova_lite.api.limits import UNLIMITED
from nova_lite.api.schemas import answers
from nova_lite.compute import server_changes
from nova_lite.db import server_lists

NETWORKS = ("floating_ips", "fixed_ips", "security_groups", "security_group_rules")
FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
GROUPS = ("server_groups", "server_group_members")


class QuotaSetsController:
    """Shows quotas, with what is used of them if so asked."""

    def __init__(self, database: db.Database) -> None:
        self._database = database

    @expose.expose(answer=answers.QUOTA_SET)
    def show(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """The limits of a project: the caller's own, to admins any."""
        request.require(policies.QUOTAS_SHOW, project_id=project)
        return {"quota_set": {"id": project} | _limits(request)}

    @expose.expose(answer=answers.QUOTA_SET)
    def defaults(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """The limits of a project for which nobody has set any: of every project."""
        return {"quota_set": {"id": project} | _limits(request)}

    @expose.expose(answer=answers.QUOTA_SET)
    def detail(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """The limits with their use."""
        request.require(policies.QUOTAS_DETAIL, project_id=project)
        found = server_lists.usage(self._database, project)
        used = {"instances": found.servers, "cores": found.vcpus, "ram": found.memory_mb}
        return {
            "quota_set": {"id": project}
            | {
                name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
                for name, limit in _limits(request).items()
            }
        }


def _limits(request: expose.ApiRequest) -> dict[str, int]:
    shown = {
        "instances": UNLIMITED,
        "cores": UNLIMITED,
        "ram": UNLIMITED,
        "metadata_items": server_changes.MAX_METADATA,
        "key_pairs": 0,
    }
    if not request.at_least("2.36"):
        shown |= dict.fromkeys(NETWORKS, 0)
    shown |= dict.fromkeys(GROUPS, 0)
    if not request.at_least("2.57"):
        shown |= dict.fromkeys(FILES, 0)
    return shown
