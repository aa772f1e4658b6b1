"""Alembic's directory: one file per change of the schema, in `versions`."""

import pathlib

HEAD = "0004"
LOCATION = str(pathlib.Path(__file__).parent)
SYNC_COMMAND = "cinder-lite-manage --config-file FILE db sync"
