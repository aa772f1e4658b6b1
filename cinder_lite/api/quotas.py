"""/limits and /os-quota-sets: what a project may have and has."""

from __future__ import annotations

from typing import Any

from cinder_lite import policies, quota
from cinder_lite.api import listing
from cinder_lite.api.schemas import admin as schemas
from cinder_lite.api.schemas import answers, queries
from lite_common.wsgi import expose

NAMES = {
    quota.VOLUMES: ("maxTotalVolumes", "totalVolumesUsed"),
    quota.GIGABYTES: ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    "snapshots": ("maxTotalSnapshots", "totalSnapshotsUsed"),
    "backups": ("maxTotalBackups", "totalBackupsUsed"),
    "backup_gigabytes": ("maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
}


class QuotasController:
    """Quotas and limits."""

    def __init__(self, quotas: quota.QuotaEngine) -> None:
        self._quotas = quotas

    @expose.expose(query=queries.LIMITS, answer=answers.LIMITS)
    def limits(self, request: expose.ApiRequest) -> dict[str, Any]:
        """The caller's own limits and usage; from 3.39 an admin may name another project."""
        project = str(request.context.project_id)
        if request.context.is_admin and request.at_least("3.39"):
            project = request.value("project_id") or project
        found = self._quotas.describe(project)
        absolute = {}
        for name, (most, used) in NAMES.items():
            absolute[most] = found[name].limit
            absolute[used] = found[name].usage.in_use
        return {"limits": {"rate": [], "absolute": absolute}}

    @expose.expose(query=queries.QUOTA_SET, answer=answers.QUOTA_SET)
    def show(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """A project's quotas, with `usage=true` also what of them is used."""
        request.require(policies.QUOTAS_SHOW, project_id=project)
        with_usage = listing.flag(request.value("usage") or "false", "usage")
        return _quota_set(project, self._quotas.describe(project), with_usage)

    @expose.expose(answer=answers.QUOTA_SET)
    def defaults(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """The quotas of a project that has none of its own."""
        request.require(policies.QUOTAS_SHOW, project_id=project)
        return _quota_set(project, self._quotas.describe(project, defaults_only=True), False)

    @expose.expose(body=schemas.QUOTA_SET, answer=answers.QUOTA_SET)
    def update(self, request: expose.ApiRequest, project: str) -> dict[str, Any]:
        """Give a project quotas of its own (admin)."""
        asked = {name: value for name, value in request.body["quota_set"].items() if name != "tenant_id"}
        self._quotas.set_limits(project, asked)
        told = _quota_set(project, self._quotas.describe(project), False)
        told["quota_set"].pop("id")
        return told

    @expose.expose()
    def delete(self, request: expose.ApiRequest, project: str) -> None:
        """Let the defaults hold for a project again (admin)."""
        self._quotas.drop_limits(project)


def _quota_set(project: str, found: dict[str, quota.Entry], with_usage: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"id": project}
    for name, entry in found.items():
        usage = {"limit": entry.limit, "in_use": entry.usage.in_use, "reserved": entry.usage.reserved}
        told[name] = usage if with_usage else entry.limit
    return {"quota_set": told}
