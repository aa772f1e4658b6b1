"""What every connector must do, as one suite: run against the twin, against QEMU's initiator with a portal that
answers, and against the host's with an os-brick that works on a machine of plain files."""

from __future__ import annotations

import pytest

from nova_lite.volume import host_view
from nova_lite.volume.connector import Connector
from tests.unit.nova_lite.virt import samples

VOLUME = "5b1f0000-0000-4000-8000-000000000001"
OTHER = "5b1f0000-0000-4000-8000-000000000002"


class ConnectorContract:
    """Needs the fixture `subject`, a connector of host `c1` at 10.0.0.5 named iqn.x:y."""

    def test_properties_are_what_the_storage_service_expects(self, subject: Connector) -> None:
        properties = subject.properties("/dev/vdb")
        assert properties["platform"]
        assert {key: properties[key] for key in ("os_type", "ip", "host", "initiator", "mountpoint")} == {
            "os_type": "linux",
            "ip": "10.0.0.5",
            "host": "c1",
            "initiator": "iqn.x:y",
            "mountpoint": "/dev/vdb",
        }
        assert properties["multipath"] is False
        assert properties["do_local_attach"] is False
        assert "mountpoint" not in subject.properties()

    def test_connecting_and_disconnecting_twice(self, subject: Connector) -> None:
        subject.init_host()
        info = samples.connection_info(VOLUME)
        connected = subject.connect_volume(info)
        assert {**connected, "data": {**connected["data"], "device_path": None}} == {
            **info,
            "data": {**info["data"], "device_path": None},
        }
        assert bool(connected["data"].get("device_path")) is subject.has_devices
        assert subject.connect_volume(info) == connected
        subject.disconnect_volume(connected)
        subject.disconnect_volume(connected)
        subject.disconnect_volume(connected, force=True)

    def test_what_this_host_has_of_a_volume_is_told(self, subject: Connector) -> None:
        before = subject.look(samples.connection_info(VOLUME))
        assert (before.device, before.leads_to, before.sessions) == (None, None, ())
        assert subject.volume_sessions() == {}
        connected = subject.connect_volume(samples.connection_info(VOLUME))
        seen = subject.look(connected)
        assert seen.initiator in ((host_view.HOST,) if subject.has_devices else (host_view.QEMU, host_view.NOBODY))
        assert seen.device == connected["data"].get("device_path")
        assert bool(seen.leads_to) is bool(seen.sessions) is subject.has_devices
        assert list(subject.volume_sessions()) == ([VOLUME] if subject.has_devices else [])
        subject.disconnect_volume(connected)
        after = subject.look(connected)
        assert (after.leads_to, after.sessions) == (None, ())
        assert subject.volume_sessions() == {}

    def test_what_was_never_connected(self, subject: Connector) -> None:
        subject.disconnect_volume({})
        subject.disconnect_volume(samples.connection_info(OTHER))

    def test_what_is_stored_is_enough_to_disconnect(self, subject: Connector) -> None:
        connected = subject.connect_volume(samples.connection_info(VOLUME))
        del connected["data"]["auth_password"]
        subject.disconnect_volume(connected)

    @pytest.fixture
    def subject(self) -> Connector:
        raise NotImplementedError
