"""Commands that lock servers against changes and unlock them."""

import argparse
import typing
from collections.abc import Callable
from urllib import parse

from nova_lite.cli import base, errors, lookup


class Lock(base.Command):
    """Lock servers: only administrators may change them then."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add servers and the reason."""
        parser = super().get_parser(prog_name)
        parser.add_argument("servers", metavar="SERVER", nargs="+", help="name or id")
        parser.add_argument("--reason", metavar="TEXT", help="why, for those who find it locked")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Lock every server; return 1 if that failed for any."""
        body = None if parsed_args.reason is None else {"locked_reason": parsed_args.reason}
        return self.each(parsed_args.servers, _sender(self, {"lock": body}, "locked"))


class Unlock(base.Command):
    """Unlock servers."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add servers."""
        parser = super().get_parser(prog_name)
        parser.add_argument("servers", metavar="SERVER", nargs="+", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Unlock every server; return 1 if that failed for any."""
        return self.each(parsed_args.servers, _sender(self, {"unlock": None}, "unlocked"))


def _sender(command: base.Mixin, body: dict[str, typing.Any], done: str) -> Callable[[str], None]:
    def send(reference: str) -> None:
        server = lookup.server(command.cloud, reference)
        path = f"/servers/{parse.quote(server['id'], safe='')}/action"
        try:
            command.cloud.call("compute", "POST", path, body)
        except errors.ApiError as error:
            hint = "an administrator has locked it, and only one can unlock it" if error.status == 403 else ""
            raise error.with_hint(hint) from error
        command.note(f"{done} {lookup.label(server)}")

    return send
