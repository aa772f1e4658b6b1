"""The command line of the machines; `up`, `ssh`, `sync`, `logs` and `down` beside this file call it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack.guest.build import BuildError
from devstack.vm import collect, environment, hosts, image
from devstack.vm.hosts import VmError

UP = """Start the machines and wait until they let you in. Builds their image first if this checkout's is not there.
What runs already is kept and gets the changed files; without --hosts all three are meant."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="devstack.vm", description="Machines with Debian's own kernel, on this machine.")
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", description=UP)
    up.add_argument("--hosts", type=_names, help=f"some of {','.join(hosts.NAMES)}")
    up.add_argument("--image-only", action="store_true", help="build the image, start nothing")
    up.add_argument("--no-sync", action="store_true", help="leave the checkout in the machines as it is")
    ssh = commands.add_parser("ssh", description="A shell in a machine, or a command.")
    ssh.add_argument("host", choices=hosts.NAMES)
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    sync = commands.add_parser("sync", description="Bring this checkout's changed files into the machines.")
    sync.add_argument("--hosts", type=_names, help="default: those that run")
    sync.add_argument("--restart", action="store_true", help="restart the daemons that run there")
    logs = commands.add_parser("logs", description="Collect logs and the state of disks, targets, sessions, guests.")
    logs.add_argument("directory", type=Path)
    commands.add_parser("down", description="Stop the machines of this environment and remove them.")
    return top


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _up(world: environment.Environment, args: argparse.Namespace) -> None:
    if args.image_only:
        print(image.ensure(world.cache, world.say).directory)
        return
    for machine in world.up(args.hosts, sync=not args.no_sync):
        machine.release()
        print(f"  ./devstack/vm/ssh {machine.host.name:<12} {machine.host.address}")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    args = parser().parse_args(argv)
    world = environment.Environment(environment.state_directory(), image.cache_directory(), _say)
    try:
        if args.command == "up":
            _up(world, args)
        elif args.command == "ssh":
            world.machine(args.host).shell().interactive(args.words)
        elif args.command == "sync":
            world.sync(args.hosts, restart=args.restart)
        elif args.command == "logs":
            collect.collect(world.machines(), args.directory, world.say)
        else:
            world.down()
    except (VmError, BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; nothing of it runs any more", file=sys.stderr)
        return 130
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
