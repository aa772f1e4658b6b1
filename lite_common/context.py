"""Who asks, and under which request ids: carried from HTTP headers through RPC messages into every log line."""

from __future__ import annotations

from typing import Any

from oslo_context import context as oslo_context


class RequestContext(oslo_context.RequestContext):
    """One request's identity.

    `request_id` is ours, `global_request_id` the id the caller sent (so that one story can be followed over both
    services). `is_service` is True when a peer service proved itself with the service secret or a service token.
    `deadline` (unix time, or None) is when the caller stops waiting; work not begun by then must not begin. `begin_by`
    is when it takes the other side for dead unless that has begun; it is of the message alone and not carried further.
    """

    def __init__(
        self, *, is_service: bool = False, deadline: float | None = None, begin_by: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.begin_by = begin_by
        self.is_service = is_service
        self.deadline = deadline

    def to_dict(self) -> dict[str, Any]:
        """The context as plain data for an RPC message.

        A keystone token goes along, because what a daemon asks of the other service it asks in the user's name; the
        secret of services without keystone stays behind.
        """
        return {
            "auth_token": self.auth_token,
            "user_id": self.user_id,
            "project_id": self.project_id,
            "roles": list(self.roles),
            "is_admin": self.is_admin,
            "is_service": self.is_service,
            "request_id": self.request_id,
            "global_request_id": self.global_request_id,
            "deadline": self.deadline,
            "begin_by": self.begin_by,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], **overrides: Any) -> RequestContext:
        """The context that `to_dict` described. Making it current for the thread is oslo.context's habit."""
        known = (
            "auth_token",
            "user_id",
            "project_id",
            "roles",
            "is_admin",
            "is_service",
            "request_id",
            "global_request_id",
            "deadline",
            "begin_by",
        )
        told: dict[str, Any] = {key: values[key] for key in known if values.get(key) is not None}
        return cls(**told, **overrides)

    def get_logging_values(self) -> dict[str, Any]:
        """What log lines may show. Overrides the base, which builds a far larger dictionary for every line."""
        return {
            "request_id": self.request_id,
            "global_request_id": self.global_request_id,
            "user": self.user_id,
            "project": self.project_id,
        }

    def forward_headers(self) -> dict[str, str]:
        """Headers that make the next service's log lines belong to this request."""
        return {"X-OpenStack-Request-ID": self.global_request_id or self.request_id}

    def owns(self, project_id: str | None) -> bool:
        """Whether this caller may see a thing of that project: its own, or any for an admin.

        A service acts for its user: its token proves who asks, and does not widen what the user may see.
        """
        return bool(self.is_admin or project_id == self.project_id)


def admin_context(**kwargs: Any) -> RequestContext:
    """A context for work that no user asked for (periodic tasks, start-up)."""
    return RequestContext(is_admin=True, roles=["admin"], **kwargs)
