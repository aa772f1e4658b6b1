from __future__ import annotations

import pytest

from nova_lite.virt import errors
from nova_lite.virt.libvirt.driver import LibvirtDriver, Settings


def test_a_state_directory_without_room_for_sockets_is_refused_at_once() -> None:
    virt = LibvirtDriver(Settings("test:///none", "qemu", "/srv/" + "x" * 60), "iqn.x:y")
    with pytest.raises(errors.HypervisorError, match=r"state_path /srv/x+ is 9 bytes too long"):
        virt.init_host()
