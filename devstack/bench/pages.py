"""Many volumes, read page by page as a client does that follows `volumes_links`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from devstack.bench import meters
from devstack.bench.client import Client, milliseconds
from devstack.system import System

VOLUMES, PAGE = 10_000, 100
IDLE_SECONDS = 5
READS = {"list": "/volumes", "detail": "/volumes/detail"}
# What a volume that is merely there has beside its row: the metadata of a request that made it with some.
METADATA = {"used-for": "pages"}


def measure(system: System, client: Client) -> dict[str, Any]:
    """A project of so many volumes; of both reads the time of a page, and the statements of its first and last pages.

    All but one of the volumes are copies in the database of one that was made through the API: making them takes as
    long as all other cases together, and is no part of what is measured.
    """
    body = {"volume": {"size": 1, "name": "page", "metadata": METADATA}}
    model = str(client.call("volume", "POST", "/volumes", body)["volume"]["id"])
    client.await_detached(model)
    _multiply(system, model, VOLUMES - 1)
    statements = meters.statements(system)
    time.sleep(IDLE_SECONDS)
    idle = (meters.statements(system) - statements) / IDLE_SECONDS
    return {"volumes": VOLUMES, "page": PAGE} | {
        name: _read(system, client, path, idle) for name, path in READS.items()
    }


def _multiply(system: System, model: str, copies: int) -> None:
    """So many more volumes like that one, a second apart, and their metadata."""
    many = f"cinder_lite.seq_1_to_{copies}"
    made = {"id": "UUID()", "created_at": "DATE_SUB(one.created_at, INTERVAL seq SECOND)"}
    _insert(system, "volumes", made, f"cinder_lite.volumes AS one, {many} WHERE one.id = '{model}'")
    copied = f"copy.display_name = 'page' AND copy.id != '{model}'"
    source = f"cinder_lite.volume_metadata AS one, cinder_lite.volumes AS copy WHERE one.volume_id = '{model}'"
    _insert(system, "volume_metadata", {"id": "NULL", "volume_id": "copy.id"}, f"{source} AND {copied}")


def _insert(system: System, table: str, made: Mapping[str, str], source: str) -> None:
    """Rows like those of the source, which calls them `one`, with some columns made otherwise."""
    here = f"table_schema = 'cinder_lite' AND table_name = '{table}'"
    columns = system.maria.execute(f"SELECT column_name FROM information_schema.columns WHERE {here}").split()
    names = ", ".join(f"`{name}`" for name in columns)
    values = ", ".join(made.get(name, f"one.`{name}`") for name in columns)
    system.maria.execute(f"INSERT INTO cinder_lite.{table} ({names}) SELECT {values} FROM {source}")


def _read(system: System, client: Client, path: str, idle: float) -> dict[str, Any]:
    """Every page once; statements by the first and the last tenth of the pages."""
    number = VOLUMES // PAGE
    tenth = number // 10
    seconds: list[float] = []
    counted: list[float] = []
    found: set[str] = set()
    marker = ""
    for _ in range(number // tenth):
        before, begun = meters.statements(system), time.perf_counter()
        for _ in range(tenth):
            asked = time.perf_counter()
            page = client.call("volume", "GET", f"{path}?limit={PAGE}{marker}")["volumes"]
            seconds.append(time.perf_counter() - asked)
            found |= {one["id"] for one in page}
            marker = f"&marker={page[-1]['id']}"
        # The meter's own question is one.
        others = idle * (time.perf_counter() - begun) + 1
        counted.append(round((meters.statements(system) - before - others) / tenth, 1))
    if len(found) != VOLUMES:
        raise RuntimeError(f"{len(found)} of {VOLUMES} volumes on {number} pages of {path}")
    return {"page_ms": milliseconds(seconds), "statements_first": counted[0], "statements_last": counted[-1]}
