"""Commands on what was done to a server: its actions, and the events of one of them."""

import argparse
import typing
from collections.abc import Iterable, Sequence
from urllib import parse

from nova_lite.cli import base, errors, lookup

# From here on administrators are told why an event failed.
DETAILS = "2.84"


class Actions(base.Lister):
    """List what was done to a server, the last first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the server."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id; of a deleted server only the id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per action."""
        path = f"/servers/{_id(self, parsed_args.server)}/os-instance-actions"
        found = self.cloud.get("compute", path)["instanceActions"]
        header = ("Action", "Result", "Started", "Updated", "User", "Request")
        return header, [
            (
                action["action"],
                action["message"] or "",
                action["start_time"],
                action["updated_at"],
                action["user_id"],
                action["request_id"],
            )
            for action in found
        ]


class Action(base.Lister):
    """List the events of one action: where, and how it ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add server and request."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="SERVER", help="name or id; of a deleted server only the id")
        parser.add_argument("request", metavar="REQUEST", help="id of the request, as server-actions shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per event."""
        request = parse.quote(parsed_args.request, safe="")
        path = f"/servers/{_id(self, parsed_args.server)}/os-instance-actions/{request}"
        found = self.cloud.get("compute", path, version=DETAILS)["instanceAction"]
        header = ("Event", "Result", "Started", "Finished", "Host", "Details")
        return header, [
            (
                event["event"],
                event["result"],
                event["start_time"],
                event["finish_time"],
                # Host and details are told to administrators only.
                event.get("host", event.get("hostId")),
                event.get("details") or "",
            )
            for event in found["events"]
        ]


def _id(command: base.Mixin, reference: str) -> str:
    """Return the id of the server for a URL; an id that nobody has any more may be that of a deleted server."""
    try:
        found = str(lookup.server(command.cloud, reference)["id"])
    except errors.NotFound:
        if not lookup.is_uuid(reference):
            raise
        found = reference
    return parse.quote(found, safe="")
