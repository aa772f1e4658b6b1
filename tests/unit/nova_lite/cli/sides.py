"""Sides of an attachment as both APIs tell them, in order until a test says otherwise."""

from __future__ import annotations

import copy
import typing

Record = dict[str, typing.Any]

SERVER = "9de30000-0000-4000-8000-000000000001"
VOLUME = "5b1f0000-0000-4000-8000-000000000001"
ATTACHMENT = "a77a0000-0000-4000-8000-000000000001"
INITIATOR = "iqn.1994-05.com.example:c1"
IQN = f"iqn.2010-10.org.openstack:volume-{VOLUME}"
LONG_AGO = "2026-01-01T00:00:00.000000"
DISK = {"alias": f"ua-{VOLUME}", "source": f"iscsi://10.0.0.4:3260/{IQN}/1"}


def row() -> Record:
    """Nova's row, with what its host sees."""
    return {
        "id": "b10c0000-0000-4000-8000-000000000001",
        "server_id": SERVER,
        "server_name": "c1",
        "volume_id": VOLUME,
        "attachment_id": ATTACHMENT,
        "project_id": "demo",
        "host": "host1",
        "vm_state": "active",
        "task_state": None,
        "device": "/dev/vdb",
        "connected": True,
        "device_path": None,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "compute": {
            "busy": False,
            "initiator": INITIATOR,
            "power_state": "running",
            "live": dict(DISK),
            "stored": dict(DISK),
            "storage": {"initiator": "qemu", "device": None, "leads_to": None, "sessions": []},
        },
    }


def attachment() -> Record:
    """Cinder's attachment."""
    return {
        "id": ATTACHMENT,
        "status": "attached",
        "server_id": SERVER,
        "host": "host1",
        "initiator": INITIATOR,
        "connected": True,
        "device": "/dev/vdb",
        "mode": "rw",
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
    }


def volume(*attachments: Record) -> Record:
    """Cinder's volume, with what its backend sees."""
    return {
        "id": VOLUME,
        "name": "data",
        "project_id": "demo",
        "status": "in-use",
        "attach_status": "attached",
        "migration_status": None,
        "size": 1,
        "host": "host1@lvm#pool",
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "attachments": list(attachments),
        "export": {
            "iqn": IQN,
            "busy": False,
            "target": {
                "present": True,
                "portals": ["10.0.0.4:3260"],
                "lun": 1,
                "path": f"/volumes/volume-{VOLUME}",
                "chap": True,
                "initiators": ["ALL"],
                "sessions": [{"initiator": INITIATOR, "address": "10.0.0.5"}],
            },
            "bytes": {"path": f"/volumes/volume-{VOLUME}", "size": 1 << 30},
        },
    }


def stray(kind: str = "disk") -> Record:
    """A disk or a session that no row knows."""
    is_disk = kind == "disk"
    return {
        "host": "host1",
        "kind": kind,
        "server_id": SERVER if is_disk else None,
        "project_id": "demo",
        "volume_id": VOLUME,
        "live": dict(DISK) if is_disk else None,
        "stored": dict(DISK) if is_disk else None,
        "sessions": [] if is_disk else [{"portal": "10.0.0.4:3260", "iqn": IQN, "state": "LOGGED_IN"}],
    }


def changed(record: Record, path: str, value: object) -> Record:
    """A copy in which the member at the path (`export/target/lun`) has the value."""
    made = copy.deepcopy(record)
    *parents, last = path.split("/")
    inner = made
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return made
