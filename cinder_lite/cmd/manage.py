"""cinder-lite-manage: what an operator does to the database. `cinder-lite-manage --config-file FILE db sync`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lite_common import service

service.load_quickly()
service.no_eventlet()

from cinder_lite import conf as options
from cinder_lite.db import migrations
from lite_common import config, manage

NAME = "cinder-lite-manage"


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code is 0 only when it worked."""
    return manage.run(
        NAME,
        lambda files: config.load(options.PROJECT, NAME, [options.OPTIONS], files, logs=False),
        migrations=migrations.LOCATION,
        head=migrations.HEAD,
        argv=argv,
    )


if __name__ == "__main__":
    sys.exit(main())
