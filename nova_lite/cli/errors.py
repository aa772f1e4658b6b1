"""What a command of nlite may fail with; each error is one or two lines a person can act on.

The application (main.py) prints these on stderr and ends with exit code 1. Everything that a library
raises is turned into one of them in session.py and config.py, the two modules that talk to libraries.
"""


class CliError(Exception):
    """A command was refused or failed.

    `message` says what happened, `hint` what to do next (may be empty).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the lines that go to stderr."""
        lines = [f"error: {self.message}"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ApiError(CliError):
    """An API answered with a 4xx or 5xx code; `status` is that code."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status

    def with_hint(self, hint: str) -> "ApiError":
        """Return the same error with better advice (empty: keep the old)."""
        return ApiError(self.message, hint or self.hint, self.status)


class Unreachable(CliError):
    """No answer came from an API: nothing listens there, or it took too long."""


class NotFound(CliError):
    """No resource has this id or name."""


class Ambiguous(CliError):
    """Several resources have this name, so the command must be told an id."""
