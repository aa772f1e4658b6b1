"""Who may do what, where it is not simply the owner: the operations of administrators."""

from __future__ import annotations

from lite_common import context, errors


def require_admin(ctx: context.RequestContext, rule: str) -> None:
    """Return for an admin; raise errors.Forbidden, which names the rule, for anybody else."""
    if not ctx.is_admin:
        raise errors.Forbidden(f"Policy doesn't allow {rule} to be performed.")
