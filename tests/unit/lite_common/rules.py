"""Rules for the small applications of these tests, which are about something else than who may do what."""

from __future__ import annotations

from collections.abc import Iterable

from oslo_policy import policy as oslo_policy

from lite_common import policy
from lite_common.wsgi.routing import Route


def for_everybody(routes: Iterable[Route], public: Iterable[Route] = ()) -> policy.Policy:
    """Rules that let everybody do everything; `public` routes need no caller at all."""
    guarded = [f"{route.method} {route.path}" for route in routes]
    return policy.Policy(
        policy.RuleSet(
            base=[oslo_policy.RuleDefault("context_is_admin", "role:admin")],
            routes=[policy.guarding("all", "@", "Everything", *guarded)],
            public=[(route.method, route.path) for route in public],
        )
    )
