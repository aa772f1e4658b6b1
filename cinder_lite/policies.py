"""Who may do what in the volume API: one rule for each route, with the names and defaults that Cinder has.

`oslopolicy-sample-generator --namespace cinder-lite` writes them down for operators. How they are applied:
`lite_common.policy`. Source: Cinder configuration reference, "Policies".
"""

from __future__ import annotations

from oslo_policy import policy as oslo_policy

from lite_common import policy

READER = "rule:xena_system_admin_or_project_reader"
MEMBER = "rule:xena_system_admin_or_project_member"
ADMIN = "rule:admin_api"
ANYBODY = "@"

HOST_ATTRIBUTE = "volume_extension:volume_host_attribute"
TENANT_ATTRIBUTE = "volume_extension:volume_tenant_attribute"
MIGRATION_ATTRIBUTE = "volume_extension:volume_mig_status_attribute"
SENSITIVE_SPECS = "volume_extension:types_extra_specs:read_sensitive"
QUOTAS_SHOW = "volume_extension:quotas:show"
FORCE_DELETE = "volume:force_delete"

BASE = [
    oslo_policy.RuleDefault("context_is_admin", "role:admin", "Who is an administrator."),
    oslo_policy.RuleDefault(
        "admin_or_owner",
        "is_admin:True or (role:admin and is_admin_project:True) or project_id:%(project_id)s",
        "For older policy files.",
    ),
    oslo_policy.RuleDefault(
        "admin_api", "is_admin:True or (role:admin and is_admin_project:True)", "What only administrators may do."
    ),
    oslo_policy.RuleDefault(
        "xena_system_admin_or_project_reader",
        "(role:admin) or (role:reader and project_id:%(project_id)s)",
        "Who may see things.",
    ),
    oslo_policy.RuleDefault(
        "xena_system_admin_or_project_member",
        "(role:admin) or (role:member and project_id:%(project_id)s)",
        "Who may change things.",
    ),
]

_rule = policy.guarding


def _action(name: str, key: str, what: str, check: str = MEMBER) -> oslo_policy.DocumentedRuleDefault:
    return _rule(name, check, what, f"POST /volumes/{{volume_id}}/action ({key})")


VOLUMES = [
    _rule("volume:create", MEMBER, "Create a volume", "POST /volumes"),
    _rule(
        "volume:get",
        READER,
        "Show a volume or an attachment",
        "GET /volumes/{volume_id}",
        "GET /attachments/{attachment_id}",
    ),
    _rule(
        "volume:get_all",
        READER,
        "List volumes or attachments",
        "GET /volumes",
        "GET /volumes/detail",
        "GET /volumes/summary",
        "GET /attachments",
        "GET /attachments/detail",
    ),
    _rule(
        "volume:update",
        MEMBER,
        "Rename a volume, mark it as bootable",
        "PUT /volumes/{volume_id}",
        "POST /volumes/{volume_id}/action (os-set_bootable)",
    ),
    _rule("volume:delete", MEMBER, "Delete a volume", "DELETE /volumes/{volume_id}"),
    _rule(
        "volume:get_volume_metadata",
        READER,
        "See a volume's metadata",
        "GET /volumes/{volume_id}/metadata",
        "GET /volumes/{volume_id}/metadata/{key}",
        "POST /volumes/{volume_id}/action (os-show_image_metadata)",
    ),
    _rule("volume:create_volume_metadata", MEMBER, "Add metadata", "POST /volumes/{volume_id}/metadata"),
    _rule(
        "volume:update_volume_metadata",
        MEMBER,
        "Change a volume's metadata",
        "PUT /volumes/{volume_id}/metadata",
        "PUT /volumes/{volume_id}/metadata/{key}",
    ),
    _rule("volume:delete_volume_metadata", MEMBER, "Remove metadata", "DELETE /volumes/{volume_id}/metadata/{key}"),
]

_ACTIONS = "volume_extension:volume_actions:"
_ADMIN_ACTIONS = "volume_extension:volume_admin_actions:"
# Those that are not served stand here too, so that who may not do a thing hears that first, as in Cinder.
VOLUME_ACTIONS = [
    _action(_ACTIONS + "reserve", "os-reserve", "Reserve a volume"),
    _action(_ACTIONS + "unreserve", "os-unreserve", "Undo a reservation"),
    _action(_ACTIONS + "begin_detaching", "os-begin_detaching", "Begin a detach"),
    _action(_ACTIONS + "roll_detaching", "os-roll_detaching", "Undo the beginning of a detach"),
    _action(_ACTIONS + "initialize_connection", "os-initialize_connection", "Export a volume"),
    _action(_ACTIONS + "terminate_connection", "os-terminate_connection", "Take an export back"),
    _action(_ACTIONS + "attach", "os-attach", "Record an attachment"),
    _action(_ACTIONS + "detach", "os-detach", "Remove an attachment"),
    _action(_ACTIONS + "upload_image", "os-volume_upload_image", "Make an image of a volume"),
    _action(_ADMIN_ACTIONS + "extend_volume_completion", "os-extend_volume_completion", "End an extension", ADMIN),
    _action(_ADMIN_ACTIONS + "force_delete", "os-force_delete", "Delete a volume in any state", ADMIN),
    _action(_ADMIN_ACTIONS + "force_detach", "os-force_detach", "Detach a volume in any state", ADMIN),
    _action(_ADMIN_ACTIONS + "migrate_volume", "os-migrate_volume", "Move a volume", ADMIN),
    _action(_ADMIN_ACTIONS + "migrate_volume_completion", "os-migrate_volume_completion", "End a migration", ADMIN),
    _action(_ADMIN_ACTIONS + "reset_status", "os-reset_status", "Set a volume's status", ADMIN),
    _action("volume:extend", "os-extend", "Extend a volume"),
    _action("volume:reimage", "os-reimage", "Write an image over a volume"),
    _action("volume:retype", "os-retype", "Change a volume's type"),
    _action("volume:revert_to_snapshot", "revert", "Go back to a snapshot"),
    _action("volume:update_readonly_flag", "os-update_readonly_flag", "Mark a volume as read-only"),
    _action("volume_extension:volume_image_metadata:set", "os-set_image_metadata", "Set image metadata"),
    _action("volume_extension:volume_image_metadata:remove", "os-unset_image_metadata", "Remove image metadata"),
    _action("volume_extension:volume_unmanage", "os-unmanage", "Let a volume go without deleting it", ADMIN),
]

ATTACHMENTS = [
    _rule("volume:attachment_create", MEMBER, "Reserve a volume", "POST /attachments"),
    _rule("volume:attachment_update", MEMBER, "Connect an attachment", "PUT /attachments/{attachment_id}"),
    _rule("volume:attachment_delete", MEMBER, "Remove an attachment", "DELETE /attachments/{attachment_id}"),
    _rule(
        "volume:attachment_complete",
        MEMBER,
        "Say that the disk is in the server",
        "POST /attachments/{attachment_id}/action (os-complete)",
    ),
    _rule("volume:sides:index", READER, "See all sides of attachments", "GET /os-volume-sides"),
    _rule("volume:sides:heal", ADMIN, "Make the sides of a volume agree", "POST /os-volume-sides/heal"),
]

_SNAPSHOT = "/snapshots/{snapshot_id}"
SNAPSHOTS = [
    _rule("volume:get_all_snapshots", READER, "List snapshots", "GET /snapshots", "GET /snapshots/detail"),
    _rule("volume:create_snapshot", MEMBER, "Create a snapshot", "POST /snapshots"),
    _rule("volume:get_snapshot", READER, "Show a snapshot", f"GET {_SNAPSHOT}"),
    _rule("volume:update_snapshot", MEMBER, "Rename a snapshot", f"PUT {_SNAPSHOT}"),
    _rule("volume:delete_snapshot", MEMBER, "Delete a snapshot", f"DELETE {_SNAPSHOT}"),
    _rule(
        "volume:get_snapshot_metadata",
        READER,
        "See a snapshot's metadata",
        f"GET {_SNAPSHOT}/metadata",
        f"GET {_SNAPSHOT}/metadata/{{key}}",
    ),
    _rule(
        "volume:update_snapshot_metadata",
        MEMBER,
        "Change a snapshot's metadata",
        f"POST {_SNAPSHOT}/metadata",
        f"PUT {_SNAPSHOT}/metadata",
        f"PUT {_SNAPSHOT}/metadata/{{key}}",
    ),
    _rule("volume:delete_snapshot_metadata", MEMBER, "Remove metadata", f"DELETE {_SNAPSHOT}/metadata/{{key}}"),
    _rule(
        "volume_extension:snapshot_admin_actions:reset_status",
        ADMIN,
        "Set a snapshot's status",
        f"POST {_SNAPSHOT}/action (os-reset_status)",
    ),
    _rule(
        "volume_extension:snapshot_admin_actions:force_delete",
        ADMIN,
        "Delete a snapshot in any state",
        f"POST {_SNAPSHOT}/action (os-force_delete)",
    ),
    _rule(
        "snapshot_extension:snapshot_actions:update_snapshot_status",
        MEMBER,
        "Tell how far a snapshot is",
        f"POST {_SNAPSHOT}/action (os-update_snapshot_status)",
    ),
    _rule("snapshot_extension:snapshot_unmanage", ADMIN, "Not served", f"POST {_SNAPSHOT}/action (os-unmanage)"),
]

_SPECS = "/types/{type_id}/extra_specs"
_ENCRYPTION = "/types/{type_id}/encryption"
TYPES = [
    _rule("volume_extension:type_get_all", READER, "List volume types", "GET /types"),
    _rule("volume_extension:type_get", READER, "Show a volume type", "GET /types/{type_id}"),
    _rule("volume_extension:type_create", ADMIN, "Create a volume type", "POST /types"),
    _rule("volume_extension:type_update", ADMIN, "Change a volume type", "PUT /types/{type_id}"),
    _rule(
        "volume_extension:volume_type_access:get_all_for_type",
        ADMIN,
        "List the projects of a private type",
        "GET /types/{type_id}/os-volume-type-access",
    ),
    *(
        _rule(
            f"volume_extension:volume_type_access:{key}",
            ADMIN,
            "Let a project use a private type, or no more",
            f"POST /types/{{type_id}}/action ({key})",
        )
        for key in ("addProjectAccess", "removeProjectAccess")
    ),
    *(
        _rule(f"volume_extension:volume_type_encryption:{name}", ADMIN, "Encryption, which is not served", *operations)
        for name, operations in {
            "get": [f"GET {_ENCRYPTION}", f"GET {_ENCRYPTION}/{{key}}"],
            "create": [f"POST {_ENCRYPTION}"],
            "update": [f"PUT {_ENCRYPTION}/{{key}}"],
            "delete": [f"DELETE {_ENCRYPTION}/{{key}}"],
        }.items()
    ),
    _rule("volume_extension:default_get_all", ADMIN, "List default types", "GET /default-types"),
    _rule("volume_extension:default_get", ADMIN, "Show a default type", "GET /default-types/{project_id}"),
    _rule("volume_extension:default_set_or_update", ADMIN, "Set it", "PUT /default-types/{project_id}"),
    _rule("volume_extension:default_unset", ADMIN, "Unset it", "DELETE /default-types/{project_id}"),
    _rule("volume_extension:type_delete", ADMIN, "Delete a volume type", "DELETE /types/{type_id}"),
    _rule("volume_extension:types_extra_specs:index", READER, "Extra specs", f"GET {_SPECS}"),
    _rule("volume_extension:types_extra_specs:create", ADMIN, "Add extra specs", f"POST {_SPECS}"),
    _rule("volume_extension:types_extra_specs:show", READER, "One extra spec", f"GET {_SPECS}/{{key}}"),
    _rule("volume_extension:types_extra_specs:update", ADMIN, "Change an extra spec", f"PUT {_SPECS}/{{key}}"),
    _rule("volume_extension:types_extra_specs:delete", ADMIN, "Remove an extra spec", f"DELETE {_SPECS}/{{key}}"),
]

_CLASSES = "/os-quota-class-sets/{name}"
_QUOTAS = "/os-quota-sets/{project_id}"
OTHERS = [
    _rule("volume_extension:services:index", ADMIN, "List daemons", "GET /os-services"),
    _rule(
        "volume_extension:services:update",
        ADMIN,
        "Let a daemon get no more new volumes, or again",
        "PUT /os-services/enable",
        "PUT /os-services/disable",
        "PUT /os-services/disable-log-reason",
        "PUT /os-services/{action}",
    ),
    _rule("message:get_all", READER, "List what went wrong", "GET /messages"),
    _rule("message:get", READER, "Show what went wrong", "GET /messages/{message_id}"),
    _rule("message:delete", MEMBER, "Forget it", "DELETE /messages/{message_id}"),
    _rule("volume_extension:steps:index", READER, "See what was done, step by step", "GET /os-steps"),
    _rule("volume_extension:operations:index", READER, "See what was wanted of things", "GET /os-operations"),
    _rule("volume_extension:quota_classes:get", ADMIN, "Show default quotas", f"GET {_CLASSES}"),
    _rule("volume_extension:quota_classes:update", ADMIN, "Change default quotas", f"PUT {_CLASSES}"),
    _rule("volume:extensions", ANYBODY, "List extensions", "GET /extensions"),
    _rule("volume:resource_filters", ANYBODY, "List what lists may be filtered by", "GET /resource_filters"),
    _rule("volume:availability_zone_list", ANYBODY, "List availability zones", "GET /os-availability-zone"),
    _rule("scheduler_extension:scheduler_stats:get_pools", ADMIN, "List pools", "GET /scheduler-stats/get_pools"),
    _rule("limits_extension:used_limits", READER, "Limits and what of them is used", "GET /limits"),
    _rule(QUOTAS_SHOW, READER, "Show a project's quotas", f"GET {_QUOTAS}", f"GET {_QUOTAS}/defaults"),
    _rule("volume_extension:quotas:update", ADMIN, "Change a project's quotas", f"PUT {_QUOTAS}"),
    _rule("volume_extension:quotas:delete", ADMIN, "Remove a project's own quotas", f"DELETE {_QUOTAS}"),
]

_SHOWN = ("GET /volumes/{volume_id}", "GET /volumes/detail")
PARTS = [
    _rule(FORCE_DELETE, ADMIN, "Delete a volume in any state", "DELETE /volumes/{volume_id}"),
    _rule(HOST_ATTRIBUTE, ADMIN, "See a volume's backend", *_SHOWN),
    _rule(TENANT_ATTRIBUTE, READER, "See a volume's project", *_SHOWN),
    _rule(MIGRATION_ATTRIBUTE, ADMIN, "See a volume's migration", *_SHOWN),
    _rule(SENSITIVE_SPECS, ADMIN, "See every extra spec", "GET /types", "GET /types/{type_id}", f"GET {_SPECS}"),
]

RULES = policy.RuleSet(
    base=BASE,
    routes=[*VOLUMES, *VOLUME_ACTIONS, *ATTACHMENTS, *SNAPSHOTS, *TYPES, *OTHERS],
    parts=PARTS,
    public=[("GET", "/"), ("GET", "/v3"), ("GET", "/openapi.json"), ("GET", "/v3/openapi.json")],
)


def list_rules() -> list[oslo_policy.RuleDefault]:
    """Every rule, for oslo.policy's generators."""
    return RULES.all()


def get_enforcer() -> oslo_policy.Enforcer:
    """The rules as a daemon with this configuration would have them, for oslopolicy-policy-generator and others."""
    return policy.tool_enforcer(RULES, "cinder-lite")
