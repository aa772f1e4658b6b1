"""nova-lite-manage: what an operator does to nova-lite's database. `nova-lite-manage --config-file FILE db sync`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lite_common import service

service.load_quickly()
service.no_eventlet()

from lite_common import manage
from nova_lite import conf as nova_conf
from nova_lite import db as nova_db


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code is 0 only when it worked."""
    return manage.run(
        "nova-lite-manage",
        lambda files: nova_conf.load("nova-lite-manage", files, logs=False),
        migrations=nova_db.MIGRATIONS,
        head=nova_db.HEAD,
        argv=argv,
    )


if __name__ == "__main__":
    sys.exit(main())
