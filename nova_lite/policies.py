"""Who may do what in the compute API: one rule for each route, with the names and defaults that Nova has.

`oslopolicy-sample-generator --namespace nova-lite` writes them down for operators. How they are applied:
`lite_common.policy`. Source: Nova configuration reference, "Policies"; the image rules: Glance's.
"""

from __future__ import annotations

from oslo_policy import policy as oslo_policy

from lite_common import policy

READER = "rule:project_reader_or_admin"
MEMBER = "rule:project_member_or_admin"
MANAGER = "rule:project_manager_or_admin"
ADMIN = "rule:context_is_admin"
SERVICE = "rule:service_api"
SERVICE_OR_ADMIN = "rule:service_or_admin"
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
UNLOCK_OVERRIDE = ROOT + "os-lock-server:unlock:unlock_override"
EVENTS = ROOT + "os-instance-actions:events"
EVENTS_DETAILS = ROOT + "os-instance-actions:events:details"
OTHER_LIMITS = ROOT + "limits:other_project"
QUOTAS_SHOW = ROOT + "os-quota-sets:show"
QUOTAS_DETAIL = ROOT + "os-quota-sets:detail"

BASE = [
    oslo_policy.RuleDefault("context_is_admin", "role:admin", "Who is an administrator."),
    oslo_policy.RuleDefault("admin_or_owner", "is_admin:True or project_id:%(project_id)s", "For older policy files."),
    oslo_policy.RuleDefault("admin_api", "is_admin:True", "For older policy files."),
    oslo_policy.RuleDefault(
        "project_member_api", "role:member and project_id:%(project_id)s", "Who may change things."
    ),
    oslo_policy.RuleDefault("project_reader_api", "role:reader and project_id:%(project_id)s", "Who may see things."),
    oslo_policy.RuleDefault(
        "project_manager_api", "role:manager and project_id:%(project_id)s", "Who may manage a project's things."
    ),
    oslo_policy.RuleDefault(
        "project_manager_or_admin", "rule:project_manager_api or rule:context_is_admin", "Who may manage things."
    ),
    oslo_policy.RuleDefault(
        "project_member_or_admin", "rule:project_member_api or rule:context_is_admin", "Who may change things."
    ),
    oslo_policy.RuleDefault(
        "project_reader_or_admin", "rule:project_reader_api or rule:context_is_admin", "Who may see things."
    ),
    oslo_policy.RuleDefault("service_api", "role:service", "Another service, by its token."),
    oslo_policy.RuleDefault(
        "service_or_admin", "rule:service_api or rule:context_is_admin", "Another service or an administrator."
    ),
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

# Those that are not served stand here too, so that who may not do a thing hears that first, as in Nova.
OTHER_ACTIONS = [
    _action("os-lock-server:lock", "lock", "Lock a server"),
    _action("os-lock-server:unlock", "unlock", "Unlock a server"),
    _action("os-admin-actions:reset_state", "os-resetState", "Set a server's state", ADMIN),
    _action("os-admin-actions:inject_network_info", "injectNetworkInfo", "Not served", ADMIN),
    _action("os-admin-actions:reset_network", "resetNetwork", "Not served", ADMIN),
    _action("os-admin-password", "changePassword", "Not served"),
    _action("os-create-backup", "createBackup", "Not served"),
    _action("os-deferred-delete:force", "forceDelete", "Delete a server at once"),
    _action("os-deferred-delete:restore", "restore", "Not served"),
    _action("os-evacuate", "evacuate", "Not served", ADMIN),
    _action("os-migrate-server:migrate", "migrate", "Not served", MANAGER),
    _action("os-migrate-server:migrate_live", "os-migrateLive", "Not served", MANAGER),
    _action("os-rescue", "rescue", "Not served"),
    _action("os-unrescue", "unrescue", "Not served"),
    _action("os-security-groups:add", "addSecurityGroup", "Not served"),
    _action("os-security-groups:remove", "removeSecurityGroup", "Not served"),
    _action("os-shelve:shelve", "shelve", "Not served"),
    _action("os-shelve:shelve_offload", "shelveOffload", "Not served", ADMIN),
    _action("os-shelve:unshelve", "unshelve", "Not served"),
    _action("os-suspend-server:suspend", "suspend", "Not served"),
    _action("os-suspend-server:resume", "resume", "Not served"),
    _action("servers:confirm_resize", "confirmResize", "Not served"),
    _action("servers:create_image", "createImage", "Not served"),
    _action("servers:rebuild", "rebuild", "Not served"),
    _action("servers:resize", "resize", "Not served"),
    _action("servers:revert_resize", "revertResize", "Not served"),
    _action("servers:trigger_crash_dump", "trigger_crash_dump", "Not served"),
    *(
        _rule(ROOT + name, MEMBER, "Not served", *(f"POST /servers/{{server_id}}/action ({key})" for key in keys))
        for name, keys in {
            "os-multinic:add": ["addFixedIp"],
            "os-multinic:remove": ["removeFixedIp"],
            "os-floating-ips:add": ["addFloatingIp"],
            "os-floating-ips:remove": ["removeFloatingIp"],
            "os-remote-consoles": [f"os-get{kind}Console" for kind in ("VNC", "SPICE", "RDP", "Serial")],
        }.items()
    ),
]

_METADATA, _TAGS = "/servers/{server_id}/metadata", "/servers/{server_id}/tags"
_HISTORY = "/servers/{server_id}/os-instance-actions"
OF_SERVERS = [
    _rule(ROOT + "server-metadata:index", READER, "See a server's metadata", f"GET {_METADATA}"),
    _rule(ROOT + "server-metadata:show", READER, "See one pair", f"GET {_METADATA}/{{key}}"),
    _rule(ROOT + "server-metadata:create", MEMBER, "Add metadata", f"POST {_METADATA}"),
    _rule(ROOT + "server-metadata:update_all", MEMBER, "Replace metadata", f"PUT {_METADATA}"),
    _rule(ROOT + "server-metadata:update", MEMBER, "Change one pair", f"PUT {_METADATA}/{{key}}"),
    _rule(ROOT + "server-metadata:delete", MEMBER, "Remove one pair", f"DELETE {_METADATA}/{{key}}"),
    _rule(ROOT + "os-server-tags:index", READER, "List a server's tags", f"GET {_TAGS}"),
    _rule(ROOT + "os-server-tags:show", READER, "Whether a server has a tag", f"GET {_TAGS}/{{tag}}"),
    _rule(ROOT + "os-server-tags:update_all", MEMBER, "Replace a server's tags", f"PUT {_TAGS}"),
    _rule(ROOT + "os-server-tags:update", MEMBER, "Add a tag", f"PUT {_TAGS}/{{tag}}"),
    _rule(ROOT + "os-server-tags:delete_all", MEMBER, "Remove a server's tags", f"DELETE {_TAGS}"),
    _rule(ROOT + "os-server-tags:delete", MEMBER, "Remove a tag", f"DELETE {_TAGS}/{{tag}}"),
    _rule(ROOT + "os-instance-actions:list", READER, "List what was done to a server", f"GET {_HISTORY}"),
    _rule(ROOT + "os-instance-actions:show", READER, "Show it", f"GET {_HISTORY}/{{request_id}}"),
    _rule(ROOT + "ips:index", READER, "See a server's addresses", "GET /servers/{server_id}/ips"),
    _rule(ROOT + "ips:show", READER, "See those of a network", "GET /servers/{server_id}/ips/{network}"),
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
    _rule(ROOT + "os-attachment-sides:index", READER, "See all sides of attachments", "GET /os-attachment-sides"),
    _rule(ROOT + "os-attachment-sides:heal", ADMIN, "Make them agree", "POST /os-attachment-sides/heal"),
    _rule(ROOT + "os-services:list", ADMIN, "List daemons", "GET /os-services"),
    _rule(ROOT + "os-services:update", ADMIN, "Change a daemon's service", "PUT /os-services/{service_id}"),
    _rule(ROOT + "os-services:delete", ADMIN, "Forget a daemon", "DELETE /os-services/{service_id}"),
    *(
        _rule(ROOT + f"os-hypervisors:{name}", ADMIN, "Look at hypervisors", f"GET /os-hypervisors{path}")
        for name, path in {
            "list": "",
            "list-detail": "/detail",
            "statistics": "/statistics",
            "show": "/{hypervisor_id}",
            "uptime": "/{hypervisor_id}/uptime",
            "search": "/{pattern}/search",
            "servers": "/{pattern}/servers",
        }.items()
    ),
    _rule(ROOT + "extensions", ANYBODY, "List extensions", "GET /extensions", "GET /extensions/{alias}"),
    _rule(ROOT + "limits", ANYBODY, "Limits and what of them is used", "GET /limits"),
    _rule(QUOTAS_SHOW, READER, "Show a project's quotas", "GET /os-quota-sets/{project_id}"),
    _rule(ROOT + "os-quota-sets:defaults", ANYBODY, "Default quotas", "GET /os-quota-sets/{project_id}/defaults"),
    _rule(QUOTAS_DETAIL, READER, "Quotas with usage", "GET /os-quota-sets/{project_id}/detail"),
    _rule(
        ROOT + "os-server-external-events:create",
        SERVICE_OR_ADMIN,
        "Tell of what has happened to a server's volumes",
        "POST /os-server-external-events",
    ),
    _rule(ROOT + "os-steps:index", READER, "See what was done, step by step", "GET /os-steps"),
    _rule(ROOT + "os-operations:index", READER, "See what was wanted of things", "GET /os-operations"),
    _rule(ROOT + "os-availability-zone:list", ANYBODY, "List zones", "GET /os-availability-zone"),
    _rule(ROOT + "os-availability-zone:detail", ADMIN, "Zones with hosts", "GET /os-availability-zone/detail"),
    _rule("get_images", READER, "List images", "GET /image/v2/images"),
    _rule("get_image", READER, "Show an image", "GET /image/v2/images/{image_id}"),
]

# Until 2.35: requests that are passed on to Cinder, which asks its own rules, too.
PROXIES = [
    _rule(f"{ROOT}os-volumes:{name}", check, f"{what}, by way of Cinder", operation)
    for prefix, one in (("", "volume"), ("snapshots:", "snapshot"))
    for name, check, what, operation in (
        (f"{prefix}list", READER, f"List {one}s", f"GET /os-{one}s"),
        (f"{prefix}create", MEMBER, f"Create a {one}", f"POST /os-{one}s"),
        (f"{prefix}detail", READER, f"List {one}s with all fields", f"GET /os-{one}s/detail"),
        (f"{prefix}show", READER, f"Show a {one}", f"GET /os-{one}s/{{{one}_id}}"),
        (f"{prefix}delete", MEMBER, f"Delete a {one}", f"DELETE /os-{one}s/{{{one}_id}}"),
    )
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
    _rule(
        UNLOCK_OVERRIDE,
        ADMIN,
        "Unlock what somebody else has locked",
        "POST /servers/{server_id}/action (unlock)",
    ),
    _rule(EVENTS, ADMIN, "See the events of it", f"GET {_HISTORY}/{{request_id}}"),
    _rule(EVENTS_DETAILS, ADMIN, "And why they failed", f"GET {_HISTORY}/{{request_id}}"),
    _rule(OTHER_LIMITS, ADMIN, "See another project's limits", "GET /limits"),
    _rule(SWAP, SERVICE, "Replace a server's volume by another", _UPDATE_VOLUME),
]
# Whether it is an update or a swap shows in the body, so the handler may have to ask for the other one.
ATTACHMENTS.append(_rule(ROOT + "os-volumes-attachments:update", MEMBER, "Change an attachment", _UPDATE_VOLUME))

RULES = policy.RuleSet(
    base=BASE,
    routes=[*SERVERS, *OTHER_ACTIONS, *OF_SERVERS, *ATTACHMENTS, *OTHERS, *PROXIES],
    parts=PARTS,
    public=[
        ("GET", path)
        for path in ("/", "/v2", "/v2.1", "/image", "/image/versions", "/openapi.json", "/v2.1/openapi.json")
    ],
)


def list_rules() -> list[oslo_policy.RuleDefault]:
    """Every rule, for oslo.policy's generators."""
    return RULES.all()


def get_enforcer() -> oslo_policy.Enforcer:
    """The rules as a daemon with this configuration would have them, for oslopolicy-policy-generator and others."""
    return policy.tool_enforcer(RULES, "nova-lite")
