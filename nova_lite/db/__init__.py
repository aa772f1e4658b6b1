"""The database of nova-lite: tables under Nova's names, and one module of statements per kind of row."""

from __future__ import annotations

import pathlib

MIGRATIONS = str(pathlib.Path(__file__).parent / "migrations")
HEAD = "0003"
SYNC_COMMAND = "nova-lite-manage --config-file FILE db sync"
