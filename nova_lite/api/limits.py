"""`/limits`: how much a project may have, and has. Nothing is limited here but metadata; -1 says that.

Source: Nova API reference, "Limits"; microversions 2.36, 2.39, 2.57, 2.75.
"""

from __future__ import annotations

from typing import Any

from lite_common import db
from lite_common.wsgi import expose
from nova_lite import policies
from nova_lite.api.schemas import answers
from nova_lite.api.schemas import hypervisors as schemas
from nova_lite.compute import server_changes
from nova_lite.db import server_lists

UNLIMITED = -1


class LimitsController:
    """Shows the limits of the caller's project, to admins those of any."""

    def __init__(self, database: db.Database) -> None:
        self._database = database

    @expose.expose(query=schemas.LIMITS, answer=answers.LIMITS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The limits, and what is used of them."""
        project = request.value("tenant_id") or request.context.project_id
        if project != request.context.project_id:
            request.require(policies.OTHER_LIMITS)
        used = server_lists.usage(self._database, project)
        return {"limits": {"rate": [], "absolute": _absolute(request, used)}}


def _absolute(request: expose.ApiRequest, used: server_lists.Usage) -> dict[str, int]:
    shown = {
        "maxTotalInstances": UNLIMITED,
        "maxTotalCores": UNLIMITED,
        "maxTotalRAMSize": UNLIMITED,
        "maxServerMeta": server_changes.MAX_METADATA,
        "maxTotalKeypairs": 0,
        "maxServerGroups": 0,
        "maxServerGroupMembers": 0,
        "totalInstancesUsed": used.servers,
        "totalCoresUsed": used.vcpus,
        "totalRAMUsed": used.memory_mb,
        "totalServerGroupsUsed": 0,
    }
    if not request.at_least("2.36"):
        shown |= {
            "maxTotalFloatingIps": 0,
            "maxSecurityGroups": 0,
            "maxSecurityGroupRules": 0,
            "totalFloatingIpsUsed": 0,
            "totalSecurityGroupsUsed": 0,
        }
    if not request.at_least("2.39"):
        shown["maxImageMeta"] = server_changes.MAX_METADATA
    if not request.at_least("2.57"):
        shown |= {"maxPersonality": 0, "maxPersonalitySize": 0}
    return shown
