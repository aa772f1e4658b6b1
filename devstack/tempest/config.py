"""tempest.conf for a running system: where it is, who its administrator is, what it can do.

What is off here is not served, and tempest leaves out its tests by itself; what it has no switch for is in
`exclude.txt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from devstack import keystone_system

Sections = Mapping[str, Mapping[str, Any]]
NOT_SERVED = (
    "attach_encrypted_volume",
    "change_password",
    "cold_migration",
    "config_drive",
    "enable_instance_password",
    "interface_attach",
    "live_migration",
    "metadata_service",
    "personality",
    "rescue",
    "resize",
    "shelve",
    "snapshot",
    "suspend",
    "swap_volume",
    "unified_limits",
    "vnc_console",
    "volume_multiattach",
)


def sections(system: keystone_system.KeystoneSystem, workspace: Path) -> Sections:
    """The options by section. Raises requests.RequestException when the system does not answer."""
    keystone = system.keystone
    # Without `neutron`, tempest leaves out every test that waits for the address of a server, attachments too. Told
    # to make no networks and not to log in to guests, it needs none but in tests that are about networks.
    compute, volume = _newest(system.compute_url), _newest(system.volume_url)
    image, other = _images(system)
    return {
        "DEFAULT": {"log_file": workspace / "tempest.log", "use_stderr": False},
        "oslo_concurrency": {"lock_path": workspace / "lock"},
        "auth": {
            "admin_username": "admin",
            "admin_password": keystone.password("admin"),
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
            "use_dynamic_credentials": True,
            "create_isolated_networks": False,
            "tempest_roles": "member",
        },
        "identity": {"uri_v3": keystone.url, "auth_version": "v3", "region": "RegionOne"},
        "identity-feature-enabled": {"api_v3": True},
        "service_available": {
            "nova": True, "cinder": True, "neutron": True, "glance": True, "swift": False, "horizon": False,
        },
        "validation": {"run_validation": False},
        "compute": {
            "image_ref": image,
            "image_ref_alt": other,
            "flavor_ref": "42",
            "flavor_ref_alt": "84",
            "build_timeout": 300,
            "build_interval": 1,
            "min_microversion": "2.1",
            "max_microversion": compute,
            "min_compute_nodes": 1,
        },
        "compute-feature-enabled": dict.fromkeys(NOT_SERVED, False) | {"console_output": True, "pause": True},
        "volume": {
            "build_timeout": 300,
            "build_interval": 1,
            "min_microversion": "3.0",
            "max_microversion": volume,
            "storage_protocol": "iSCSI",
            "vendor_name": _vendor(system),
        },
        "volume-feature-enabled": {
            "backup": False,
            "snapshot": True,
            "clone": True,
            "extend_attached_volume": True,
            "extend_volume_with_snapshot": True,
            "multi_backend": False,
            "manage_volume": False,
            "manage_snapshot": False,
            # The extension that is looked for; `all` would want os-hosts.
            "api_extensions": "os-volume-actions",
        },
    }  # fmt: skip


def text(options: Sections) -> str:
    """The options as a file has them."""
    lines: list[str] = []
    for section, values in options.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in values.items()), ""]
    return "\n".join(lines)


def _newest(url: str) -> str:
    """The newest microversion that the API at `url` publishes."""
    (found,) = (
        one for one in requests.get(url.rpartition("/")[0] + "/", timeout=30).json()["versions"] if one.get("version")
    )
    return str(found["version"])


def _asked(system: keystone_system.KeystoneSystem, url: str) -> Any:
    headers = {"X-Auth-Token": system.keystone.token("admin", "demo")}
    answer = requests.get(url, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def _images(system: keystone_system.KeystoneSystem) -> tuple[str, str]:
    """Two images; the same one twice where there is but one."""
    found = _asked(system, system.compute_url.replace("/v2.1", "/image/v2/images"))["images"]
    return str(found[0]["id"]), str(found[-1]["id"])


def _vendor(system: keystone_system.KeystoneSystem) -> str:
    (pool, *_) = _asked(system, f"{system.volume_url}/scheduler-stats/get_pools?detail=true")["pools"]
    return str(pool["capabilities"]["vendor_name"])
