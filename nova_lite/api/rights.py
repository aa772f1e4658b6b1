"""Who may do what: the checks that several controllers make, with the names that Nova's policy gives them."""

from __future__ import annotations

from lite_common import errors
from lite_common.wsgi import expose


def forbidden(rule: str) -> errors.Forbidden:
    """What somebody is told who may not do what the rule is about."""
    return errors.Forbidden(f"Policy doesn't allow {rule} to be performed.")


def admins_only(request: expose.ApiRequest, rule: str) -> None:
    """Raises errors.Forbidden for everybody but admins."""
    if not request.context.is_admin:
        raise forbidden(rule)


def services_only(request: expose.ApiRequest, rule: str) -> None:
    """Raises errors.Forbidden for everybody but the services among themselves, admins included."""
    if not request.context.is_service:
        raise forbidden(rule)
