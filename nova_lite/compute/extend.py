"""Show a guest that a volume of its has grown: the host's device first, then the disk in the guest."""

from __future__ import annotations

from nova_lite import errors as nova_errors
from nova_lite.compute import attach
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments


def extend_volume(host: ComputeHost, server_id: str, volume_id: str) -> int | None:
    """Bring a volume's new size to the server that has it; the size in bytes.

    None for a server that is stopped: it sees the size at its next start. Raises VolumeNotAttached, DeviceMissing,
    UnsupportedVolume (a disk that QEMU itself connects has its new size after a hard reboot).
    """
    with host.working_on(server_id, f"extending volume {volume_id}"):
        device = attachments.find(host.database, server_id, volume_id)
        if device is None or device.connection_info is None:
            raise nova_errors.VolumeNotAttached(server=server_id, volume=volume_id)
        if not host.virt.power_state(server_id).active:
            return None
        size = host.connector.extend_volume(device.connection_info)
        host.virt.extend_volume(server_id, attach.disk_of(device, device.connection_info), size)
        return size
