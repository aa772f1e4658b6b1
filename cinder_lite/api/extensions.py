"""/extensions: the names that parts of the API had before microversions; old clients look here for what there is.

Source: Block Storage API reference, "API extensions (extensions)". Only what is served is in the list.
"""

from __future__ import annotations

from typing import Any

from cinder_lite.api.schemas import answers
from lite_common.wsgi import expose

# Name, description and age by alias.
SERVED: dict[str, tuple[str, str, str]] = {
    "OS-SCH-HNT": ("SchedulerHints", "Pass arbitrary key/value pairs to the scheduler.", "2013-04-18T00:00:00+00:00"),
    "os-admin-actions": ("AdminActions", "Enable admin actions.", "2012-08-25T00:00:00+00:00"),
    "os-availability-zone": ("AvailabilityZones", "Describe Availability Zones.", "2013-06-27T00:00:00+00:00"),
    "os-extended-snapshot-attributes": (
        "ExtendedSnapshotAttributes", "Extended SnapshotAttributes support.", "2012-06-19T00:00:00+00:00",
    ),
    "os-quota-class-sets": ("QuotaClasses", "Quota classes management support.", "2012-03-12T00:00:00+00:00"),
    "os-quota-sets": ("Quotas", "Quota management support.", "2011-08-08T00:00:00+00:00"),
    "os-services": ("Services", "Services support.", "2012-10-28T00:00:00+00:00"),
    "os-snapshot-actions": ("SnapshotActions", "Enable snapshot manager actions.", "2013-07-16T00:00:00+00:00"),
    "os-types-extra-specs": ("TypesExtraSpecs", "Type extra specs support.", "2011-08-24T00:00:00+00:00"),
    "os-types-manage": ("TypesManage", "Types manage support.", "2011-08-24T00:00:00+00:00"),
    "os-used-limits": ("UsedLimits", "Provide data on limited resource usage.", "2013-10-03T00:00:00+00:00"),
    "os-vol-host-attr": ("VolumeHostAttribute", "Expose a volume's host.", "2011-11-03T00:00:00+00:00"),
    "os-vol-mig-status-attr": (
        "VolumeMigStatusAttribute", "Expose migration_status as an attribute of a volume.", "2013-08-08T00:00:00+00:00",
    ),
    "os-vol-tenant-attr": (
        "VolumeTenantAttribute", "Expose the internal project_id as an attribute of a volume.",
        "2011-11-03T00:00:00+00:00",
    ),
    "os-volume-actions": ("VolumeActions", "Enable volume actions.", "2012-05-31T00:00:00+00:00"),
    "os-volume-type-access": ("VolumeTypeAccess", "Volume type access support.", "2014-06-26T00:00:00Z"),
    "scheduler-stats": ("Scheduler_stats", "Scheduler stats support.", "2014-09-07T00:00:00+00:00"),
}  # fmt: skip


class ExtensionsController:
    """A fixed list."""

    @expose.expose(answer=answers.EXTENSIONS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """All of them, by alias."""
        return {
            "extensions": [
                {"alias": alias, "name": name, "description": description, "updated": updated, "links": []}
                for alias, (name, description, updated) in sorted(SERVED.items())
            ]
        }
