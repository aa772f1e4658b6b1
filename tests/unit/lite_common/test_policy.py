"""Rules: who passes, what an operator's file changes, what happens to routes, actions and files that are not right."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_policy import opts
from oslo_policy import policy as oslo_policy

from lite_common import context, errors, policy
from lite_common.wsgi.routing import Route

BASE = [
    oslo_policy.RuleDefault("context_is_admin", "role:admin"),
    oslo_policy.RuleDefault("member", "role:member and project_id:%(project_id)s"),
]
SHOW = policy.guarding("things:show", "@", "Show", "GET /things/{id}")
START = policy.guarding("things:start", "rule:member", "Start", "POST /things/{id}/action (start)")
WIPE = policy.guarding("things:wipe", "rule:context_is_admin", "Wipe", "POST /things/{id}/action (wipe)")
SWAP = policy.guarding("things:swap", "role:service", "Swap", "PUT /things/{id}", project=True)
RULES = policy.RuleSet(BASE, [SHOW, START, WIPE, SWAP], public=[("GET", "/")])


def caller(*roles: str, **more: Any) -> context.RequestContext:
    return context.RequestContext(**{"user_id": "ann", "project_id": "demo", "roles": list(roles)} | more)


def served(method: str, path: str) -> Route:
    return Route(method, path, lambda: None)


def with_file(directory: Path, text: str) -> policy.Policy:
    file = directory / "policy.yaml"
    file.write_text(text)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    opts.set_defaults(conf, policy_file=str(file))
    return policy.Policy(RULES, conf)


def test_a_rule_lets_through_or_names_itself() -> None:
    rules = policy.Policy(RULES)
    rules.check(caller("member"), "member")
    with pytest.raises(errors.Forbidden) as refused:
        rules.check(caller("reader"), "member")
    assert refused.value.message == "Policy doesn't allow member to be performed."
    assert not rules.allows(caller("admin", "member"), "no-such-rule")


def test_the_target_is_the_callers_project_unless_another_is_asked_about() -> None:
    rules = policy.Policy(RULES)
    assert rules.allows(caller("member"), "member")
    assert not rules.allows(caller("member"), "member", project_id="other")


def test_a_rule_that_compares_users_lets_nobody_through(tmp_path: Path) -> None:
    rules = with_file(tmp_path, '"things:show": "user_id:%(user_id)s"')
    assert not rules.allows(caller("admin", "member"), "things:show")


def test_a_service_has_the_service_role() -> None:
    rules = policy.Policy(RULES)
    assert rules.allows(caller("member", is_service=True), "things:swap")
    assert not rules.allows(caller("admin", "member"), "things:swap")
    # The decision for one caller is not the next one's.
    assert rules.allows(caller("service"), "things:swap")


def test_tokens_for_a_system_do_not_pass_a_projects_rule() -> None:
    rules = policy.Policy(RULES)
    assert not rules.allows(caller("service", system_scope="all"), "things:swap")


@pytest.mark.parametrize(
    ("roles", "body", "error"),
    [
        (["member"], {"start": None}, None),
        (["reader"], {"start": None}, errors.Forbidden),
        (["member"], {"wipe": None}, errors.Forbidden),
        (["admin"], {"wipe": None}, None),
        (["member"], {"start": None, "wipe": None}, errors.Forbidden),
        (["admin"], {"explode": None}, errors.Invalid),
        (["member"], {}, None),
    ],
)
def test_each_action_has_its_rule(roles: list[str], body: dict[str, Any], error: type[Exception] | None) -> None:
    rules = policy.Policy(RULES)
    route = served("POST", "/things/{thing}/action")
    if error is None:
        rules.check_route(caller(*roles), route, body)
    else:
        with pytest.raises(error):
            rules.check_route(caller(*roles), route, body)


def test_a_route_without_a_rule_is_not_served() -> None:
    rules = policy.Policy(RULES)
    rules.require_complete([served("GET", "/"), served("GET", "/things/{thing}")])
    with pytest.raises(errors.Invalid, match="DELETE /things"):
        rules.require_complete([served("DELETE", "/things/{thing}")])
    with pytest.raises(errors.Forbidden):
        rules.check_route(caller("admin"), served("DELETE", "/things/{thing}"), None)


def test_one_operation_has_one_rule() -> None:
    again = policy.guarding("things:read", "@", "Again", "GET /things/{thing}")
    with pytest.raises(ValueError, match="things:read"):
        policy.Policy(policy.RuleSet(BASE, [SHOW, again]))


def test_an_operators_file_changes_rules_while_the_daemon_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "REMEMBERED", 0.0)
    rules = with_file(tmp_path, '"things:show": "role:auditor"')
    assert not rules.allows(caller("member"), "things:show")
    assert rules.allows(caller("auditor"), "things:show")
    file = tmp_path / "policy.yaml"
    file.write_text('"things:show": "rule:member"')
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 10))
    assert rules.allows(caller("member"), "things:show")
    file.write_text("{ this is no YAML")
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 20))
    with pytest.raises(errors.Unavailable):
        rules.allows(caller("member"), "things:show")


@pytest.mark.parametrize("text", ['"things:show": "rule:nowhere"', '"member": "rule:member"', "{ this is no YAML"])
def test_a_file_that_makes_no_sense_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(errors.Invalid, match="policy_file"):
        with_file(tmp_path, text)


def test_rules_alone_load_no_http_client() -> None:
    """Each API daemon would otherwise be 5 MiB larger, with keystone or without."""
    code = (
        "import sys, lite_common.service as s; s.no_eventlet()\n"
        "import nova_lite.cmd.api, cinder_lite.cmd.api\n"
        "from lite_common import policy\n"
        "policy.Policy(nova_lite.policies.RULES); policy.Policy(cinder_lite.policies.RULES)\n"
        "print([m for m in ('requests', 'keystoneauth1', 'keystonemiddleware') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_operators_http_check_is_found(tmp_path: Path) -> None:
    rules = with_file(tmp_path, '"things:show": "http://127.0.0.1:9/policy"')
    check = rules._enforcer.rules["things:show"]
    assert type(check).__name__ == "HttpCheck"
