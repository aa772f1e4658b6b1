"""The five daemons behind a real keystone: they log in as `nova` and `cinder` and find each other in its catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from devstack import keystone as keystones
from devstack import system


class KeystoneSystem(system.System):
    """As its base, with `keystone`, which must run when this is started; further arguments are the base's."""

    def __init__(self, directory: Path, keystone: keystones.Keystone, **more: Any) -> None:
        extra = {"api": {"auth_strategy": "keystone"}}
        super().__init__(
            directory, nova=extra | keystone.options("nova"), cinder=extra | keystone.options("cinder"), **more
        )
        self.keystone = keystone

    def start(self) -> None:
        """As for every system; the catalog first."""
        volume = {kind: self.volume_url for kind in ("block-storage", "volumev3")}
        image = self.compute_url.replace("/v2.1", "/image")
        self.keystone.populate({"compute": self.compute_url, "image": image, **volume})
        super().start()

    def all_up(self) -> bool:
        """Whether both APIs answer an administrator and show every service as up."""
        headers = {"X-Auth-Token": self.keystone.token("admin", "demo")}
        up = set()
        for url in (self.volume_url, self.compute_url):
            try:
                told = requests.get(f"{url}/os-services", headers=headers, timeout=10).json()["services"]
            except (requests.RequestException, ValueError, KeyError):
                return False
            up |= {one["binary"] for one in told if one["state"] == "up"}
        return {"cinder-scheduler", "cinder-volume", "nova-compute"} <= up
