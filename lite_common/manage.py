"""What an operator does to a service's database without its daemons: `PROGRAM --config-file FILE db sync|version`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg

from lite_common import db, errors


def run(
    program: str,
    load: Callable[[list[str]], cfg.ConfigOpts],
    *,
    migrations: str,
    head: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Do what the command line says; the exit code is 0 only when it worked.

    `load` reads the configuration from `--config-file` and `--config-dir` arguments, `migrations` is the alembic
    directory and `head` the revision that the program needs.
    """
    args = _parser(program).parse_args(argv)
    files = [part for path in args.config_file for part in ("--config-file", path)]
    files += [part for path in args.config_dir for part in ("--config-dir", path)]
    try:
        with contextlib.closing(db.from_conf(load(files))) as database:
            revision = head
            if args.command == "sync":
                _make_private(database)
                revision = str(db.upgrade(database, migrations))
            else:
                database.require_revision(head, f"{program} --config-file FILE db sync")
            print(f"{database.url.render_as_string()} is at revision {revision}")
    except (errors.LiteError, cfg.Error) as err:
        print(err, file=sys.stderr)
        return 1
    return 0


def _make_private(database: db.Database) -> None:
    """Let nobody but its owner read an SQLite database: it holds the CHAP passwords. Made here if it is not there."""
    path = database.url.database
    if not database.is_sqlite or not path or path == ":memory:":
        return
    # SQLite gives its log and its index the mode of the database when it makes them.
    for beside in ("-wal", "-shm"):
        if os.path.exists(path + beside):
            os.chmod(path + beside, 0o600)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("--config-file", action="append", default=[], metavar="FILE", help="the configuration")
    parser.add_argument(
        "--config-dir", action="append", default=[], metavar="DIRECTORY", help="its *.conf files are read after FILE"
    )
    areas = parser.add_subparsers(dest="area", required=True, metavar="AREA")
    commands = areas.add_parser("db", help="the database").add_subparsers(dest="command", required=True)
    commands.add_parser("sync", help="bring the schema to the newest revision; safe to repeat")
    commands.add_parser("version", help="exit code 0 when the schema is at the newest revision")
    return parser
