"""A portal that swallows packets keeps nobody waiting."""

from __future__ import annotations

import socket
import time

import pytest

from nova_lite.virt import errors
from nova_lite.volume import qemu_connector

INITIATOR = "iqn.2010-10.org.openstack:nova-lite-test"


def test_a_portal_that_swallows_connections_is_given_up_in_time() -> None:
    """A listener whose queue is full drops what asks for more, as a firewall does."""
    local = qemu_connector.UserspaceConnector("127.0.0.1", "c1", INITIATOR)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            time.sleep(0.1)
            data = {"target_portal": f"127.0.0.1:{listener.getsockname()[1]}", "target_iqn": "iqn.x:y", "target_lun": 1}
            before = time.monotonic()
            with pytest.raises(errors.PortalUnreachable, match="no connection within 2 s"):
                local.connect_volume({"driver_volume_type": "iscsi", "data": data, "serial": "v"})
            assert time.monotonic() - before < 3
        finally:
            for filler in fillers:
                filler.close()
