"""`/extensions`: the names that parts of the API had before microversions; old clients look here for what there is.

Source: Nova API reference, "Extensions (DEPRECATED)". Only what is served is in the list.
"""

from __future__ import annotations

from typing import Any

from lite_common import errors
from lite_common.wsgi import expose
from nova_lite.api.schemas import answers

# The same for all of them in Nova.
UPDATED = "2014-12-03T00:00:00Z"
NAMESPACE = "http://docs.openstack.org/compute/ext/fake_xml"
# Name and description by alias.
SERVED: dict[str, tuple[str, str]] = {
    "OS-DCF": ("DiskConfig", "Disk Management Extension."),
    "OS-EXT-AZ": ("ExtendedAvailabilityZone", "Extended Availability Zone support."),
    "OS-EXT-SRV-ATTR": ("ExtendedServerAttributes", "Extended Server Attributes support."),
    "OS-EXT-STS": ("ExtendedStatus", "Extended Status support."),
    "OS-FLV-DISABLED": ("FlavorDisabled", "Support to show the disabled status of a flavor."),
    "OS-FLV-EXT-DATA": ("FlavorExtraData", "Provide additional data for flavors."),
    "OS-SRV-USG": ("ServerUsage", "Adds launched_at and terminated_at on Servers."),
    "os-admin-actions": ("AdminActions", "Enable admin-only server actions."),
    "os-availability-zone": ("AvailabilityZone", "Add availability zones to servers, and list them."),
    "os-console-output": ("ConsoleOutput", "Console log output support, with tailing ability."),
    "os-extended-volumes": ("ExtendedVolumes", "Extended Volumes support."),
    "os-flavor-extra-specs": ("FlavorExtraSpecs", "Flavor extra specs support."),
    "os-hypervisors": ("Hypervisors", "Hypervisor details."),
    "os-instance-actions": ("InstanceActions", "What was done to a server, and when."),
    "os-lock-server": ("LockServer", "Lock and unlock servers."),
    "os-multiple-create": ("MultipleCreate", "Make several servers with one request."),
    "os-pause-server": ("PauseServer", "Pause and unpause servers."),
    "os-quota-sets": ("Quotas", "Quotas of projects."),
    "os-server-external-events": ("ServerExternalEvents", "Events that other services tell of servers."),
    "os-services": ("Services", "The daemons, up or down."),
    "os-used-limits": ("UsedLimits", "Provide data on limited resource usage."),
    "os-user-data": ("UserData", "Add user_data to the Create Server API."),
    "os-volumes": ("Volumes", "Volumes support."),
}


class ExtensionsController:
    """A fixed list."""

    @expose.expose(answer=answers.EXTENSIONS)
    def index(self, request: expose.ApiRequest) -> dict[str, Any]:
        """All of them, by alias."""
        return {"extensions": [_view(alias) for alias in sorted(SERVED)]}

    @expose.expose(answer=answers.EXTENSION)
    def show(self, request: expose.ApiRequest, alias: str) -> dict[str, Any]:
        """One."""
        if alias not in SERVED:
            raise errors.NotFound()
        return {"extension": _view(alias)}


def _view(alias: str) -> dict[str, Any]:
    name, description = SERVED[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "namespace": NAMESPACE,
        "updated": UPDATED,
        "links": [],
    }
