"""What all commands of nlite share: the connection, messages, and options for waiting."""

import argparse
import math
import typing
from collections.abc import Callable

from cliff import command, lister, show

from nova_lite.cli import errors, session, wait

if typing.TYPE_CHECKING:
    from nova_lite.cli import main

DEFAULT_TIMEOUT = 120.0


class Mixin(command.Command):
    """Connection, waiting and messages for a command; goes first in the list of base classes."""

    @property
    def nlite(self) -> "main.Nlite":
        """The application this command runs in."""
        return typing.cast("main.Nlite", self.app)

    @property
    def cloud(self) -> session.Cloud:
        """The APIs; made at first use, so that help and usage errors need no configuration."""
        return self.nlite.cloud

    def get_epilog(self) -> str:
        """Return the epilog of the help text: the examples of the command class, if it has some.

        cliff's own would look up which installed distribution every module belongs to, which takes longer
        than most commands.
        """
        return self._epilog or ""

    def note(self, text: str) -> None:
        """Say something about the progress on stderr; `--quiet` silences it."""
        self.nlite.LOG.info(text)

    def follow(self, args: argparse.Namespace, title: str, what: str, hint: str, look: Callable[[], wait.Seen]) -> None:
        """Wait as `--wait` and `--timeout` ask, showing progress; raises as wait.follow does."""
        report = wait.reporter(title, self.nlite.stderr)
        wait.follow(look, report, args.timeout, what, hint)

    def each(self, references: list[str], act: Callable[[str], None]) -> int:
        """Run `act` on every reference, going on after a failure; return the exit code (1 if any failed)."""
        failed = False
        for reference in references:
            try:
                act(reference)
            except errors.CliError as error:
                failed = True
                self.nlite.LOG.error(error)
        return int(failed)


class Command(Mixin):
    """A command that prints no result."""


class Lister(Mixin, lister.Lister):
    """A command that prints a table of records."""


class ShowOne(Mixin, show.ShowOne):
    """A command that prints one record."""


def add_wait_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--wait` and `--timeout`; `what` ends the sentence "wait until ..."."""
    parser.add_argument("--wait", action="store_true", help=f"wait until {what}, showing each step")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help=f"longest time to wait (default: {DEFAULT_TIMEOUT:g})",
    )


def seconds(text: str) -> float:
    """Return the number of seconds in an option; argparse turns its error into a usage error."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def positive(text: str) -> int:
    """Return the whole number above 0 in an option; argparse turns its error into a usage error."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
