"""What tests do to a running stack and see of it: requests as some user, waits, and a snapshot of everything.

The snapshot is taken behind the APIs, from both databases and the twins, so that what a refused request left behind
shows wherever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
import sqlalchemy as sa

from cinder_lite.db import models as cinder_models
from nova_lite.db import models as nova_models
from tests.fixtures import stack as stacks

TINY = "5c2f8f4e-1f5e-4a53-9d5e-7c1f1c0f7a10"
FLAVOR = "42"
NOBODY = "00000000-0000-4000-8000-000000000000"
WAIT = 30.0
COMPUTE_VERSION, VOLUME_VERSION = "2.60", "3.69"
# Columns that an undone step may leave changed, and rows that come and go by themselves.
PASSING = frozenset(("updated_at", "scheduled_at", "until_refresh", "race_preventer"))
PASSING_TABLES = frozenset(
    (
        "services",
        "reservations",
        "messages",
        "instance_faults",
        "instance_actions",
        "instance_actions_events",
        "compute_nodes",
        "steps",
        "operations",
    )
)
AT_REST = ("available", "in-use", "error", "reserved", "attaching")


class World:
    """The stack as `token` ("user:project") sees it."""

    def __init__(self, stack: stacks.FunctionalStack, token: str) -> None:
        self.stack = stack
        self.token = token

    def compute(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """The answer of nova-api. `body` is sent as JSON, bytes as they are; `headers` have _ for -."""
        return self._ask("compute", COMPUTE_VERSION, method, self.stack.compute_url + path, body, headers)

    def volumes(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """The answer of cinder-api."""
        return self._ask("volume", VOLUME_VERSION, method, self.stack.volume_url + path, body, headers)

    def _ask(
        self, kind: str, version: str, method: str, url: str, body: Any, headers: dict[str, str]
    ) -> requests.Response:
        sent = {"X-Auth-Token": self.token, "OpenStack-API-Version": f"{kind} {version}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
            return requests.request(method, url, data=body, headers=sent, timeout=60)
        return requests.request(method, url, json=body, headers=sent, timeout=60)

    def server(self, name: str = "server", **more: Any) -> str:
        """A new server, active."""
        wanted = {"name": name, "flavorRef": FLAVOR, "imageRef": TINY, "networks": "none"} | more
        answer = self.compute("POST", "/servers", {"server": wanted})
        assert answer.status_code == 202, answer.text
        server = str(answer.json()["server"]["id"])
        self.await_server(server, "ACTIVE")
        return server

    def volume(self, status: str = "available", **more: Any) -> str:
        """A new volume of 1 GiB, in that status."""
        answer = self.volumes("POST", "/volumes", {"volume": {"size": 1} | more})
        assert answer.status_code == 202, answer.text
        volume = str(answer.json()["volume"]["id"])
        self.await_volume(volume, status)
        return volume

    def snapshot(self, volume: str) -> str:
        """A new snapshot of the volume, available."""
        answer = self.volumes("POST", "/snapshots", {"snapshot": {"volume_id": volume}})
        assert answer.status_code == 202, answer.text
        made = str(answer.json()["snapshot"]["id"])
        self.await_snapshot(made, "available")
        return made

    def act(self, server: str, body: dict[str, Any], status: str) -> None:
        """An action on a server, and its end."""
        assert self.compute("POST", f"/servers/{server}/action", body).status_code == 202
        self.await_server(server, status)

    def attach(self, server: str, volume: str, **more: Any) -> requests.Response:
        """The answer to an attach, which may still be going on."""
        body = {"volumeAttachment": {"volumeId": volume} | more}
        return self.compute("POST", f"/servers/{server}/os-volume_attachments", body)

    def detach(self, server: str, volume: str) -> requests.Response:
        """The answer to a detach, which may still be going on."""
        return self.compute("DELETE", f"/servers/{server}/os-volume_attachments/{volume}")

    def attached(self, server: str, volume: str) -> str:
        """Attach, wait for the end, and return the volume."""
        answer = self.attach(server, volume)
        assert answer.status_code == 200, answer.text
        self.await_volume(volume, "in-use")
        return volume

    def volume_status(self, volume: str) -> str:
        """Its status; "gone" when there is no such volume."""
        answer = self.volumes("GET", f"/volumes/{volume}")
        return str(answer.json()["volume"]["status"]) if answer.status_code == 200 else "gone"

    def snapshot_status(self, snapshot_id: str) -> str:
        """Its status; "gone" when there is no such snapshot."""
        answer = self.volumes("GET", f"/snapshots/{snapshot_id}")
        return str(answer.json()["snapshot"]["status"]) if answer.status_code == 200 else "gone"

    def server_status(self, server: str) -> str:
        """Its status, "ACTIVE/powering-off" while something is being done to it; "gone" without it."""
        answer = self.compute("GET", f"/servers/{server}")
        if answer.status_code != 200:
            return "gone"
        shown = answer.json()["server"]
        task = shown["OS-EXT-STS:task_state"]
        return f"{shown['status']}/{task}" if task else str(shown["status"])

    def await_volume(self, volume: str, status: str, seconds: float = WAIT) -> None:
        """Wait until the volume is in that status."""
        stacks.wait_for(lambda: self.volume_status(volume) == status, seconds, f"volume {volume} is {status}")

    def await_snapshot(self, snapshot_id: str, status: str) -> None:
        """Wait until the snapshot is in that status."""
        stacks.wait_for(
            lambda: self.snapshot_status(snapshot_id) == status, WAIT, f"snapshot {snapshot_id} is {status}"
        )

    def await_server(self, server: str, status: str, seconds: float = WAIT) -> None:
        """Wait until the server is in that status and nothing is being done to it."""
        stacks.wait_for(lambda: self.server_status(server) == status, seconds, f"server {server} is {status}")

    def remove(self, *, servers: list[str] = [], volumes: list[str] = []) -> None:  # noqa: B006 - never changed
        """Delete servers, then volumes, and wait until they are gone."""
        for server in servers:
            assert self.compute("DELETE", f"/servers/{server}").status_code in (204, 404)
        for server in servers:
            self.await_server(server, "gone")
        for volume in volumes:
            if self.volume_status(volume) != "gone":
                answer = self.volumes("DELETE", f"/volumes/{volume}")
                assert answer.status_code in (202, 404), answer.text
        for volume in volumes:
            self.await_volume(volume, "gone")

    def quota(self) -> dict[str, int]:
        """What the project of this world's user has: volumes and GiB, reservations included."""
        project = self.token.partition(":")[2]
        shown = self.volumes("GET", f"/os-quota-sets/{project}?usage=true").json()["quota_set"]
        return {name: shown[name]["in_use"] + shown[name]["reserved"] for name in ("volumes", "gigabytes")}


@dataclass(frozen=True)
class Snapshot:
    """All that lives, row by row and disk by disk; two are equal when nothing happened in between.

    `guests` gives the live and the stored disks of each server, `stored` the volumes of each backend, `exported` its
    targets.
    """

    rows: dict[str, list[dict[str, Any]]]
    guests: dict[str, tuple[frozenset[str], frozenset[str]]]
    stored: dict[str, dict[str, int]]
    exported: dict[str, set[str]]

    def about(self, thing: str) -> list[str]:
        """Where the thing (a volume, a server) is mentioned: tables, guests, backends, targets."""
        found = [name for name, rows in self.rows.items() if any(thing in map(str, row.values()) for row in rows)]
        found += [
            f"guest {name}" for name, disks in self.guests.items() if thing == name or thing in disks[0] | disks[1]
        ]
        found += [f"backend {name}" for name, volumes in self.stored.items() if f"volume-{thing}" in volumes]
        return found + [f"target {name}" for name, names in self.exported.items() if f"volume-{thing}" in names]


def snapshot(stack: stacks.FunctionalStack) -> Snapshot:
    """The state of the whole stack now."""
    guests = {}
    for server in stack.virt.list_servers():
        disks = stack.virt.attached_volumes(server)
        guests[server] = (disks.live, disks.stored)
    return Snapshot(
        rows=_rows(stack.databases["nova_lite"], nova_models.metadata)
        | _rows(stack.databases["cinder_lite"], cinder_models.METADATA),
        guests=guests,
        stored={name: dict(driver.volumes) for name, driver in stack.storage.items()},
        exported={name: target.exported() for name, target in stack.targets.items()},
    )


def quiet(stack: stacks.FunctionalStack) -> Snapshot:
    """The state of the stack once nothing is going on in it."""

    def at_rest() -> Snapshot | None:
        seen = snapshot(stack)
        busy = [row for row in seen.rows["instances"] if row["task_state"] is not None]
        busy += [row for row in seen.rows["volumes"] if row["status"] not in AT_REST]
        return None if busy else seen

    found = stacks.wait_for(at_rest, WAIT, "nothing is going on any more")
    assert isinstance(found, Snapshot)
    return found


def _rows(url: str, metadata: sa.MetaData) -> dict[str, list[dict[str, Any]]]:
    """The living rows of each table, without what changes by itself."""
    engine = sa.create_engine(url)
    found = {}
    try:
        with engine.connect() as conn:
            for table in metadata.sorted_tables:
                if table.name in PASSING_TABLES:
                    continue
                columns = [column for column in table.c if column.name not in PASSING]
                living = sa.select(*columns).order_by(*table.primary_key)
                if "deleted" in table.c:
                    living = living.where(table.c.deleted == 0)
                found[table.name] = [dict(row) for row in conn.execute(living).mappings() if _counts(row)]
    finally:
        engine.dispose()
    return found


def _counts(row: Any) -> bool:
    """Usage of nothing is as good as no row."""
    return "in_use" not in row or bool(row["in_use"] or row["reserved"])
