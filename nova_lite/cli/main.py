"""The program `nlite`: its table of commands, its global options, and its exit codes.

Exit code 0 only when the command worked, 1 when it was refused or failed, 2 when it was typed wrong. Results
go to stdout, everything else to stderr.
"""

import argparse
import importlib.metadata
import logging
import os
import sys
import typing

from cliff import app, commandmanager

from nova_lite.cli import config, errors, session

DESCRIPTION = "Servers and volumes of a nova-lite and cinder-lite stack, from the command line."
# Every command: its class, and the line that `nlite --help` shows. Classes load when their command runs.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Servers": {
        "boot": ("servers:Boot", "Boot a server from an image."),
        "list": ("servers:List", "List servers."),
        "show": ("servers:Show", "Show one server."),
        "delete": ("servers:Delete", "Delete servers."),
        "start": ("servers:Start", "Start servers that are shut off."),
        "stop": ("servers:Stop", "Shut servers off."),
        "reboot": ("servers:Reboot", "Reboot a server."),
        "lock": ("locks:Lock", "Lock servers: only administrators may change them then."),
        "unlock": ("locks:Unlock", "Unlock servers."),
        "server-actions": ("history:Actions", "List what was done to a server, the last first."),
        "server-action": ("history:Action", "List the events of one action: where, and how it ended."),
        "console": ("servers:Console", "Print what a server wrote to its serial console."),
        "flavor-list": ("catalog:FlavorList", "List flavors, the sizes a server can have."),
        "image-list": ("catalog:ImageList", "List images, the disks a server can boot from."),
    },
    "Volumes": {
        "volume-create": ("volumes:Create", "Create a volume: empty, or from a snapshot or another volume."),
        "volume-list": ("volumes:List", "List volumes."),
        "volume-show": ("volumes:Show", "Show one volume."),
        "volume-extend": ("volumes:Extend", "Make a volume larger, also while a server has it."),
        "volume-delete": ("volumes:Delete", "Delete volumes."),
    },
    "Snapshots": {
        "snapshot-create": ("snapshots:Create", "Create a snapshot of a volume."),
        "snapshot-list": ("snapshots:List", "List snapshots."),
        "snapshot-show": ("snapshots:Show", "Show one snapshot."),
        "snapshot-delete": ("snapshots:Delete", "Delete snapshots."),
    },
    "Attachments": {
        "volume-attach": ("attachments:Attach", "Plug a volume into a server."),
        "volume-detach": ("attachments:Detach", "Unplug a volume from a server."),
        "volume-attachments": ("attachments:List", "List the volumes that are plugged into a server."),
    },
    "Stack": {
        "service-list": ("services:List", "List the services of nova and cinder, and whether they are up."),
        "trace": ("trace:Trace", "Tell the story of a request, or of all on a server or volume, over all daemons."),
    },
}
# Libraries whose log lines go to stderr: with --debug all of them, else errors only.
LIBRARIES = ("keystoneauth", "openstack", "urllib3", "stevedore")


class ConsoleFormatter(logging.Formatter):
    """Prints an error of nlite as it is, and any other exception as the defect of nlite it must be."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text for stderr."""
        cause = record.msg
        if isinstance(cause, OSError):
            what = f"{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror or str(cause)
            record.msg = f"error: {what}\nhint: check the disk and where the output goes"
            record.args = ()
        elif isinstance(cause, Exception) and not isinstance(cause, errors.CliError):
            record.msg = (
                f"error: nlite failed on an unexpected {type(cause).__name__}: {cause}\n"
                "hint: this is a defect of nlite; run it again with --debug and report what it prints"
            )
            record.args = ()
        return super().format(record)


class Nlite(app.App):
    """The cliff application; `cloud` is the connection that its commands share."""

    NAME = "nlite"
    LOG = logging.getLogger("nlite")

    def __init__(self, stdout: typing.TextIO | None = None, stderr: typing.TextIO | None = None) -> None:
        super().__init__(
            description=DESCRIPTION,
            version=_version(),
            command_manager=_command_manager(),
            stdout=stdout,
            stderr=stderr,
            # Else `nlite boot --help` would print the global help.
            deferred_help=True,
        )
        self._cloud: session.Cloud | None = None

    @property
    def cloud(self) -> session.Cloud:
        """The APIs this run talks to; raises CliError when the configuration cannot be used."""
        if self._cloud is None:
            self._cloud = session.Cloud(config.choose(self.options, os.environ))
        return self._cloud

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, typing.Any] | None = None,
    ) -> argparse.ArgumentParser:
        """Return the parser of the global options."""
        # Without abbreviations: `boot --image X` must not be read as the global --image-url.
        parser = super().build_option_parser(description, version, {"allow_abbrev": False, "usage": _USAGE})
        parser.add_argument("--os-cloud", metavar="NAME", help="cloud of clouds.yaml to use (env: OS_CLOUD)")
        for service, names in config.CONFIG_NAMES.items():
            parser.add_argument(
                f"--{service}-url",
                metavar="URL",
                help=f"address of {session.API_NAMES[service]} "
                f"(env: OS_{names[0].upper()}_ENDPOINT_OVERRIDE; "
                f"with nothing configured: {config.DEFAULT_URLS[service]})",
            )
        parser.add_argument(
            "--token",
            metavar="USER:PROJECT",
            default=os.environ.get("NLITE_TOKEN"),
            help="who to be on a stack without authentication (env: NLITE_TOKEN; default: the administrator)",
        )
        return parser

    def configure_logging(self) -> None:
        """Send messages of nlite to stderr, and those of libraries only if they matter."""
        console = logging.StreamHandler(self.stderr)
        console.setFormatter(ConsoleFormatter("%(message)s"))
        handlers: list[logging.Handler] = [console]
        self.LOG.handlers = handlers
        if self.options.log_file:
            to_file = logging.FileHandler(self.options.log_file)
            to_file.setFormatter(logging.Formatter(self.LOG_FILE_MESSAGE_FORMAT))
            handlers.append(to_file)
        chatty = self.options.debug or self.options.verbose_level > 1
        levels = {"nlite": logging.INFO if self.options.verbose_level else logging.WARNING}
        levels.update(dict.fromkeys(LIBRARIES, logging.ERROR))
        for name, level in levels.items():
            logger = logging.getLogger(name)
            logger.handlers = handlers
            logger.propagate = False
            logger.setLevel(logging.DEBUG if chatty else level)

    def print_help_if_requested(self) -> None:
        """Print the table of commands for `--help`, without loading one of them."""
        if self.options.deferred_help:
            self.stdout.write(_help(self.parser))
            raise SystemExit(0)

    def interact(self) -> None:
        """Refuse a call without a command: nlite has no shell of its own."""
        self.stderr.write(_help(self.parser))
        raise SystemExit(2)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run the command and return the exit code; an unknown one is a usage error, said on stderr."""
        if argv == ["help"]:
            self.stdout.write(_help(self.parser))
            return 0
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            word = argv[0]
            if word.startswith("-"):
                self.stderr.write(f"error: unknown option {word}\nhint: nlite --help\n")
            else:
                near = ", ".join(self.get_fuzzy_matches(word)[:3])
                self.stderr.write(f"error: {word!r} is not a command of nlite\n")
                self.stderr.write(f"hint: {f'did you mean {near}? ' if near else ''}`nlite --help` lists them all\n")
            return 2
        return super().run_subcommand(argv)


_USAGE = "nlite [global options] COMMAND [options]"


def _command_manager() -> commandmanager.CommandManager:
    """Return the commands of the table as entry points that load their module at first use."""
    manager = commandmanager.CommandManager()
    for commands in COMMANDS.values():
        for name, (place, _) in commands.items():
            manager.commands[name] = importlib.metadata.EntryPoint(name, f"nova_lite.cli.{place}", "nlite.cli")
    return manager


def _version() -> str:
    """Return the version of the installed package, or a word for a bare checkout."""
    try:
        return importlib.metadata.version("nova-lite")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed, run from a checkout)"


def _help(parser: argparse.ArgumentParser) -> str:
    lines = [parser.format_help()]
    for group, commands in COMMANDS.items():
        lines.append(f"{group}:")
        lines += [f"  {name:<19} {text}" for name, (_, text) in commands.items()]
        lines.append("")
    lines.append("`nlite COMMAND --help` explains a command. A server or volume is named by its name or its id.")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run one command with these arguments (None: those of the process) and return its exit code.

    Raises SystemExit for help (0) and for usage errors (2), as argparse does.
    """
    return Nlite().run(sys.argv[1:] if argv is None else list(argv))


if __name__ == "__main__":
    sys.exit(main())
