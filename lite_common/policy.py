"""Who may do what: rules of oslo.policy, one for each route, decided for every caller in one place.

A service's `policies.py` holds its rules with the names and defaults that upstream has; each rule names the methods
and paths it guards, and that is how a route finds its rule. A route for which no rule stands is not served: the API
does not start. Operators change rules in `policy.yaml` ([oslo_policy] policy_file), read again when it changes.

A rule sees the caller (`role:`, `user_id:`, `is_admin:`) and, as its target, the caller's own project: things of other
projects are not found by anybody but admins, so a rule never has to tell them apart. A rule that compares another
attribute of the target, such as `user_id:%(user_id)s`, lets nobody through.
"""

from __future__ import annotations

import argparse
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from oslo_config import cfg
from oslo_policy import _checks, policy

from lite_common import context, errors

ADMIN_RULE = "context_is_admin"
SERVICE_ROLE = "service"
# Seconds that a decision holds: one request asks several times, and one attach is several requests.
REMEMBERED = 1.0

# oslo.policy looks for checks of other packages when it reads its first rule, which loads its own http checks and with
# them requests: 5 MiB in each API daemon. A file that begins to ask for them needs a restart; until then such a rule
# lets nobody through.
_checks.extension_checks = {}

_ACTION = re.compile(r"(?P<path>\S+)\s+\((?P<action>[^)]+)\)")
_VARIABLE = re.compile(r"\{[^}]*\}")


class Route(Protocol):
    """What of a route matters here."""

    @property
    def method(self) -> str:
        """GET, POST, ..."""

    @property
    def path(self) -> str:
        """Its path, variables in braces."""


@dataclass(frozen=True)
class Guard:
    """What guards one route: a rule, or a rule for each action that a body may name."""

    rule: str | None = None
    actions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleSet:
    """The rules of one service.

    `base` are those that others refer to, `routes` guard operations, `parts` are asked by a handler about a part of
    what it does or shows, `public` are the (method, path) pairs that need no rule and no caller.
    """

    base: Sequence[policy.RuleDefault]
    routes: Sequence[policy.DocumentedRuleDefault]
    parts: Sequence[policy.DocumentedRuleDefault] = ()
    public: Sequence[tuple[str, str]] = ()

    def all(self) -> list[policy.RuleDefault]:
        """Every rule, as oslo.policy's generators want them."""
        return [*self.base, *self.routes, *self.parts]


class Policy:
    """The rules of one service, as the operator has them.

    Without `conf` they are what the code says, whatever files there are.
    Raises errors.Invalid when the policy file cannot be read.
    """

    def __init__(self, rules: RuleSet, conf: cfg.ConfigOpts | None = None) -> None:
        self._enforcer = make_enforcer(rules, conf)
        # While one thread reads a changed file anew, others would find half of the rules.
        self._lock = threading.Lock()
        self._decided: dict[tuple[Any, ...], bool] = {}
        self._decided_until = 0.0
        try:
            self._enforcer.load_rules()
            # A rule that names itself or one that is not there would be found only when somebody asks for it.
            self._enforcer.check_rules(raise_on_violation=True)
        except (cfg.Error, policy.InvalidDefinitionError, OSError, ValueError) as err:
            raise errors.Invalid(f"The rules in [oslo_policy] policy_file cannot be used: {err}") from err
        self._public = {(method, _plain(path)) for method, path in rules.public}
        self._guards = _guards(rules.routes)

    def allows(self, ctx: context.RequestContext, rule: str, *, project_id: str | None = None) -> bool:
        """Whether the rule lets the caller through. An unknown rule lets nobody through.

        `project_id` is the project that is asked about, where it is not the caller's own. Raises errors.Unavailable
        when the policy file was changed into something that cannot be read.
        """
        credentials = _credentials(ctx)
        target = project_id or ctx.project_id
        key = (rule, target, *credentials.values())
        try:
            with self._lock:
                now = time.monotonic()
                if now >= self._decided_until:
                    self._decided.clear()
                    self._decided_until = now + REMEMBERED
                if key not in self._decided:
                    self._decided[key] = self._enforce(rule, {"project_id": target}, credentials)
                return self._decided[key]
        except (OSError, ValueError) as err:
            raise errors.Unavailable(f"The rules in [oslo_policy] policy_file cannot be read: {err}") from err

    def _enforce(self, rule: str, target: dict[str, Any], credentials: dict[str, Any]) -> bool:
        try:
            # The enforcer adds a key to what it is given, and wants roles as a list.
            return bool(self._enforcer.enforce(rule, target, credentials | {"roles": list(credentials["roles"])}))
        except policy.InvalidScope:
            return False

    def check(self, ctx: context.RequestContext, rule: str, *, project_id: str | None = None) -> None:
        """Return when the rule lets the caller through; else raise errors.Forbidden, which names the rule."""
        if not self.allows(ctx, rule, project_id=project_id):
            raise errors.Forbidden(f"Policy doesn't allow {rule} to be performed.")

    def is_public(self, route: Route) -> bool:
        """Whether the route is served to anybody, before they have a token."""
        return (route.method, _plain(route.path)) in self._public

    def check_route(self, ctx: context.RequestContext, route: Route, body: Any) -> None:
        """Return when the caller may use the route with this (validated) body; else raise errors.Forbidden.

        Where the body names actions, each has its rule; errors.Invalid for one that has none, so that an action
        nobody wrote a rule for is not run.
        """
        if self.is_public(route):
            return
        guard = self._guards.get((route.method, _plain(route.path)))
        if guard is None:
            raise errors.Forbidden(f"No rule allows {route.method} {route.path}.")
        if guard.rule is not None:
            self.check(ctx, guard.rule)
            return
        for action in body or ():
            rule = guard.actions.get(action)
            if rule is None:
                raise errors.Invalid(f"There is no such action: {action}")
            self.check(ctx, rule)

    def require_complete(self, routes: Iterable[Route]) -> None:
        """Raise errors.Invalid, which names them, when there are routes without a rule."""
        bare = [
            f"{route.method} {route.path}"
            for route in routes
            if not self.is_public(route) and (route.method, _plain(route.path)) not in self._guards
        ]
        if bare:
            raise errors.Invalid(f"No rule guards {', '.join(bare)}. Add one to policies.py.")


def make_enforcer(rules: RuleSet, conf: cfg.ConfigOpts | None = None) -> policy.Enforcer:
    """An enforcer with these rules and, where there is a `conf`, those of the operator's files over them."""
    if conf is not None:
        enforcer = policy.Enforcer(conf)
        _allow_external_checks(enforcer)
        enforcer.register_defaults(rules.all())
        return enforcer
    alone = cfg.ConfigOpts()
    alone([], default_config_files=[], default_config_dirs=[])
    enforcer = policy.Enforcer(alone, use_conf=False)
    enforcer.register_defaults(rules.all())
    enforcer.set_rules({rule.name: rule.check for rule in rules.all()}, use_conf=False)
    return enforcer


def tool_enforcer(rules: RuleSet, project: str) -> policy.Enforcer:
    """The rules as the daemons of a project have them, for oslo.policy's own programs.

    These call it without arguments, and take `--config-file` like every other program.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-file", action="append", default=[])
    files = parser.parse_known_args()[0].config_file
    conf = cfg.ConfigOpts()
    conf([part for path in files for part in ("--config-file", path)], project=project)
    return make_enforcer(rules, conf)


def guarding(rule: str, check: str, what: str, *operations: str, project: bool = False) -> policy.DocumentedRuleDefault:
    """A rule for these operations, each `METHOD /path` or `METHOD /path (action)`.

    `project` refuses tokens that are for a domain or for the whole system, whatever their roles.
    """
    pairs = [operation.split(" ", 1) for operation in operations]
    return policy.DocumentedRuleDefault(
        rule,
        check,
        what,
        [{"method": method, "path": path} for method, path in pairs],
        scope_types=["project"] if project else None,
    )


def _guards(rules: Sequence[policy.DocumentedRuleDefault]) -> dict[tuple[str, str], Guard]:
    found: dict[tuple[str, str], Guard] = {}
    for rule in rules:
        for operation in rule.operations:
            named = _ACTION.fullmatch(operation["path"])
            key = (operation["method"], _plain(named["path"] if named else operation["path"]))
            before = found.get(key)
            if before and (not named or before.rule or named["action"] in before.actions):
                raise ValueError(f"{operation['method']} {operation['path']} has a rule before {rule.name}")
            if named:
                found[key] = Guard(actions={**(before.actions if before else {}), named["action"]: rule.name})
            else:
                found[key] = Guard(rule=rule.name)
    return found


def _plain(path: str) -> str:
    """The path without the names of its variables."""
    return _VARIABLE.sub("{}", path)


def _credentials(ctx: context.RequestContext) -> dict[str, Any]:
    roles = tuple(ctx.roles)
    if ctx.is_service and SERVICE_ROLE not in roles:
        roles = (*roles, SERVICE_ROLE)
    return {
        "user_id": ctx.user_id,
        "project_id": ctx.project_id,
        "tenant": ctx.project_id,
        "roles": roles,
        "is_admin": bool(ctx.is_admin),
        "is_admin_project": ctx.is_admin_project,
        "system_scope": ctx.system_scope,
        "domain_id": ctx.domain_id,
        "user_domain_id": ctx.user_domain_id,
        "project_domain_id": ctx.project_domain_id,
    }


def _allow_external_checks(enforcer: policy.Enforcer) -> None:
    """Let oslo.policy load its http checks where the operator's file has a rule that asks for one."""
    path = enforcer.conf.oslo_policy.policy_file
    found = enforcer.conf.find_file(path) if path else None
    if found and os.path.exists(found):
        with open(found, encoding="utf-8") as file:
            if "http" in file.read():
                _checks.extension_checks = None
