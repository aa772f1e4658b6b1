"""The two services' rules against what they serve, and against the names and defaults that upstream has."""

import re
from pathlib import Path
from unittest import mock

import pytest

from cinder_lite import policies as cinder_policies
from cinder_lite.api import volume_actions, volume_admin_actions, volume_changes
from lite_common import context, policy
from nova_lite import policies as nova_policies
from nova_lite.api import server_actions, unserved_actions

ROOT = Path(__file__).parents[2]
MODULES = {"nova": nova_policies, "cinder": cinder_policies}
READS = ("GET",)
# Writes that other rules than membership guard, and reads that are for everybody with a token or for admins alone.
ADMINS = re.compile(
    r"os-services|volume_extension:services|os-availability-zone:detail|get_pools|quotas:(update|delete)|admin_actions|type_(create|delete)"
    r"|extra_specs:(create|update|delete)|unmanage|type_update|type_access|encryption|default_|quota_classes"
    r"|hypervisors|sides:heal|reset_|inject|migrate|evacuate|offload|external-events"
)
ANYBODY = re.compile(r"availability.zone(:|_)list|:flavors$|:limits$|quota-sets:defaults|resource_filters|:extensions$")


@pytest.mark.parametrize("service", MODULES)
def test_the_sample_shows_every_rule(service: str) -> None:
    sample = (ROOT / "etc" / f"{service}-lite" / "policy.yaml.sample").read_text()
    for rule in MODULES[service].list_rules():
        assert f'"{rule.name}": "{rule.check_str}"' in sample, f"run tox -e genpolicy: {rule.name}"


@pytest.mark.parametrize("service", MODULES)
def test_readers_read_members_write_and_admins_do_the_rest(service: str) -> None:
    rules = policy.Policy(MODULES[service].RULES)

    def may(rule: str, *roles: str) -> bool:
        ctx = context.RequestContext(user_id="u", project_id="p", roles=list(roles))
        ctx.is_admin = rules.allows(ctx, policy.ADMIN_RULE)
        return rules.allows(ctx, rule)

    for rule in MODULES[service].RULES.routes:
        reads = all(one["method"] in READS for one in rule.operations) or "get_volume_metadata" in rule.name
        everybody, admins = bool(ANYBODY.search(rule.name)), bool(ADMINS.search(rule.name))
        assert may(rule.name, "admin"), rule.name
        assert may(rule.name, "member", "reader") is not admins, rule.name
        assert may(rule.name, "reader") is ((reads and not admins) or everybody), rule.name
        assert may(rule.name) is everybody, rule.name


def test_every_action_that_is_served_has_a_rule() -> None:
    named = {
        "nova": _actions(nova_policies, "/servers/{server_id}/action"),
        "cinder": _actions(cinder_policies, "/volumes/{volume_id}/action"),
    }
    nobody = mock.Mock()
    served = server_actions.ServerActionsController(nobody, nobody)._actions
    assert {*served, *unserved_actions.ACTIONS} <= named["nova"]
    assert set(volume_actions.UNSERVED) <= named["cinder"]
    more = {**volume_admin_actions.actions(nobody, nobody), **volume_changes.actions(nobody)}
    controller = volume_actions.VolumeActionsController(nobody, more)
    assert {*controller._actions, *controller._more} <= named["cinder"]


def _actions(module: object, path: str) -> set[str]:
    operations = [one["path"] for rule in module.RULES.routes for one in rule.operations]  # type: ignore[attr-defined]
    return {found[1] for text in operations if (found := re.fullmatch(re.escape(path) + r" \((.+)\)", text))}
