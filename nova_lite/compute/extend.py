"""Show a guest that a volume of its has grown: the host's device first, then the disk in the guest."""

from __future__ import annotations

import logging

from lite_common import context, trace
from nova_lite.compute import action_events, attach
from nova_lite.compute.host import ComputeHost
from nova_lite.db import attachments

LOG = logging.getLogger(__name__)

VOLUME_EXTENDED = "volume-extended"


def external_instance_event(
    host: ComputeHost, ctx: context.RequestContext, server_id: str, name: str, tag: str
) -> None:
    """Do what another service's event asks for; `volume-extended` is about the volume whose id is the `tag`."""
    if name != VOLUME_EXTENDED:
        LOG.warning("event %s (tag %s) of server %s is not known here", name, tag, server_id)
        return
    extend_volume(host, ctx, server_id, tag)


@action_events.recorded("compute_extend_volume")
@trace.operation("extend", "extended", about="volume", server="server_id", volume="volume_id")
def extend_volume(host: ComputeHost, ctx: context.RequestContext, server_id: str, volume_id: str) -> None:
    """Let the server see the new size of its volume.

    The size is written down first. A server that does not have the volume (any more) is left alone. What fails is a
    fault of the server, UnsupportedVolume where QEMU connects the disk by itself: the guest sees the size after a stop
    and a start.
    """
    with host.working_on(server_id, f"extending volume {volume_id}"):
        device = attachments.find(host.database, server_id, volume_id)
        if device is None or device.connection_info is None:
            LOG.warning("server %s does not have volume %s, which has grown", server_id, volume_id)
            return
        with trace.step("extend_in_guest", server=server_id, volume=volume_id):
            # The event is Cinder's, and Cinder's user may see no project's volumes: nova-compute asks as itself.
            own = context.admin_context(request_id=ctx.request_id, global_request_id=ctx.global_request_id)
            attachments.save_size(host.database, device, host.cinder.get_volume(own, volume_id).size)
            # One that is stopped sees the size when it starts.
            if host.virt.power_state(server_id).active:
                size = host.connector.extend_volume(device.connection_info)
                host.virt.extend_volume(server_id, attach.disk_of(device, device.connection_info), size)
