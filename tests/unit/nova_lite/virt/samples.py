"""Servers and volumes for the tests of drivers and connectors."""

from __future__ import annotations

import uuid
from typing import Any

from nova_lite.virt import driver

PASSWORD = "Kp7mWx2RtYq4ZsNd"


def connection_info(volume: str, **data: Any) -> dict[str, Any]:
    """What Nova stores for an iSCSI volume with CHAP; `data` replaces members."""
    standard = {
        "target_discovered": False,
        "target_portal": "127.0.0.1:3260",
        "target_iqn": f"iqn.2010-10.org.openstack:volume-{volume}",
        "target_lun": 1,
        "volume_id": volume,
        "auth_method": "CHAP",
        "auth_username": "chapuser",
        "auth_password": PASSWORD,
        "access_mode": "rw",
        "discard": True,
    }
    return {"driver_volume_type": "iscsi", "data": {**standard, **data}, "serial": volume}


def disk(device: str = "/dev/vdb", **data: Any) -> driver.VolumeDisk:
    """A new volume as a disk."""
    volume = str(uuid.uuid4())
    return driver.VolumeDisk(volume, device, connection_info(volume, **data))


def spec(*volumes: driver.VolumeDisk, **image: Any) -> driver.ServerSpec:
    """A new server."""
    files = driver.ImageFiles(**(image or {"kernel": "/images/tiny/kernel", "ramdisk": "/images/tiny/initrd"}))
    return driver.ServerSpec(str(uuid.uuid4()), "instance-0000002a", "web", 128, 1, files, tuple(volumes))
