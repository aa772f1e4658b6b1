"""The command on the stack itself: the services of nova and cinder in one table."""

import argparse
import typing
from collections.abc import Iterable, Sequence

from nova_lite.cli import base, errors


class List(base.Lister):
    """List the services of nova and cinder, and whether they are up."""

    _failed = False

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per service; an API that does not answer is an error beside the other's rows."""
        rows: list[Sequence[typing.Any]] = []
        for service in ("compute", "volume"):
            try:
                listed = self.cloud.get(service, "/os-services")["services"]
            except errors.CliError as error:
                self._failed = True
                self.nlite.LOG.error(error)
                continue
            rows += [
                (
                    item["binary"],
                    item["host"],
                    item.get("zone"),
                    item["status"],
                    item["state"],
                    item.get("updated_at"),
                    item.get("disabled_reason"),
                )
                for item in listed
            ]
        return ("Binary", "Host", "Zone", "Status", "State", "Updated At", "Disabled Reason"), rows

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the table; return 1 if an API did not answer, for then it is not the whole truth."""
        return max(super().run(parsed_args), int(self._failed))
