"""The base of every error the two services raise, and the families that carry an HTTP status.

An error is raised close to the fact with the ids as keyword arguments, travels over RPC by class name and
arguments, and becomes an HTTP fault in one place (`wsgi/faults.py`). The text is what the user reads: it names
the thing, the state it is in and what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LiteError(Exception):
    """Something was refused or failed. `code` is the HTTP status, `slug` a stable machine-readable name.

    `template` is formatted with the keyword arguments; a plain message may be given instead. The arguments must be
    plain data, because an error raised behind an RPC call is built again on the caller's side. Show `message` to
    people: the text of an error that came over RPC also holds the remote traceback.
    """

    code: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    template: ClassVar[str] = "An unexpected error occurred."

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.details = details
        self.message = message if message is not None else self.template.format(**details)
        super().__init__(self.message)

    @property
    def kwargs(self) -> dict[str, Any]:
        """What oslo.messaging passes to the class, beside `args`, to build the same error on the caller's side."""
        return self.details

    def __str__(self) -> str:
        return self.message


class Invalid(LiteError):
    """The request asks for something that makes no sense or that the thing's state does not allow (400)."""

    code = 400
    slug = "invalid"
    template = "The request is invalid."


class Unauthorized(LiteError):
    """The caller did not say who they are, or could not prove it (401)."""

    code = 401
    slug = "unauthorized"
    template = "The request you have made requires authentication."


class Forbidden(LiteError):
    """The caller is known and may not do this (403)."""

    code = 403
    slug = "forbidden"
    template = "You are not allowed to do this."


class NotFound(LiteError):
    """The thing does not exist, or not for this caller (404)."""

    code = 404
    slug = "not_found"
    template = "The resource could not be found."


class MethodNotAllowed(LiteError):
    """The path exists, the method does not (405). `allowed` names those it has; they are told as a header."""

    code = 405
    slug = "method_not_allowed"
    template = "The method is not allowed for this resource."

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {"Allow": str(self.details["allowed"])} if "allowed" in self.details else {}


class NotAcceptable(LiteError):
    """No answer can be given in the form (or the API version) that was asked for (406)."""

    code = 406
    slug = "not_acceptable"
    template = "The requested version is not supported."


class Conflict(LiteError):
    """The thing is in a state, or in use by somebody, that rules this out now (409)."""

    code = 409
    slug = "conflict"
    template = "The resource is in a conflicting state."


class TooLarge(LiteError):
    """A limit or a quota would be exceeded (413)."""

    code = 413
    slug = "over_limit"
    template = "A limit would be exceeded."


class UnsupportedMediaType(LiteError):
    """The body is of a content type that the API does not read (415)."""

    code = 415
    slug = "unsupported_media_type"
    template = "Unsupported Content-Type"


class BackendError(LiteError):
    """A part below (hypervisor, target, storage) refused or failed; the text says which and why (500)."""

    code = 500
    slug = "backend_error"
    template = "The backend failed."


class NotImplementedHere(LiteError):
    """Upstream knows this operation, this service does not serve it (501)."""

    code = 501
    slug = "not_implemented"
    template = "This operation is not implemented."


class Unavailable(LiteError):
    """A named part is down; nothing was changed; trying again later is right (503)."""

    code = 503
    slug = "unavailable"
    template = "A service that this needs is not available."


class Timeout(Unavailable):
    """A named part did not answer in time; what it was doing may or may not have happened (503)."""

    slug = "timeout"
    template = "A service did not answer in time."
