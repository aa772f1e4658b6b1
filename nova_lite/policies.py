"""Who may do what in the compute API: one rule for each route, with the names and defaults that Nova has.

`oslopolicy-sample-generator --namespace nova-lite` writes them down for operators. How they are applied:
`lite_common.policy`. Source: Nova configuration reference, "Policies"; the image rules: Glance's.
"""

from __future__ import annotations

from oslo_policy import policy as oslo_policy

from lite_common import policy

READER = "rule:project_reader_or_admin"
MEMBER = "rule:project_member_or_admin"
ADMIN = "rule:context_is_admin"
SERVICE = "rule:service_api"
ANYBODY = "@"

ROOT = "os_compute_api:"
ALL_TENANTS = ROOT + "servers:index:get_all_tenants"
ALL_TENANTS_DETAIL = ROOT + "servers:detail:get_all_tenants"
ALL_FILTERS = ROOT + "servers:allow_all_filters"
HOST_STATUS = ROOT + "servers:show:host_status"
EXTENDED_ATTRIBUTES = ROOT + "os-extended-server-attributes"
DESTINATION = "compute:servers:create:requested_destination"
FORCED_HOST = ROOT + "servers:create:forced_host"
SWAP = ROOT + "os-volumes-attachments:swap"

BASE = [
    oslo_policy.RuleDefault("context_is_admin", "role:admin", "Who is an administrator."),
    oslo_policy.RuleDefault("admin_or_owner", "is_admin:True or project_id:%(project_id)s", "For older policy files."),
    oslo_policy.RuleDefault("admin_api", "is_admin:True", "For older policy files."),
    oslo_policy.RuleDefault(
        "project_member_api", "role:member and project_id:%(project_id)s", "Who may change things."
    ),
    oslo_policy.RuleDefault("project_reader_api", "role:reader and project_id:%(project_id)s", "Who may see things."),
    oslo_policy.RuleDefault(
        "project_member_or_admin", "rule:project_member_api or rule:context_is_admin", "Who may change things."
    ),
    oslo_policy.RuleDefault(
        "project_reader_or_admin", "rule:project_reader_api or rule:context_is_admin", "Who may see things."
    ),
    oslo_policy.RuleDefault("service_api", "role:service", "Another service, by its token."),
]


def _rule(name: str, check: str, what: str, *operations: str) -> oslo_policy.DocumentedRuleDefault:
    return policy.guarding(name, check, what, *operations, project=True)


def _action(name: str, key: str, what: str, check: str = MEMBER) -> oslo_policy.DocumentedRuleDefault:
    return _rule(ROOT + name, check, what, f"POST /servers/{{server_id}}/action ({key})")


SERVERS = [
    _rule(ROOT + "servers:index", READER, "List servers", "GET /servers"),
    _rule(ROOT + "servers:detail", READER, "List servers with all fields", "GET /servers/detail"),
    _rule(ROOT + "servers:show", READER, "Show a server", "GET /servers/{server_id}"),
    _rule(ROOT + "servers:create", MEMBER, "Create a server", "POST /servers"),
    _rule(ROOT + "servers:update", MEMBER, "Rename a server", "PUT /servers/{server_id}"),
    _rule(ROOT + "servers:delete", MEMBER, "Delete a server", "DELETE /servers/{server_id}"),
    _action("servers:start", "os-start", "Start a server"),
    _action("servers:stop", "os-stop", "Stop a server"),
    _action("servers:reboot", "reboot", "Reboot a server"),
    _action("os-pause-server:pause", "pause", "Pause a server"),
    _action("os-pause-server:unpause", "unpause", "Let a paused server go on"),
    _action("os-console-output", "os-getConsoleOutput", "Read a server's console"),
]

_OF_SERVER = "/servers/{server_id}/os-volume_attachments"
ATTACHMENTS = [
    _rule(ROOT + "os-volumes-attachments:index", READER, "List a server's volumes", f"GET {_OF_SERVER}"),
    _rule(ROOT + "os-volumes-attachments:show", READER, "Show a volume of a server", f"GET {_OF_SERVER}/{{volume_id}}"),
    _rule(ROOT + "os-volumes-attachments:create", MEMBER, "Attach a volume", f"POST {_OF_SERVER}"),
    _rule(ROOT + "os-volumes-attachments:delete", MEMBER, "Detach a volume", f"DELETE {_OF_SERVER}/{{volume_id}}"),
]

OTHERS = [
    _rule(
        ROOT + "flavors", ANYBODY, "List and show flavors", "GET /flavors", "GET /flavors/detail", "GET /flavors/{id}"
    ),
    _rule(ROOT + "os-flavor-extra-specs:index", READER, "Extra specs", "GET /flavors/{flavor_id}/os-extra_specs"),
    _rule(
        ROOT + "os-flavor-extra-specs:show", READER, "One extra spec", "GET /flavors/{flavor_id}/os-extra_specs/{key}"
    ),
    _rule(ROOT + "os-services:list", ADMIN, "List daemons", "GET /os-services"),
    _rule(ROOT + "os-availability-zone:list", ANYBODY, "List zones", "GET /os-availability-zone"),
    _rule(ROOT + "os-availability-zone:detail", ADMIN, "Zones with hosts", "GET /os-availability-zone/detail"),
    _rule("get_images", READER, "List images", "GET /image/v2/images"),
    _rule("get_image", READER, "Show an image", "GET /image/v2/images/{image_id}"),
]

_UPDATE_VOLUME = f"PUT {_OF_SERVER}/{{volume_id}}"
_SHOWN = ("GET /servers/{server_id}", "GET /servers/detail")
PARTS = [
    _rule(ALL_TENANTS, ADMIN, "List servers of all projects", "GET /servers"),
    _rule(ALL_TENANTS_DETAIL, ADMIN, "List servers of all projects with all fields", "GET /servers/detail"),
    _rule(ALL_FILTERS, ADMIN, "Filter by what others may not see", "GET /servers", "GET /servers/detail"),
    _rule(HOST_STATUS, ADMIN, "See how the server's host is", *_SHOWN),
    _rule(EXTENDED_ATTRIBUTES, ADMIN, "See host, domain name and the like", *_SHOWN),
    _rule(DESTINATION, ADMIN, "Choose the host of a new server by name", "POST /servers"),
    _rule(FORCED_HOST, ADMIN, "Choose the host of a new server in the zone's name", "POST /servers"),
    _rule(SWAP, SERVICE, "Replace a server's volume by another", _UPDATE_VOLUME),
]
# Whether it is an update or a swap shows in the body, so the handler may have to ask for the other one.
ATTACHMENTS.append(_rule(ROOT + "os-volumes-attachments:update", MEMBER, "Change an attachment", _UPDATE_VOLUME))

RULES = policy.RuleSet(
    base=BASE,
    routes=[*SERVERS, *ATTACHMENTS, *OTHERS],
    parts=PARTS,
    public=[("GET", path) for path in ("/", "/v2", "/v2.1", "/image", "/image/versions")],
)


def list_rules() -> list[oslo_policy.RuleDefault]:
    """Every rule, for oslo.policy's generators."""
    return RULES.all()


def get_enforcer() -> oslo_policy.Enforcer:
    """The rules as a daemon with this configuration would have them, for oslopolicy-policy-generator and others."""
    return policy.tool_enforcer(RULES, "nova-lite")
